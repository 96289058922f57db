"""A COCO file sorted by image: read once for a folder, each image's objects kept as they are until they are wanted."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugalseg.data.classes import MAX_ID, NOT_ANNOTATED, ClassTable
from frugalseg.data.exports.documents import whole_size
from frugalseg.data.exports.labels import is_background, named_table, require_label
from frugalseg.support.files import FileError
from frugalseg.support.text import listing

Key = int | str

REMEDY = "export it again from the annotation tool"


@dataclass(frozen=True)
class ImageEntry:
    """One image as the file lists it; `size` is (H, W), None where it is not told."""

    id: Key
    name: str
    size: tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class CocoIndex:
    """What a COCO file says.

    Attributes:
        images: in the file's order.
        classes: background and the categories.
        objects: by the image's id, JSON of the list of [label, segmentation] of its objects.
        problems: what keeps the file from being used.
    """

    images: Sequence[ImageEntry]
    classes: ClassTable
    objects: Mapping[Key, bytes]
    problems: Sequence[FileError]

    @classmethod
    def of(cls, path: Path, document: dict[str, Any]) -> "CocoIndex":
        """Sort a document; `FileError` where it is not as COCO's are."""
        images = image_entries(path, document["images"])
        used = {str(annotation.get("category_id")) for annotation in entries(path, document, "annotations")}
        labels = category_names(path, document, used)
        objects, boxes = objects_by_image(path, document, labels, {image.id for image in images})
        problems = [_boxes_alone(path, boxes, len(document["annotations"]))] if boxes else []
        return cls(images, category_table(path, labels), objects, problems)


def is_coco(document: Any) -> bool:
    """Whether a JSON value has the three lists of COCO."""
    if not isinstance(document, dict):
        return False
    return all(isinstance(document.get(key), list) for key in ("images", "annotations", "categories"))


def entries(path: Path, document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """One of the lists, whose members must be objects in braces."""
    found: list[Any] = document[key]
    wrong = next((number for number, entry in enumerate(found, 1) if not isinstance(entry, dict)), None)
    if wrong is not None:
        raise FileError(path, f"number {wrong} of {key} is not an object in braces", REMEDY)
    return found


def image_entries(path: Path, values: Sequence[Any]) -> list[ImageEntry]:
    """The images of a file; `FileError` for one without id or name, and for an id used twice."""
    found = []
    for number, value in enumerate(values, 1):
        entry = value if isinstance(value, dict) else {}
        key, name = entry.get("id"), entry.get("file_name")
        if not isinstance(key, int | str) or isinstance(key, bool) or not isinstance(name, str) or not name:
            raise FileError(path, f"image number {number} has no id or no file_name", REMEDY)
        found.append(ImageEntry(key, name, whole_size(entry.get("height"), entry.get("width"))))
    twice = [key for key, times in Counter(entry.id for entry in found).items() if times > 1]
    if twice:
        raise FileError(path, f"several images have the id {listing(twice, 3)}", REMEDY)
    if not found:
        raise FileError(path, "lists no images", REMEDY)
    return found


def category_names(path: Path, document: dict[str, Any], used: set[str]) -> dict[int, str]:
    """The label of each category that is one: Roboflow adds a category without objects, of the supercategory "none"."""
    names: dict[int, str] = {}
    for entry in entries(path, document, "categories"):
        key = entry.get("id")
        if type(key) is not int or key < 0:
            raise FileError(path, f"a category has the id {key!r}", "use whole numbers from 0")
        if key in names:
            raise FileError(path, f"several categories have the id {key}", REMEDY)
        if str(key) in used or entry.get("supercategory") != "none":
            names[key] = require_label(path, entry.get("name"))
    twice = [name for name, times in Counter(names.values()).items() if times > 1]
    if twice:
        raise FileError(path, f"several categories are named {listing(twice, 3)}", "give each category its own name")
    return names


def category_table(path: Path, labels: Mapping[int, str]) -> ClassTable:
    """Background, and the categories by their ids; numbered from 1 where an id cannot be that of a class."""
    kept = {key: label for key, label in sorted(labels.items()) if not is_background(label)}
    if any(key in (0, NOT_ANNOTATED) or key > MAX_ID for key in kept):
        kept = dict(enumerate(kept.values(), 1))
    return named_table(path, kept)


def objects_by_image(
    path: Path, document: dict[str, Any], labels: Mapping[int, str], images: set[Key]
) -> tuple[dict[Key, bytes], list[Key]]:
    """The packed objects of each image, and the images of objects without an outline.

    Objects of images that are not listed are left out, as those of a part of a data set.
    """
    objects: dict[Key, list[tuple[str, Any]]] = defaultdict(list)
    boxes: list[Key] = []
    for annotation in document["annotations"]:
        key, category = annotation.get("image_id"), annotation.get("category_id")
        if not isinstance(key, int | str) or key not in images:
            continue
        if type(category) is not int or category not in labels:
            raise FileError(path, f"an object has the category {category!r}, which is not listed", REMEDY)
        if annotation.get("segmentation"):
            objects[key].append((labels[category], annotation["segmentation"]))
        else:
            boxes.append(key)
    return {key: json.dumps(found).encode() for key, found in objects.items()}, boxes


def _boxes_alone(path: Path, boxes: Sequence[Key], total: int) -> FileError:
    message = f"{len(boxes)} of {total} objects have no segmentation, at most a box; segmentation needs outlines"
    return FileError(path, f"{message} (images {listing(boxes, 5)})", "draw polygons or masks, and export them")
