"""A folder of images and masks as a sequence of examples."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.annotation import Annotation
from frugalseg.data.channels import Channels, ChannelSpec, as_choice
from frugalseg.data.classes import NOT_ANNOTATED, ClassTable
from frugalseg.data.datasets import RENAME, Translated, in_channels, in_classes
from frugalseg.data.example import Example
from frugalseg.data.exports.labels import TAKE_ANOTHER, UnknownClassError
from frugalseg.data.layout import Layout
from frugalseg.data.opened import Decoder, OpenedFolder
from frugalseg.data.origins import Origins
from frugalseg.data.view import View
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from frugalseg.support.progress import Progress, silent
from frugalseg.support.text import listing, quoted

__all__ = ["Example", "SegmentationFolder"]


def as_dataset(
    data: Sequence[Example] | str | Path, classes: ClassTable | None = None, channels: Channels | None = None
) -> Sequence[Example]:
    """Examples from a dataset or the path of a data folder, in the class positions of `classes` if that is given.

    Args:
        data: examples, or a folder as for `SegmentationFolder`.
        classes: a table; classes go by their names.
        channels: that the examples are to have, see `in_channels`.

    Raises:
        InputError: no such folder, something else than examples, a class that `classes` lacks, or other channels.
    """
    require_table(classes)
    if isinstance(data, str | Path):
        return SegmentationFolder(data, classes, channels)
    for odd in _no_examples(data):
        raise InputError(f"expected examples, found {type(odd).__name__}; give a data folder or a SegmentationFolder")
    data = in_channels(data, channels)
    return data if classes is None else in_classes(data, classes)


def require_table(classes: ClassTable | None) -> None:
    """`InputError` for a list of names, or anything else that is no class table."""
    if classes is not None and not isinstance(classes, ClassTable):
        raise InputError(f"classes is {quoted(classes)}; give a ClassTable, such as ClassTable.from_json(path)")


def _no_examples(data: Any) -> Iterator[Any]:
    """What is given in place of a sequence of examples; of a dataset of somebody's own, the first item is looked at."""
    # Arrays and dictionaries are no sequences of examples, though they can be indexed.
    other = isinstance(data, Mapping | bytes | range) or hasattr(data, "ndim")
    if other or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        yield data
    elif isinstance(data, list | tuple):
        yield from (each for each in data if not isinstance(each, Example))
    elif not isinstance(data, SegmentationFolder | View) and len(data) and not isinstance(first := data[0], Example):
        yield first


class SegmentationFolder(Sequence[Example]):
    """Annotated images, read one at a time when asked for.

    Attributes:
        path: the folder, in any of `frugalseg.data.formats.FORMATS`.
        classes: what the ids of the annotations mean.
        names: of the images: stems of the files, with their folders where several have the same.
        image_paths, annotations: the files, in the order of `names`.
        channels: which channels the images have, and from which values they are scaled; None for RGB.
        origins: which network drew the images, where the folder has a record of that; None with `channels`.
    """

    def __init__(
        self,
        path: str | Path | OpenedFolder,
        classes: ClassTable | None = None,
        channels: Channels | Sequence[int] | None = None,
    ) -> None:
        """Find and pair the files.

        Args:
            path: see `find_layout`; a folder that has ``train/`` stands for that. An `OpenedFolder` is not searched
                again, and what it has decoded is not decoded again.
            classes: a trained model's, for example; labels that are words are found in it by name. Without it:
                ``classes.json`` of the folder, then of its parent; without that the classes that the format names
                itself, or the ids found in the masks, which are all read for it.
            channels: which channels of the images are read, as a choice or by their numbers from 1, or those of a
                model, `Segmenter.channels`. Without it, images are read as RGB.

        Raises:
            FileError: no such folder, nothing in it, an image without mask or the reverse, names that clash, a
                ``classes.json`` or (where it is missing) a mask that is wrong; a wrong record of drawn images; or
                images whose channels differ.
        """
        require_table(classes)
        opened = OpenedFolder.of(path, channels=None if channels is None else as_choice(channels))
        layout = opened.layout
        if layout.problems:
            raise layout.problems[0]
        self.path = layout.path
        self.names = list(layout.images)
        self.image_paths = list(layout.images.values())
        self.annotations: list[Annotation] = [layout.masks[name] for name in self.names]
        table = (layout.classes,) if layout.by_name and layout.classes and classes is None else ()
        records = () if layout.origins is None else (layout.origins,)
        self._decisive = [*layout.decisive, *table, *records]
        self._decoder, self.channels = opened.decoder, opened.decoder.channels
        # Images in other channels are not those that were drawn.
        record = layout.origins if self.channels is None else None
        self.origins = None if record is None else Origins.read(record)
        self.classes = classes or folder_classes(opened)
        self._labels, self._given = Labels.of(layout), classes is not None
        self._own, self._translation = _own_meaning(self._labels, self.classes, given=self._given)

    @property
    def files(self) -> list[Path]:
        """Every file that the examples come from, once."""
        masks = [annotation.path for annotation in self.annotations]
        return list(dict.fromkeys([*self.image_paths, *masks, *self._decisive]))

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
            part.image_paths, part.annotations = self.image_paths[index], self.annotations[index]
            return part
        image = self._decoder.image(self.image_paths[index])
        target = self._target(index, (image.shape[0], image.shape[1]))
        origin = None if self.origins is None else self.origins.seed_of(image)
        return Example(self.names[index], image, target, origin)

    def in_classes(self, classes: ClassTable) -> Sequence[Example]:
        """The same images with targets in the positions of another table, as if it had been given at the beginning.

        Raises:
            FileError: the folder has a class that `classes` lacks.
        """
        if self._given:  # what the annotations mean is no longer the folder's own business
            return Translated(self, classes)
        part = copy(self)
        part.classes, part._given = classes, True
        part._own, part._translation = _own_meaning(self._labels, classes, given=True)
        return part

    def in_channels(self, channels: Channels) -> Sequence[Example]:
        """The same images read in other channels; the ranges of a choice are found on all of them.

        Raises:
            FileError: an image lacks a channel, or has another number of channels than the others.
        """
        part = copy(self)
        spec = channels if isinstance(channels, ChannelSpec) else channels.found_in_files(self.image_paths)
        part._decoder, part.channels, part.origins = Decoder(self._decoder.keep, spec), spec, None
        return part

    def size(self, index: int) -> tuple[int, int]:
        """(H, W) of an image; it is not decoded for this."""
        return self._decoder.size(self.image_paths[index])

    def target(self, index: int) -> NDArray[np.uint8]:
        """(H, W) uint8 class positions, 255 where not annotated; of the image only the header is read."""
        return self._target(index, self.size(index))

    def _target(self, index: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """`FileError` where the annotation is unreadable, of another size, or holds an id that is not of `classes`."""
        path, annotation = self.image_paths[index], self.annotations[index]
        table = self.classes if self._translation is None else self._own
        try:
            ids = self._decoder.ids(path, annotation, size, self._own)
            require_same_size(path, size, annotation.path, ids.shape)
            positions = table.to_positions(ids)
        except UnknownClassError as error:
            raise error.of_model() if self._given else error from None
        except ValueError as error:
            raise unknown_ids(annotation.path, str(error), table, given=self._given) from None
        return positions if self._translation is None else self._translation[positions]


@dataclass(frozen=True)
class Labels:
    """What the labels of a folder's annotations are.

    Attributes:
        by_name: whether they are words.
        classes: path of ``classes.json``, where there is one.
        legend: whether the format itself names classes.
    """

    by_name: bool
    classes: Path | None
    legend: bool

    @classmethod
    def of(cls, layout: Layout) -> "Labels":
        """Of the layout, whose own functions cannot travel to other processes."""
        return cls(layout.by_name, layout.classes, layout.legend is not None)


def _own_meaning(labels: Labels, classes: ClassTable, *, given: bool) -> tuple[ClassTable, NDArray[np.uint8] | None]:
    """What the ids of a folder's annotations mean, and which position of `classes` each of its own positions is.

    Args:
        labels: of the folder.
        classes: the table whose positions are wanted.
        given: whether it comes from elsewhere, such as a model. A ``classes.json`` of the folder may then give the
            same names other ids or another order, and its own `ignore_index` holds for its masks.

    Returns:
        The table by which annotations are read, and a translation (256,) uint8; None where none is needed.

    Raises:
        FileError: the folder's ``classes.json`` has a class that `classes` lacks.
    """
    if labels.by_name:
        return classes, None
    if labels.classes is None:
        # Colors that are made up here say nothing of those in the masks.
        return (classes if given or labels.legend else NO_CLASSES), None
    own = ClassTable.from_json(labels.classes)
    if not given or (own.ids, own.names, own.ignore_index) == (classes.ids, classes.names, classes.ignore_index):
        return own, None
    if own.nameless or classes.nameless:
        table = classes.ignoring(own.ignore_index)
        return table, None if len(table) == len(classes) else table.positions_in(classes)
    try:
        return own, own.positions_in(classes)
    except ValueError as error:
        raise FileError(labels.classes, str(error), RENAME) from None


def check_annotated(data: SegmentationFolder, progress: Progress = silent) -> None:
    """Read every image and annotation of a folder; `FileError` for a wrong one, or where nothing is annotated."""
    annotated = False
    for number in range(len(data)):
        annotated |= bool((data[number].target != NOT_ANNOTATED).any())
        progress(f"check {data.path.name}", number + 1, len(data))
    if not annotated:
        raise FileError(data.path, "no pixel is annotated", "give annotated images")


def require_same_size(image_path: Path, image: tuple[int, ...], mask_path: Path, mask: tuple[int, ...]) -> None:
    """`FileError` where an image and its mask, given as (H, W), differ in size."""
    if image != mask:
        message = f"the mask is {mask[0]}x{mask[1]} (height x width), the image {image[0]}x{image[1]}"
        remedy = f"export the mask at the size of {image_path.name}, without smoothing"
        if mask == image[::-1]:
            message += ", as if it lay on its side: its file says so in its EXIF orientation, or the mask was turned"
            remedy = f"export the mask of the upright {image_path.name}"
        raise FileError(mask_path, message, remedy)


def unknown_ids(mask_path: Path, message: str, classes: ClassTable, *, given: bool = False) -> FileError:
    """The error for a mask that holds ids outside `classes`, which the folder has itself or which were `given`."""
    known = listing(list(classes.ids), 20)
    remedy = f"correct the mask, or {TAKE_ANOTHER}" if given else "add them to classes.json or correct the mask"
    return FileError(mask_path, f"{message} (known: {known}; not annotated: {classes.ignore_index})", remedy)


def folder_classes(opened: OpenedFolder) -> ClassTable:
    """``classes.json``, or else the format's own classes, or else the ids found in all masks."""
    layout, decoder = opened.layout, opened.decoder
    if layout.classes is not None:
        return ClassTable.from_json(layout.classes)
    if layout.legend is not None:
        return layout.legend(False)
    ids: set[int] = set()
    for _, image, annotation in layout.pairs:
        ids.update(np.unique(decoder.ids(image, annotation, decoder.size(image), NO_CLASSES)).tolist())
    return classes_of_ids(layout.path, ids)


NO_CLASSES = ClassTable((), (), ())
"""For annotations that hold ids themselves."""


def classes_of_ids(folder: Path, ids: set[int]) -> ClassTable:
    """The table of the ids found in a folder's masks; `FileError` where they cannot be classes."""
    try:
        table = ClassTable.from_ids(ids)
    except ValueError as error:
        remedy = "these look like pictures, not class ids: export indexed or gray PNG whose pixel values are the ids"
        raise FileError(folder, f"in the masks, {error}", remedy) from None
    if not len(table):
        raise FileError(folder, "no pixel of any mask is annotated (all are 255)", "annotate at least two classes")
    return table
