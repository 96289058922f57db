"""Masks whose colors say which class is meant."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frugalseg.data.classes import NOT_ANNOTATED, ClassTable, Color
from frugalseg.data.images import opened

INDEXED = frozenset({".png", ".bmp", ".tif", ".tiff"})
"""Files that may be indexed."""

WHITE: Color = (255, 255, 255)
"""How masks show pixels that are not annotated, unless a class has that color."""


def ids_of_palette(picture: Image.Image, classes: ClassTable) -> NDArray[np.generic]:
    """(H, W) ids of an indexed picture.

    Some tools write the palette of each mask in another order. Where the colors of a mask are those of the classes but
    in another order, the colors decide; otherwise the indices are the ids.
    """
    values = np.asarray(picture)
    colors = palette_colors(picture)
    found = np.unique(values).tolist()
    own = dict(zip(classes.ids, classes.colors, strict=True))
    ignored = {classes.ignore_index, NOT_ANNOTATED} - set(classes.ids)
    if all(index in ignored or (index in own and colors.get(index) == own[index]) for index in found):
        return values
    by_color = _ids_by_color(classes)
    meaning = {index: index if index in ignored else by_color.get(colors.get(index, WHITE)) for index in found}
    known = {index: value for index, value in meaning.items() if value is not None}
    if len(known) < len(found):
        return values
    table = np.zeros(256, np.int64)
    table[list(known)] = list(known.values())
    ids: NDArray[np.int64] = table[values]
    return ids


def ids_of_colors(colors: NDArray[np.uint8], classes: ClassTable, void: Color = WHITE) -> NDArray[np.generic] | None:
    """(H, W) ids of a picture in the colors of the classes; None where one color is that of no class.

    Args:
        colors: (H, W, 3).
        classes: the table.
        void: also the color of pixels that are not annotated, unless a class has it.
    """
    found, places = np.unique(colors.reshape(-1, 3), axis=0, return_inverse=True)
    by_color = {void: classes.ignore_index, **_ids_by_color(classes)}
    meaning = [by_color.get((red, green, blue)) for red, green, blue in found.tolist()]
    if any(value is None for value in meaning):
        return None
    ids: NDArray[np.int64] = np.array(meaning, np.int64)[places].reshape(colors.shape[:2])
    return ids


def palette_of(path: Path) -> dict[int, Color]:
    """The color of each index of an indexed mask, from its header; nothing for other files."""
    if path.suffix.lower() not in INDEXED:
        return {}
    with opened(path) as picture:
        return palette_colors(picture) if picture.mode == "P" else {}


def palette_colors(picture: Image.Image) -> dict[int, Color]:
    """The color of each index of an indexed picture."""
    flat = picture.getpalette("RGB") or []
    return {place // 3: (flat[place], flat[place + 1], flat[place + 2]) for place in range(0, len(flat) - 2, 3)}


def _ids_by_color(classes: ClassTable) -> dict[Color, int]:
    """The id of each color; colors of two classes say nothing and are left out."""
    known = {color: i for i, color in zip(classes.ids, classes.colors, strict=True) if classes.colors.count(color) == 1}
    return {WHITE: classes.ignore_index, **known}
