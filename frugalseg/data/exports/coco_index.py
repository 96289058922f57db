"""A COCO file sorted by image: read once for a folder, each image's objects kept as they are until they are wanted."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugalseg.data.classes import MAX_ID, NOT_ANNOTATED, ClassTable
from frugalseg.data.exports.coco_outlines import polygons_of
from frugalseg.data.exports.documents import MOST_DIGITS, whole_size
from frugalseg.data.exports.labels import is_background, named_table, require_label
from frugalseg.support.files import FileError
from frugalseg.support.text import listing

Key = int | str

BEYOND = 0.5
"""How far an outline that is given in shares of the image's sides may reach beyond the image."""

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
        used = {key_of(annotation.get("category_id")) for annotation in entries(path, document, "annotations")}
        labels = category_names(path, document, used)
        objects, strays, boxes = objects_by_image(path, document, labels, {image.id for image in images})
        total, problems = len(document["annotations"]), []
        if strays:
            problems.append(_of_no_image(path, strays, total))
        if boxes:
            problems.append(_boxes_alone(path, boxes, total))
        if in_shares(document["annotations"]):
            problems.append(_in_shares(path))
        return cls(images, category_table(path, labels), objects, problems)


def key_of(value: Any) -> Key | None:
    """An id, the same for all ways in which tools write it: ``7``, ``7.0`` and ``"7"``; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else str(value)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < MOST_DIGITS:
        # "007" is a name, not the number 7.
        return int(value) if str(int(value)) == value else value
    return value


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
        key, name = key_of(entry.get("id")), entry.get("file_name")
        if key is None or not isinstance(name, str) or not name:
            raise FileError(path, f"image number {number} has no id or no file_name", REMEDY)
        found.append(ImageEntry(key, name, whole_size(entry.get("height"), entry.get("width"))))
    twice = [key for key, times in Counter(entry.id for entry in found).items() if times > 1]
    if twice:
        raise FileError(path, f"several images have the id {listing(twice, 3)}", REMEDY)
    if not found:
        raise FileError(path, "lists no images", REMEDY)
    return found


def category_names(path: Path, document: dict[str, Any], used: set[Key | None]) -> dict[int, str]:
    """The label of each category that is one.

    Roboflow adds a category without objects, of the supercategory "none" and named as that of the others, or as one.
    """
    names: dict[int, str] = {}
    categories = entries(path, document, "categories")
    told = [entry.get(key) for entry in categories for key in ("supercategory", "name")]
    for entry in categories:
        key = key_of(entry.get("id"))
        if not isinstance(key, int) or key < 0:
            raise FileError(path, f"a category has the id {str(entry.get('id'))[:40]}", "use whole numbers from 0")
        if key in names:
            raise FileError(path, f"several categories have the id {key}", REMEDY)
        if key in used or entry.get("supercategory") != "none" or told.count(entry.get("name")) < 2:
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
) -> tuple[dict[Key, bytes], list[Key | None], list[Key]]:
    """The packed objects of each image; the image ids of objects of no listed image, and of those without outline."""
    objects: dict[Key, list[tuple[str, Any]]] = defaultdict(list)
    strays: list[Key | None] = []
    boxes: list[Key] = []
    for annotation in document["annotations"]:
        key, category = key_of(annotation.get("image_id")), key_of(annotation.get("category_id"))
        if key is None or key not in images:
            strays.append(key)
            continue
        if not isinstance(category, int) or category not in labels:
            told = str(annotation.get("category_id"))[:40]
            raise FileError(path, f"an object has the category {told}, which is not listed", REMEDY)
        if annotation.get("segmentation"):
            objects[key].append((labels[category], annotation["segmentation"]))
        else:
            boxes.append(key)
    return {key: json.dumps(found).encode() for key, found in objects.items()}, strays, boxes


def in_shares(annotations: Sequence[dict[str, Any]]) -> bool:
    """Whether all outlines lie between 0 and 1, or nearly: then they are shares of the image's sides, not pixels."""
    polygons = [
        polygon
        for annotation in annotations
        if isinstance(segmentation := annotation.get("segmentation"), list)
        for polygon in polygons_of(segmentation)
        if isinstance(polygon, list) and polygon
    ]
    numbers = [value for polygon in polygons for value in polygon]
    inside = all(isinstance(value, int | float) and -BEYOND <= value <= 1 + BEYOND for value in numbers)
    # Whole numbers alone may be the corner of an image.
    return inside and any(0 < value < 1 for value in numbers)


def _of_no_image(path: Path, strays: Sequence[Key | None], total: int) -> FileError:
    ids = listing(list(dict.fromkeys("none" if key is None else str(key)[:40] for key in strays)), 5)
    message = f"{len(strays)} of {total} objects are of images that the file does not list (image_id {ids})"
    return FileError(path, message, "list these images, or take their objects out")


def _in_shares(path: Path) -> FileError:
    message = "all outlines lie between 0 and 1, as shares of the images' sides; they must be in pixels"
    return FileError(path, message, "export the outlines in pixels, or multiply x by the width and y by the height")


def _boxes_alone(path: Path, boxes: Sequence[Key], total: int) -> FileError:
    message = f"{len(boxes)} of {total} objects have no segmentation, at most a box; segmentation needs outlines"
    return FileError(path, f"{message} (images {listing(boxes, 5)})", "draw polygons or masks, and export them")
