"""The classes of a data set: what a mask's values mean."""

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalseg.data.files import write_json

Color = tuple[int, int, int]

NOT_ANNOTATED = 255
"""The position, in a target, of a pixel that nobody annotated."""

MAX_CLASSES = 254
MAX_ID = 65535


@dataclass(frozen=True)
class ClassTable:
    """The classes in order; a class's *position* 0..K-1 is what networks see, its *id* is what masks hold.

    Attributes:
        ids: mask values, distinct, 0 to 65535.
        names: one a class.
        colors: one (red, green, blue), each 0 to 255, a class.
        ignore_index: the mask value of pixels that are not annotated; never one of `ids`.
    """

    ids: tuple[int, ...]
    names: tuple[str, ...]
    colors: tuple[Color, ...]
    ignore_index: int = NOT_ANNOTATED

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.names) == len(self.colors):
            raise ValueError(f"{len(self.ids)} ids, {len(self.names)} names and {len(self.colors)} colours")
        if len(self.ids) > MAX_CLASSES:
            raise ValueError(f"{len(self.ids)} classes; at most {MAX_CLASSES}")
        if len(set(self.ids)) != len(self.ids):
            raise ValueError(f"class ids must differ: {list(self.ids)}")
        if any(not 0 <= i <= MAX_ID for i in (*self.ids, self.ignore_index)):
            raise ValueError(f"ids must be from 0 to {MAX_ID}: {list(self.ids)}, ignore {self.ignore_index}")
        if self.ignore_index in self.ids:
            raise ValueError(f"id {self.ignore_index} is both a class and ignore_index")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def from_ids(cls, ids: Iterable[int], ignore_index: int = NOT_ANNOTATED) -> "ClassTable":
        """A table of the ids found in masks, sorted, `ignore_index` left out, with names and colours made up."""
        kept = tuple(sorted({int(i) for i in ids} - {ignore_index}))
        return cls(kept, tuple(f"class {i}" for i in kept), distinct_colors(len(kept)), ignore_index)

    def to_json(self, path: str | Path) -> None:
        """Write ``classes.json``."""
        classes = [
            {"id": i, "name": name, "color": list(color)}
            for i, name, color in zip(self.ids, self.names, self.colors, strict=True)
        ]
        write_json(path, {"ignore_index": self.ignore_index, "classes": classes})

    def to_ids(self, positions: ArrayLike) -> NDArray[np.int64]:
        """The ids of an array of positions; 255 becomes `ignore_index`. IndexError for any other position >= K."""
        table = np.full(NOT_ANNOTATED + 1, -1, np.int64)
        table[: len(self)] = self.ids
        table[NOT_ANNOTATED] = self.ignore_index
        ids: NDArray[np.int64] = table[np.asarray(positions)]
        if (ids < 0).any():
            raise IndexError(f"positions must be below {len(self)}, or {NOT_ANNOTATED}")
        return ids


def distinct_colors(count: int) -> tuple[Color, ...]:
    """`count` colours that are easy to tell apart, always the same ones."""
    return tuple(_color(i) for i in range(count))


def _color(i: int) -> Color:
    # The golden ratio spreads hues evenly however many there are; lightness and saturation step slower.
    hue = (0.58 + i * 0.61803398875) % 1
    red, green, blue = colorsys.hls_to_rgb(hue, (0.6, 0.42, 0.75)[i // 7 % 3], (0.75, 0.55)[i // 21 % 2])
    return round(red * 255), round(green * 255), round(blue * 255)
