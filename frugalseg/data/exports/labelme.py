"""labelme: a JSON file of shapes beside each image, or elsewhere in the folder with the image's path in it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frugalseg.data.classes import ClassTable, composed
from frugalseg.data.exports.documents import json_files, require_size, whole_size
from frugalseg.data.exports.labelme_shapes import draw_shape
from frugalseg.data.exports.labels import (
    IGNORED,
    UnknownClassError,
    Vocabulary,
    is_background,
    named_table,
    require_label,
)
from frugalseg.data.exports.places import find_image, missing_image
from frugalseg.data.image_folder import IMAGE_SUFFIXES
from frugalseg.data.layout import Layout, Legend, classes_file, image_names, name_clashes, plain_files
from frugalseg.support.files import FileError, read_json
from frugalseg.support.text import printable

PLACES = (".", "images", "annotations", "labels")
"""Where in a data folder the JSON files may be."""

REMEDY = "open it in labelme, mend it and save it again"


@dataclass(frozen=True)
class LabelmeFile:
    """The shapes of one image.

    Attributes:
        path: the JSON file.
        image: the name of the image file.
    """

    path: Path
    image: str

    def ids(self, size: tuple[int, int], classes: ClassTable) -> NDArray[np.int64]:
        """(H, W) int64: the shapes as labelme draws them, later ones over earlier ones; see `Annotation`."""
        document = read_shapes(self.path)
        self._require_own(document)
        require_size(self.path, self.image, whole_size(document.get("imageHeight"), document.get("imageWidth")), size)
        vocabulary = Vocabulary(classes)
        canvas = Image.new("I", size[::-1], vocabulary.outside)
        for number, (label, shape) in enumerate(labelled(self.path, document), 1):
            try:
                value = vocabulary.id_of(label)
            except ValueError as error:
                raise UnknownClassError(self.path, error) from None
            try:
                draw_shape(canvas, shape, value)
            except ValueError as error:
                raise FileError(self.path, f"shape {number} ({label!r}): {error}", REMEDY) from None
        return np.asarray(canvas).astype(np.int64)

    def labels(self) -> set[str]:
        """The labels of all shapes."""
        return {label for label, _ in labelled(self.path, read_shapes(self.path))}

    def _require_own(self, document: dict[str, Any]) -> None:
        """The image is found by the name of the JSON file; that it is the one that was annotated is seen here."""
        name = PurePosixPath(document["imagePath"].replace("\\", "/"))
        if composed(name.stem) != composed(Path(self.image).stem):
            message = f"was drawn on {printable(name.name)}, but lies beside {self.image}"
            raise FileError(self.path, message, "rename one of them, or correct imagePath")


def read_shapes(path: Path) -> dict[str, Any]:
    """A labelme document; `FileError` where the file is none."""
    document = read_json(path)
    if not is_labelme(document) or not all(isinstance(shape, dict) for shape in document["shapes"]):
        raise FileError(path, "not a labelme file (shapes or imagePath missing)", "save it with labelme or remove it")
    return document  # type: ignore[no-any-return]


def is_labelme(document: Any) -> bool:
    """Whether a JSON value has what labelme writes."""
    if not isinstance(document, dict):
        return False
    return isinstance(document.get("shapes"), list) and isinstance(document.get("imagePath"), str)


def labelled(path: Path, document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Label and shape of all shapes, in order."""
    for shape in document["shapes"]:
        yield require_label(path, shape.get("label")), shape


def labelme_export(root: Path) -> Layout | None:
    """A folder with labelme files in it, or in one of its `PLACES`."""
    for place in PLACES:
        files = json_files(root / place)
        images = [p for p in plain_files(root / place) if p.suffix.lower() in IMAGE_SUFFIXES]
        if holds_labelme(files, images):
            return _layout(root, root / place, files, images)
    return None


def holds_labelme(files: Sequence[Path], images: Sequence[Path]) -> bool:
    """Whether any of the JSON files is of labelme; or, where all are broken, whether one has an image beside it."""
    stems = {image.stem for image in images}
    suspected = False
    for file in files:
        try:
            if is_labelme(read_json(file)):
                return True
        except FileError:
            suspected |= file.stem in stems
    return suspected


def _layout(root: Path, place: Path, files: Sequence[Path], images: Sequence[Path]) -> Layout:
    problems: list[FileError] = []
    owners: dict[Path, list[Path]] = {}
    stems: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        stems[image.stem].append(image)
    for file in files:
        try:
            if (owner := _image_of(file, root, place, stems)) is not None:
                owners.setdefault(owner, []).append(file)
        except FileError as error:
            problems.append(error)
    names = image_names(root, sorted(owners))
    masks = {names[image]: LabelmeFile(files[0], image.name) for image, files in owners.items()}
    return Layout(
        root,
        {name: path for path, name in names.items()},
        masks,
        classes_file(root),
        _legend(root, masks.values()),
        by_name=True,
        problems=(*problems, *_shared(owners), *name_clashes(root, names), *_none_paired(root, owners, problems)),
        unused=tuple(image for image in images if image not in owners),
    )


def _image_of(file: Path, root: Path, place: Path, stems: Mapping[str, list[Path]]) -> Path | None:
    """The image beside a JSON file, or else the one it names; None for a file that is not of labelme.

    Where the name is enough, the file is not read: it may hold a copy of the image.
    """
    beside = stems.get(file.stem, [])
    if len(beside) == 1:
        return beside[0]
    document = read_json(file)
    if not is_labelme(document):
        return None
    name = document["imagePath"]
    folders = [folder for folder in dict.fromkeys((place, root / "images", root)) if folder.is_dir()]
    image = find_image(name, root, folders)
    if image is None:
        raise missing_image(file, name, root, folders)
    return image


def _shared(owners: dict[Path, list[Path]]) -> Iterator[FileError]:
    for image, files in owners.items():
        if len(files) > 1:
            message = f"annotated in {' and in '.join(file.name for file in files)}"
            yield FileError(image, message, "keep one of these files")


def _none_paired(root: Path, owners: dict[Path, list[Path]], problems: list[FileError]) -> list[FileError]:
    if owners or problems:
        return []
    return [FileError(root, "no image with a labelme file", "put the images beside their JSON files")]


def _legend(root: Path, files: Iterable[LabelmeFile]) -> Legend:
    """Background, and the labels of all files in alphabetical order."""
    files = list(files)

    def legend(lenient: bool) -> ClassTable:
        labels: set[str] = set()
        for file in files:
            try:
                labels |= file.labels()
            except FileError:
                if not lenient:
                    raise
        names = sorted(label for label in labels if label != IGNORED and not is_background(label))
        return named_table(root, dict(enumerate(names, 1)))

    return legend
