"""Shards: plain tar files of labelled images that WebDataset reads, each with an index that says it is whole.

A shard is ``shard-000003.tar`` with ``00000192.image.png``, ``00000192.mask.png`` and ``00000192.json`` for each of its
samples. ``shard-000003.json`` beside it, written after it, holds its checksum, the places of the files in it, and what
pages and filters need to know of every sample. The bytes of both depend on the samples alone.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BufferedRandom
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frugalseg.data.classes import NOT_ANNOTATED, ClassTable
from frugalseg.data.masks import mask_image
from frugalseg.support.files import FileError, holding, read_json
from frugalseg.synthetic.record import MOST, SetRecord

HEADER = 512  # bytes before a file in a tar
REDO = "run the generate command of this folder again: it redoes what is missing or damaged"


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One image with its labels, before it is stored.

    Attributes:
        number: its place in the whole set.
        image: (H, W, 3) uint8.
        target: (H, W) uint8 class positions.
        uncertainty: of the image, in nats.
        seed: of a generated image.
        source: file name of a photograph.
    """

    number: int
    image: NDArray[np.uint8]
    target: NDArray[np.uint8]
    uncertainty: float
    seed: int | None = None
    source: str | None = None


@dataclass(frozen=True)
class Entry:
    """What a shard's index knows of one sample.

    Attributes:
        key: its name in the shard.
        image, mask: (offset, length) of its files in the tar.
        size: (H, W).
        uncertainty, seed, source: see `LabelledImage`.
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


# Writing


@dataclass(frozen=True)
class EncodedSample:
    """A sample as bytes, and its `Entry` but for the places."""

    key: str
    files: dict[str, bytes]
    facts: dict[str, Any]


def encode(sample: LabelledImage, classes: ClassTable) -> EncodedSample:
    """The three files of a sample: always the same bytes for the same sample."""
    known = sample.target[sample.target != NOT_ANNOTATED]
    uncertainty = float(np.float32(sample.uncertainty))
    about = {"uncertainty": uncertainty, "seed": sample.seed, "source": sample.source}
    files = {
        "image.png": png(Image.fromarray(sample.image)),
        "mask.png": png(mask_image(classes.to_ids(sample.target), classes)),
        "json": json.dumps(about).encode(),
    }
    pixels = np.bincount(known, minlength=len(classes)).tolist()
    facts = {**about, "size": list(sample.target.shape), "pixels": pixels}
    return EncodedSample(f"{sample.number:08d}", files, facts)


def png(image: Image.Image) -> bytes:
    """A picture as a PNG file; level 1 takes a quarter of the time of the usual 6 and is 4 % larger on photographs."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def write_shard(
    folder: Path, number: int, numbers: range, samples: Iterable[EncodedSample], into: BufferedRandom
) -> None:
    """Write a shard through the file that `claimed` gave, then its index; both appear whole or not at all.

    Args:
        folder: of the set.
        number: of the shard.
        numbers: of the samples that were to go into it.
        samples: those that did, in order.
        into: the claimed file.
    """
    entries = write_tar(into, samples)
    into.flush()
    os.fsync(into.fileno())
    into.seek(0)
    checksum = hashlib.file_digest(into, "sha256").hexdigest()
    size = into.tell()
    index = ShardIndex(numbers.start, len(numbers), size, checksum, tuple(entries))
    beside = Path(into.name).with_suffix(".index.partial")
    # ASCII: file names of photographs need not be UTF-8, and JSON can escape what Python makes of those.
    beside.write_text(json.dumps(asdict(index)) + "\n", encoding="ascii")
    Path(into.name).replace(shard_path(folder, number))
    beside.replace(index_path(folder, number))


def write_tar(into: BufferedRandom, samples: Iterable[EncodedSample]) -> list[Entry]:
    """Append the samples to an empty tar; says where their files lie in it."""
    entries = []
    with tarfile.open(fileobj=into, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            places = {}
            for suffix, content in sample.files.items():
                info = tarfile.TarInfo(f"{sample.key}.{suffix}")  # time, owner and group stay 0
                info.size = len(content)
                places[suffix] = (tar.offset + HEADER, len(content))
                tar.addfile(info, io.BytesIO(content))
            entries.append(
                entry_of({**sample.facts, "key": sample.key, "image": places["image.png"], "mask": places["mask.png"]})
            )
    return entries


@contextmanager
def claimed(folder: Path, number: int, numbers: range) -> Iterator[BufferedRandom | None]:
    """An empty temporary file for a shard, ours alone; None where the shard is whole, or another process writes it.

    What a killed process leaves of it is taken up, emptied, by whoever comes next.
    """
    path = folder / f".shard-{number:06d}.lock"
    partial = path.with_suffix(".partial")
    # The lock has a file of its own, which keeps its name until shard and index both have theirs.
    with holding(path) as ours:
        if not ours or find_index(folder, number, numbers) is not None:
            yield None
            return
        try:
            with partial.open("w+b") as file:
                yield file
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is in such a block of the same folder, and clear away what killed ones left there.

    What is not a shard is written in such blocks only.
    """
    with holding(folder / ".lock", wait=True):
        for stem in ("synthetic", "classes", "index"):
            for left in folder.glob(f".{stem}.*"):
                left.unlink()
        yield


# Reading


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
        if thorough:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != index.sha256:
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
    return entry


class ShardFolder:
    """The samples of a folder of shards, read one at a time; in memory is an index of some hundred bytes a sample.

    Attributes:
        classes: what the masks hold.
        uncertainties: (N,) float32.
        sizes: (N, 2) int64, (H, W) of each sample.
        seeds: of generated images; None for photographs.
        sources: file names of photographs; None for generated images.
        pixels: (N, K) int64, how many of each class.
    """

    def __init__(self, folder: Path) -> None:
        record = SetRecord.read(folder)
        self.folder, self.classes = folder, ClassTable.from_json(folder / "classes.json")
        entries: list[Entry] = []
        shards: list[int] = []
        for number in range(record.shards):
            index = find_index(folder, number, record.numbers(number), thorough=False)
            if index is None:
                raise FileError(shard_path(folder, number), "this shard is missing, unfinished or cut short", REDO)
            if any(len(entry.pixels) != len(self.classes) for entry in index.entries):
                raise FileError(index_path(folder, number), "counts other classes than classes.json has", REDO)
            entries += index.entries
            shards += [number] * len(index.entries)
        self.uncertainties = np.array([entry.uncertainty for entry in entries], np.float32)
        self.sizes = np.array([entry.size for entry in entries], np.int64).reshape(-1, 2)
        self.seeds = [entry.seed for entry in entries]
        self.sources = [entry.source for entry in entries]
        self.keys = np.array([int(entry.key) for entry in entries], np.int64)
        self._shards = np.array(shards, np.int64)
        self._places = np.array([(*entry.image, *entry.mask) for entry in entries], np.int64).reshape(-1, 4)
        self.pixels = np.array([entry.pixels for entry in entries], np.int64).reshape(-1, len(self.classes))

    def __len__(self) -> int:
        return len(self.uncertainties)

    def name(self, place: int) -> str:
        """The sample's name in its shard."""
        return f"{self.keys[place]:08d}"

    def image(self, place: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8."""
        return self._picture(place, 0, "RGB")

    def target(self, place: int) -> NDArray[np.uint8]:
        """(H, W) uint8 class positions."""
        try:
            return self.classes.to_positions(self._picture(place, 2, None))
        except ValueError as error:
            raise self._damaged(place, str(error)) from None

    def _picture(self, place: int, column: int, mode: str | None) -> NDArray[Any]:
        offset, length = (int(value) for value in self._places[place, column : column + 2])
        try:
            with shard_path(self.folder, int(self._shards[place])).open("rb") as file:
                file.seek(offset)
                content = file.read(length)
            with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                pixels = np.array(image if mode is None else image.convert(mode))
        except Exception as error:  # decoders raise nearly anything on broken bytes
            raise self._damaged(place, " ".join(str(error).split())[:120]) from None
        if pixels.shape[:2] != tuple(self.sizes[place]):
            raise self._damaged(place, f"a picture of {pixels.shape[0]}x{pixels.shape[1]}")
        return pixels

    def _damaged(self, place: int, what: str) -> FileError:
        path = shard_path(self.folder, int(self._shards[place]))
        return FileError(path, f"sample {self.name(place)} is damaged ({what})", REDO)
