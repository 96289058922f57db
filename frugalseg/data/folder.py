"""A folder of images and masks as a sequence of examples."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import overload

import numpy as np

from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.data.files import FileError
from frugalseg.data.images import image_size, read_image
from frugalseg.data.layout import Layout, find_layout
from frugalseg.data.masks import read_mask
from frugalseg.data.text import count, listing

__all__ = ["Example", "SegmentationFolder", "read_example"]


class SegmentationFolder(Sequence[Example]):
    """Annotated images, read one at a time when asked for.

    Attributes:
        path: the folder that holds ``images/`` and ``masks/``, or images with ``.npy`` masks beside them.
        classes: what the mask values mean.
        names: stems of the files, sorted.
        image_paths, mask_paths: the files, in the order of `names`.
    """

    def __init__(self, path: str | Path, classes: ClassTable | None = None) -> None:
        """Find and pair the files.

        Args:
            path: see `find_layout`; a folder that has ``train/`` stands for that.
            classes: a trained model's, for example. Without it: ``classes.json`` of the folder, then of its parent; and
                without that the ids found in the masks, which are all read for it.

        Raises:
            FileError: no such folder, nothing in it, an image without mask or the reverse, names that clash, a
                ``classes.json`` or (where it is missing) a mask that is wrong.
        """
        layout = find_layout(path)
        _require_pairs(layout)
        self.path = layout.path
        self.names = list(layout.images)
        self.image_paths = list(layout.images.values())
        self.mask_paths = [layout.masks[name] for name in self.names]
        self.classes = classes or folder_classes(layout)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> "SegmentationFolder": ...
    def __getitem__(self, index: int | slice) -> "Example | SegmentationFolder":
        if isinstance(index, slice):
            part = copy(self)
            part.names = self.names[index]
            part.image_paths, part.mask_paths = self.image_paths[index], self.mask_paths[index]
            return part
        return read_example(self.image_paths[index], self.mask_paths[index], self.classes)

    def size(self, index: int) -> tuple[int, int]:
        """(H, W) of an image, from its header."""
        return image_size(self.image_paths[index])


def read_example(image_path: Path, mask_path: Path, classes: ClassTable) -> Example:
    """One image and its mask; `FileError` where either is unreadable, sizes differ or an id is not of `classes`."""
    image = read_image(image_path)
    ids = read_mask(mask_path)
    require_same_size(image_path, image.shape[:2], mask_path, ids.shape)
    try:
        target = classes.to_positions(ids)
    except ValueError as error:
        raise unknown_ids(mask_path, str(error), classes) from None
    return Example(image_path.stem, image, target)


def require_same_size(image_path: Path, image: tuple[int, ...], mask_path: Path, mask: tuple[int, ...]) -> None:
    """`FileError` where an image and its mask, given as (H, W), differ in size."""
    if image != mask:
        message = f"the mask is {mask[1]}x{mask[0]} (width x height), the image {image[1]}x{image[0]}"
        raise FileError(mask_path, message, f"export the mask at the size of {image_path.name}, without smoothing")


def unknown_ids(mask_path: Path, message: str, classes: ClassTable) -> FileError:
    """The error for a mask that holds ids outside `classes`."""
    known = listing(list(classes.ids), 20)
    return FileError(
        mask_path,
        f"{message} (known: {known}; not annotated: {classes.ignore_index})",
        "add them to classes.json or correct the mask",
    )


def folder_classes(layout: Layout) -> ClassTable:
    """``classes.json``, or else the ids found in all masks."""
    if layout.classes is not None:
        return ClassTable.from_json(layout.classes)
    ids: set[int] = set()
    for path in layout.masks.values():
        ids.update(np.unique(read_mask(path)).tolist())
    return classes_of_ids(layout.path, ids)


def classes_of_ids(folder: Path, ids: set[int]) -> ClassTable:
    """The table of the ids found in a folder's masks; `FileError` where they cannot be classes."""
    try:
        table = ClassTable.from_ids(ids)
    except ValueError as error:
        remedy = "these look like pictures, not class ids: export indexed or grey PNG whose pixel values are the ids"
        raise FileError(folder, f"in the masks, {error}", remedy) from None
    if not len(table):
        raise FileError(folder, "no pixel of any mask is annotated (all are 255)", "annotate at least two classes")
    return table


def pairing_errors(layout: Layout) -> list[FileError]:
    """What keeps the files of a folder from being pairs: names that clash, images without mask, masks without image."""
    errors = []
    if layout.clashes:
        names = listing([" and ".join(p.name for p in group) for group in layout.clashes])
        errors.append(FileError(layout.path, f"files whose names clash: {names}", "keep one of each"))
    if lonely := layout.images_without_mask:
        message = f"{count(len(lonely), 'image')} without a mask: {listing(lonely)}"
        errors.append(FileError(layout.path, message, "add a mask of the same name, or move the image away"))
    if lonely := layout.masks_without_image:
        message = f"{count(len(lonely), 'mask')} without an image: {listing(lonely)}"
        errors.append(FileError(layout.path, message, "add the image of the same name, or move the mask away"))
    return errors


def _require_pairs(layout: Layout) -> None:
    errors = pairing_errors(layout)
    if errors:
        raise errors[0]
