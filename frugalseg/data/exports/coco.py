"""COCO: one JSON file for a folder of images, with the outlines of all objects."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.classes import ClassTable
from frugalseg.data.exports.coco_index import CocoIndex, ImageEntry, is_coco
from frugalseg.data.exports.coco_outlines import Outline
from frugalseg.data.exports.documents import json_files, require_size
from frugalseg.data.exports.labelme import is_labelme
from frugalseg.data.exports.labels import UnknownClassError, Vocabulary
from frugalseg.data.exports.places import find_image, missing_image
from frugalseg.data.image_folder import IMAGE_SUFFIXES
from frugalseg.data.layout import Layout, classes_file, image_names, name_clashes, plain_files
from frugalseg.support.files import FileError, read_json
from frugalseg.support.text import count, listing, printable


@dataclass(frozen=True)
class CocoImage:
    """The objects of one image, kept packed: a data set is copied to every process that reads from it.

    Attributes:
        path: the JSON file of the whole folder.
        image: the image's name in it.
        size: (H, W) as the file claims it.
        objects: JSON of the list of label and segmentation of each object.
    """

    path: Path
    image: str
    size: tuple[int, int] | None
    objects: bytes

    def ids(self, size: tuple[int, int], classes: ClassTable) -> NDArray[np.int64]:
        """(H, W) int64: the objects, smaller ones over larger ones; see `Annotation`."""
        require_size(self.path, self.image, self.size, size)
        vocabulary = Vocabulary(classes)
        canvas = np.full(size, vocabulary.outside, np.int64)
        # Sorting is stable: of equal areas the later one is on top.
        for outline, value in sorted(self._outlines(size, vocabulary), key=lambda pair: -pair[0].area):
            for patch in outline.patches(size):
                patch.paint(canvas, value)
        return canvas

    def _outlines(self, size: tuple[int, int], vocabulary: Vocabulary) -> list[tuple[Outline, int]]:
        """Each object and the id of its class; `FileError` for the first that is wrong."""
        found = []
        for label, segmentation in json.loads(self.objects):
            try:
                value = vocabulary.id_of(label)
            except ValueError as error:
                raise UnknownClassError(self.path, error) from None
            try:
                found.append((Outline.of(segmentation, size), value))
            except ValueError as error:
                message = f"an object ({label!r}) of {printable(self.image)}: {error}"
                raise FileError(self.path, message, "mend it in the annotation tool and export again") from None
        return found


def coco_export(root: Path) -> Layout | None:
    """A folder with a COCO file in it or in its ``annotations/``."""
    for place in (root, root / "annotations"):
        if (found := _coco_file(place)) is not None:
            return _layout(root, found[0], CocoIndex.of(*found))
    return None


def _coco_file(place: Path) -> tuple[Path, dict[str, Any]] | None:
    """The one COCO file of a folder and what is in it; None where there is none, or where labelme's files are."""
    stems = {p.stem for p in plain_files(place) if p.suffix.lower() in IMAGE_SUFFIXES}
    files = [file for file in json_files(place) if file.stem not in stems]
    # COCO's own folders hold captions and keypoints as well.
    files = [file for file in files if file.name.startswith("instances_")] or files
    found: list[tuple[Path, dict[str, Any]]] = []
    for file in files:
        try:
            document = read_json(file)
        except FileError:
            continue  # told when nothing else is found
        if is_labelme(document):
            return None
        if is_coco(document):
            found.append((file, document))
    if len(found) > 1:
        message = f"several COCO files: {listing([file.name for file, _ in found])}"
        raise FileError(place, message, "make a folder for each, with its images")
    return found[0] if found else None


def _layout(root: Path, file: Path, index: CocoIndex) -> Layout:
    folders = image_folders(root, file)
    places = {entry: find_image(entry.name, root, folders) for entry in index.images}
    entries = {path: entry for entry, path in places.items() if path is not None}
    names = image_names(root, sorted(entries))
    return Layout(
        root,
        {name: path for path, name in names.items()},
        {
            name: CocoImage(file, entries[path].name, entries[path].size, index.objects.get(entries[path].id, b"[]"))
            for path, name in names.items()
        },
        classes_file(root),
        lambda lenient: index.classes,
        by_name=True,
        problems=(*index.problems, *_unpaired(root, file, folders, places), *name_clashes(root, names)),
        unused=_unlisted(names),
    )


def image_folders(root: Path, file: Path) -> list[Path]:
    """Where the images of a COCO file may be: beside it, in the folder, in ``images/``, in folders named as the file.

    ``annotations/instances_train.json`` belongs to ``train/`` and ``images/train/``.
    """
    part = file.stem.removeprefix("instances_")
    folders = [file.parent, root, root / "images", root / part, root / "images" / part]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _unpaired(
    root: Path, file: Path, folders: Sequence[Path], places: Mapping[ImageEntry, Path | None]
) -> list[FileError]:
    """Images that are missing, and images that are listed twice."""
    problems = []
    missing = [entry.name for entry, path in places.items() if path is None]
    if len(missing) == 1:
        problems.append(missing_image(file, missing[0], root, folders[::-1]))
    elif missing:
        message = f"{len(missing)} of its images are not in the folder: {listing([printable(m) for m in missing], 5)}"
        problems.append(FileError(file, message, f"put them into {folders[-1]}, or correct their paths in the file"))
    found = Counter(path for path in places.values() if path is not None)
    twice = sorted({path.name for path, times in found.items() if times > 1})
    if twice:
        message = f"{count(len(twice), 'image')} listed more than once: {listing(twice)}"
        problems.append(FileError(file, message, "keep one entry for each image"))
    return problems


def _unlisted(names: Mapping[Path, str]) -> tuple[Path, ...]:
    """Images beside those that the file lists."""
    folders = sorted({path.parent for path in names})
    beside = (path for folder in folders for path in plain_files(folder) if path.suffix.lower() in IMAGE_SUFFIXES)
    return tuple(path for path in beside if path not in names)
