"""The classes of a data set: what a mask's values mean."""

import colorsys
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalseg.support.files import FileError, read_json, write_json
from frugalseg.support.text import is_name, listing, quoted

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
            raise ValueError(f"{len(self.ids)} ids, {len(self.names)} names and {len(self.colors)} colors")
        if len(self) > MAX_CLASSES:
            raise ValueError(f"there are {len(self)} classes; at most {MAX_CLASSES} are possible")
        outside = [i for i in (*self.ids, self.ignore_index) if not 0 <= i <= MAX_ID]
        if outside:
            raise ValueError(f"id {outside[0]} is not from 0 to {MAX_ID}")
        if self.ignore_index in self.ids:
            raise ValueError(f"id {self.ignore_index} is both a class and ignore_index")
        for kind, values in (("id", self.ids), ("name", self.names)):
            repeated = [value for value, count in Counter[int | str](values).items() if count > 1]
            if repeated:
                raise ValueError(f"{kind} {repeated[0]!r} is used by more than one class")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def from_ids(cls, ids: Iterable[int], ignore_index: int = NOT_ANNOTATED) -> "ClassTable":
        """A table of the ids found in masks, sorted, `ignore_index` left out, with names and colours made up."""
        kept = tuple(sorted({int(i) for i in ids} - {ignore_index}))
        return cls(kept, tuple(f"class {i}" for i in kept), distinct_colors(len(kept)), ignore_index)

    @classmethod
    def from_json(cls, path: str | Path) -> "ClassTable":
        """Read ``classes.json``: ``{"ignore_index": 255, "classes": [{"id", "name", "color"}, ...]}``.

        `ignore_index`, names and colours may be left out. An entry whose id is `ignore_index` is not a class and is
        dropped. `FileError` for anything that is not as described.
        """
        value = read_json(path, megabytes=1)
        try:
            return cls._parse(value)
        except ValueError as error:
            raise FileError(path, str(error), 'expected {"classes": [{"id": 0, "name": "sky"}, ...]}') from None

    @classmethod
    def _parse(cls, value: Any) -> "ClassTable":
        _only_keys(value, {"ignore_index", "classes"}, "the file")
        ignore = _id(value.get("ignore_index", NOT_ANNOTATED), "ignore_index")
        entries = value.get("classes")
        if not isinstance(entries, list):
            raise ValueError('"classes" is not a list')
        for number, entry in enumerate(entries):
            _only_keys(entry, {"id", "name", "color"}, f"class number {number + 1}")
            _id(entry.get("id"), f"the id of class number {number + 1}")
        entries = [entry for entry in entries if entry["id"] != ignore]
        if not entries:
            raise ValueError("there is no class")
        return cls(
            tuple(entry["id"] for entry in entries),
            tuple(_name(entry) for entry in entries),
            tuple(
                _parsed_color(entry, spare) for entry, spare in zip(entries, distinct_colors(len(entries)), strict=True)
            ),
            ignore,
        )

    def to_json(self, path: str | Path) -> None:
        """Write ``classes.json``, atomically; `from_json` reads the same table."""
        classes = [
            {"id": i, "name": name, "color": list(color)}
            for i, name, color in zip(self.ids, self.names, self.colors, strict=True)
        ]
        write_json(path, {"ignore_index": self.ignore_index, "classes": classes})

    def to_positions(self, ids: ArrayLike) -> NDArray[np.uint8]:
        """The positions of an array of ids; `ignore_index` becomes 255, and so does 255 where it is not a class.

        Raises:
            ValueError: an id is neither; the message names such ids.
        """
        values = np.asarray(ids)
        found = np.unique(values)
        known = (*self.ids, self.ignore_index, NOT_ANNOTATED)
        unknown = found[~np.isin(found, known)]
        if unknown.size:
            raise ValueError(f"unknown class ids {listing(unknown.tolist())}")
        table = np.full(MAX_ID + 1, NOT_ANNOTATED, np.uint8)
        table[list(self.ids)] = np.arange(len(self))
        positions: NDArray[np.uint8] = table[values.astype(np.int64)]
        return positions

    @property
    def nameless(self) -> bool:
        """Whether the names were made up from the ids."""
        return self.names == tuple(f"class {i}" for i in self.ids)

    def ignoring(self, value: int) -> "ClassTable":
        """The same classes with another `ignore_index`; one that has it as its id is no class then."""
        kept = [place for place, i in enumerate(self.ids) if i != value]
        ids, names = tuple(self.ids[place] for place in kept), tuple(self.names[place] for place in kept)
        return ClassTable(ids, names, tuple(self.colors[place] for place in kept), value)

    def positions_in(self, other: "ClassTable") -> NDArray[np.uint8]:
        """(256,) uint8: the position in `other` of each position here, by name; 255, not annotated, stays.

        Where the names of one of the tables were made up, classes of the same id are the same. Names may differ in how
        accents are written.

        Raises:
            ValueError: `other` lacks a class; the message names all of these.
        """
        by_id = self.nameless or other.nameless
        own, theirs = (self.ids, other.ids) if by_id else (self.names, other.names)
        if not by_id and not set(self.names) <= set(other.names):
            own, theirs = (tuple(map(composed, table.names)) for table in (self, other))
        missing = [name for key, name in zip(own, self.names, strict=True) if key not in theirs]
        if missing:
            known = listing(list(other.names), 20)
            raise ValueError(f"has classes that the model lacks: {listing(missing)}; the model has: {known}")
        table = np.full(NOT_ANNOTATED + 1, NOT_ANNOTATED, np.uint8)
        table[: len(self)] = [theirs.index(key) for key in own]
        return table

    def to_ids(self, positions: ArrayLike) -> NDArray[np.int64]:
        """The ids of an array of positions; 255 becomes `ignore_index`. IndexError for any other position >= K."""
        table = np.full(NOT_ANNOTATED + 1, -1, np.int64)
        table[: len(self)] = self.ids
        table[NOT_ANNOTATED] = self.ignore_index
        ids: NDArray[np.int64] = table[np.asarray(positions)]
        if (ids < 0).any():
            raise IndexError(f"positions must be below {len(self)}, or {NOT_ANNOTATED}")
        return ids

    def palette(self) -> list[int]:
        """768 numbers: red, green, blue of each mask value 0..255 for an indexed PNG.

        Values that are no class are black, `ignore_index` is white. Ids above 255 have no place in a palette.
        """
        table = np.zeros((256, 3), np.int64)
        if self.ignore_index < 256:
            table[self.ignore_index] = 255
        for i, color in zip(self.ids, self.colors, strict=True):
            if i < 256:
                table[i] = color
        return [int(v) for v in table.ravel()]


def _only_keys(value: Any, allowed: set[str], what: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object in braces")
    unknown = sorted(set(value) - allowed)
    if unknown:
        raise ValueError(f"{what} has an unknown key {quoted(unknown[0])} (known: {', '.join(sorted(allowed))})")


def _id(value: Any, what: str) -> int:
    # bool is an int for Python, but `true` is no id.
    if type(value) is not int or not 0 <= value <= MAX_ID:
        raise ValueError(f"{what} is {quoted(value)}, not a whole number from 0 to {MAX_ID}")
    return value


def _name(entry: dict[str, Any]) -> str:
    name = entry.get("name", f"class {entry['id']}")
    if not isinstance(name, str) or not is_name(name):
        raise ValueError(f"the name of class {entry['id']} is {quoted(name)}, not a line of text")
    return name


def composed(name: str) -> str:
    """A name with accents as one letter (NFC): systems and tools differ in how they write them."""
    return unicodedata.normalize("NFC", name)


def _parsed_color(entry: dict[str, Any], spare: Color) -> Color:
    color = entry.get("color", list(spare))
    whole = isinstance(color, list) and len(color) == 3 and all(type(v) is int and 0 <= v <= 255 for v in color)
    if not whole:
        raise ValueError(f"the color of class {entry['id']} is {quoted(color)}, not three whole numbers from 0 to 255")
    red, green, blue = color
    return red, green, blue


def distinct_colors(count: int) -> tuple[Color, ...]:
    """`count` colours that are easy to tell apart, always the same ones."""
    return tuple(_color(i) for i in range(count))


def _color(i: int) -> Color:
    # The golden ratio spreads hues evenly however many there are; lightness and saturation step slower.
    hue = (0.58 + i * 0.61803398875) % 1
    red, green, blue = colorsys.hls_to_rgb(hue, (0.6, 0.42, 0.75)[i // 7 % 3], (0.75, 0.55)[i // 21 % 2])
    return round(red * 255), round(green * 255), round(blue * 255)
