"""Folders of images and masks: ``images/`` beside ``masks/``, or the published layout, a ``.npy`` beside each image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.classes import ClassTable
from frugalseg.data.images import images_in, same_stems
from frugalseg.data.layout import Layout, clash_error, classes_file, plain_files
from frugalseg.data.masks import LOSSY_SUFFIXES, MASK_SUFFIXES, read_mask
from frugalseg.support.files import FileError
from frugalseg.support.text import count, listing

PAIRS = "expected images/ and masks/ with files of equal names"


@dataclass(frozen=True)
class MaskFile:
    """An annotation that is a picture or array of class ids."""

    path: Path

    def ids(self, size: tuple[int, int], classes: ClassTable) -> NDArray[np.int64]:
        """(H, W) int64 as the file holds them, see `read_mask`; neither `size` nor `classes` change that."""
        return read_mask(self.path)


def mask_folder(root: Path) -> Layout | None:
    """``images/`` and ``masks/``; `FileError` where either is empty."""
    if not ((root / "images").is_dir() and (root / "masks").is_dir()):
        return None
    images = images_in(root / "images")
    if not images:
        raise FileError(root / "images", "no images in this folder", PAIRS)
    # Lossy files are kept, so that reading them says what is wrong with them.
    masks = [p for p in plain_files(root / "masks") if p.suffix.lower() in MASK_SUFFIXES | LOSSY_SUFFIXES]
    if not masks:
        raise FileError(root / "masks", "no masks in this folder", PAIRS)
    return _layout(root, images, masks)


def published_folder(root: Path) -> Layout | None:
    """A ``.npy`` of the same stem beside each image."""
    images, masks = images_in(root), [p for p in plain_files(root) if p.suffix.lower() == ".npy"]
    return _layout(root, images, masks) if images and masks else None


def _layout(root: Path, images: Sequence[Path], masks: Sequence[Path]) -> Layout:
    return Layout(
        root,
        {p.stem: p for p in images},
        {p.stem: MaskFile(p) for p in masks},
        classes_file(root),
        problems=tuple(pairing_errors(root, images, masks)),
    )


def pairing_errors(root: Path, images: Sequence[Path], masks: Sequence[Path]) -> list[FileError]:
    """What keeps files from being pairs: names that clash, images without mask, masks without image."""
    errors = []
    if clashes := same_stems(images) + same_stems(masks):
        errors.append(clash_error(root, [" and ".join(p.name for p in group) for group in clashes]))
    if lonely := without_partner(images, masks):
        message = f"{count(len(lonely), 'image')} without a mask: {listing(lonely)}"
        errors.append(FileError(root, message, "add a mask of the same name, or move the image away"))
    if lonely := without_partner(masks, images):
        message = f"{count(len(lonely), 'mask')} without an image: {listing(lonely)}"
        errors.append(FileError(root, message, "add the image of the same name, or move the mask away"))
    return errors


def without_partner(paths: Sequence[Path], others: Sequence[Path]) -> list[str]:
    """The names of those of `paths` whose stem none of `others` has."""
    stems = {path.stem for path in others}
    return [path.name for path in paths if path.stem not in stems]
