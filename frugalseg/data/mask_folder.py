"""Folders of images and masks: ``images/`` beside ``masks/``, or the published layout, a ``.npy`` beside each image."""

import logging
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.catalogue.benchmarks import part_at
from frugalseg.data.classes import ClassTable, composed
from frugalseg.data.image_folder import IMAGE_SUFFIXES, images_in
from frugalseg.data.layout import Layout, clash_error, classes_file, in_or_beside, plain_files
from frugalseg.data.masks import LOSSY_SUFFIXES, MASK_SUFFIXES, read_mask
from frugalseg.data.origins import ORIGINS
from frugalseg.support.files import FileError
from frugalseg.support.text import count, listing

log = logging.getLogger(__name__)

NamedFile = tuple[str, Path]
"""A file with the name that it shares with its partner."""

PAIRS = "expected images/ and masks/ with files of equal names"


@dataclass(frozen=True)
class MaskFile:
    """An annotation that is a picture or array of class ids."""

    path: Path

    def ids(self, size: tuple[int, int], classes: ClassTable) -> NDArray[np.int64]:
        """(H, W) int64 as the file holds them, or the ids of its colors where `classes` has these; see `read_mask`."""
        return read_mask(self.path, classes)


def mask_folder(root: Path) -> Layout | None:
    """``images/`` and ``masks/``; `FileError` where either is empty."""
    if not ((root / "images").is_dir() and (root / "masks").is_dir()):
        return None
    images = named_files(root / "images", IMAGE_SUFFIXES)
    if not images:
        raise FileError(root / "images", "no images in this folder", PAIRS)
    # Lossy files are kept, so that reading them says what is wrong with them; of others those that an image lacks.
    masks = named_files(root / "masks", MASK_SUFFIXES | LOSSY_SUFFIXES)
    wanted = {name for name, _ in images} - {name for name, _ in masks}
    masks += [mask for mask in named_files(root / "masks", IMAGE_SUFFIXES | {".npz"}) if mask[0] in wanted]
    if not masks:
        raise FileError(root / "masks", "no masks in this folder", PAIRS)
    return replace(_layout(root, images, masks), origins=in_or_beside(root, ORIGINS))


def published_folder(root: Path) -> Layout | None:
    """A ``.npy`` of the same stem beside each image.

    A folder that is a part of a benchmark by its name, as ``cat_15/real/train``, has the classes of that benchmark
    unless it has a ``classes.json``. Of more images than the benchmark has, the first ones are taken, as published.
    """
    images = [(name_of(path, root), path) for path in images_in(root)]
    masks = [(name_of(path, root), path) for path in plain_files(root) if path.suffix.lower() == ".npy"]
    if not images or not masks:
        return None
    layout, known = _layout(root, images, masks), part_at(root)
    if layout.classes is not None or known is None:
        return layout
    benchmark, part = known
    if len(images) > part.images and not layout.problems:
        log.warning("%s: the first %s of %s images are used, as in the paper", root, part.images, len(images))
        kept = dict(images[: part.images])
        layout = _layout(root, list(kept.items()), [mask for mask in masks if mask[0] in kept])
    return replace(layout, classes=benchmark.classes_file)


def _layout(root: Path, images: Sequence[NamedFile], masks: Sequence[NamedFile]) -> Layout:
    return Layout(
        root,
        dict(images),
        {name: MaskFile(path) for name, path in masks},
        classes_file(root),
        problems=tuple(pairing_errors(root, images, masks)),
    )


def named_files(folder: Path, suffixes: Set[str]) -> list[NamedFile]:
    """The files of a folder that end in one of `suffixes`, by name; those of its folders where it has none itself."""
    files = [path for path in plain_files(folder) if path.suffix.lower() in suffixes]
    if not files and folder.is_dir():
        inside = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in suffixes and path.is_file())
        files = [path for path in inside if not any(p.startswith(".") for p in path.relative_to(folder).parts)]
    return [(name_of(path, folder), path) for path in files]


def name_of(path: Path, folder: Path) -> str:
    """What a file shares with its partner: its path in `folder` without suffix.

    Accents are composed as one letter (NFC): systems differ in how they write them, and a folder may mix both ways.
    """
    return composed(path.relative_to(folder).with_suffix("").as_posix())


def pairing_errors(root: Path, images: Sequence[NamedFile], masks: Sequence[NamedFile]) -> list[FileError]:
    """What keeps files from being pairs: names that clash, images without mask, masks without image."""
    errors = []
    if clashes := _same_names(images) + _same_names(masks):
        errors.append(clash_error(root, [" and ".join(path.name for path in group) for group in clashes]))
    if lonely := without_partner(images, masks):
        message = f"{count(len(lonely), 'image')} without a mask: {listing(lonely)}"
        errors.append(FileError(root, message, "add a mask of the same name, or move the image away"))
    if lonely := without_partner(masks, images):
        message = f"{count(len(lonely), 'mask')} without an image: {listing(lonely)}"
        errors.append(FileError(root, message, "add the image of the same name, or move the mask away"))
    return errors


def _same_names(files: Sequence[NamedFile]) -> list[list[Path]]:
    """Groups of files that have one name."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for name, path in files:
        groups[name].append(path)
    return [group for group in groups.values() if len(group) > 1]


def without_partner(files: Sequence[NamedFile], others: Sequence[NamedFile]) -> list[str]:
    """The file names of those of `files` whose name none of `others` has."""
    known = {name for name, _ in others}
    return [path.name for name, path in files if name not in known]
