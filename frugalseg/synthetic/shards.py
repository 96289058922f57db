"""Shards: plain tar files of labelled images that WebDataset reads, each with an index that says it is whole.

A shard is ``shard-000003.tar`` with ``00000192.image.png``, ``00000192.mask.png`` and ``00000192.json`` for each of its
samples. ``shard-000003.json`` beside it, written after it, holds its checksum, the places of the files in it, and what
pages and filters need to know of every sample. The bytes of both depend on the samples alone.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugalseg.support import digests
from frugalseg.support.files import FileError, read_json
from frugalseg.synthetic.record import MOST

REDO = "run the generate command of this folder again: it redoes what is missing or damaged"


@dataclass(frozen=True)
class Entry:
    """What a shard's index knows of one sample.

    Attributes:
        key: its name in the shard.
        image, mask: (offset, length) of its files in the tar.
        size: (H, W).
        uncertainty, seed, source: see `frugalseg.synthetic.shard_writer.LabelledImage`.
        pixels: how many of each class, in the order of the class table.
    """

    key: str
    image: tuple[int, int]
    mask: tuple[int, int]
    size: tuple[int, int]
    uncertainty: float
    seed: int | None
    source: str | None
    pixels: tuple[int, ...]

    def lies_within(self, size: int) -> bool:
        """Whether its files lie in the first `size` bytes."""
        return all(offset >= 0 and 0 < length <= size - offset for offset, length in (self.image, self.mask))


@dataclass(frozen=True)
class ShardIndex:
    """What stands beside a shard.

    Attributes:
        first, count: the numbers first, ..., first + count - 1 were to go into it.
        size, sha256: of the tar, in bytes.
        entries: the samples; fewer than `count` where photographs could not be read.
    """

    first: int
    count: int
    size: int
    sha256: str
    entries: tuple[Entry, ...]


def shard_path(folder: Path, number: int) -> Path:
    """The tar of shard `number`."""
    return folder / f"shard-{number:06d}.tar"


def index_path(folder: Path, number: int) -> Path:
    """The index of shard `number`."""
    return folder / f"shard-{number:06d}.json"


def find_index(folder: Path, number: int, numbers: range | None = None, *, thorough: bool = True) -> ShardIndex | None:
    """The index of a shard that is whole; None where it is missing, damaged, cut short or of other samples.

    Args:
        folder: of the set.
        number: of the shard.
        numbers: of the samples that belong into it; None takes any.
        thorough: compare the checksum, not the size alone.
    """
    path = shard_path(folder, number)
    try:
        values = read_json(index_path(folder, number))
        index = ShardIndex(**{**values, "entries": tuple(entry_of(entry) for entry in values["entries"])})
        if numbers is not None and (index.first, index.count) != (numbers.start, len(numbers)):
            return None
        if path.stat().st_size != index.size or not all(entry.lies_within(index.size) for entry in index.entries):
            return None
        if thorough and digests.file(path) != index.sha256:
            return None
    except (FileError, FileNotFoundError, KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return index


def entry_of(values: dict[str, Any]) -> Entry:
    """An `Entry` from JSON values; TypeError or ValueError where they are not of one."""
    tuples = ("image", "mask", "size", "pixels")
    fields: dict[str, Any] = {key: tuple(map(int, v)) if key in tuples else v for key, v in values.items()}
    entry = Entry(**fields)
    if not (len(entry.image) == len(entry.mask) == len(entry.size) == 2 and abs(float(entry.uncertainty)) < 1e30):
        raise ValueError("not an entry")
    if not (entry.key.isdecimal() and all(0 <= n < MOST for n in (int(entry.key), *entry.size, *entry.pixels))):
        raise ValueError("not an entry")
    if sum(entry.pixels) > math.prod(entry.size):
        raise ValueError("more pixels with a class than there are")
    return entry
