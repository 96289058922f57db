"""Labelled images written into shards: encoded first, then a shard at a time, each by one process."""

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
from frugalseg.support import digests
from frugalseg.support.share import claimed
from frugalseg.synthetic.shards import Entry, ShardIndex, entry_of, find_index, index_path, shard_path

HEADER = 512  # bytes before a file in a tar


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
    """Write a shard through the file that `claimed_shard` gave, then its index; both appear whole or not at all.

    Args:
        folder: of the set.
        number: of the shard.
        numbers: of the samples that were to go into it.
        samples: those that did, in order.
        into: the claimed file, which is closed.
    """
    entries = write_tar(into, samples)
    into.flush()
    os.fsync(into.fileno())
    into.seek(0)
    checksum = digests.rest_of(into)
    size = into.tell()
    index = ShardIndex(numbers.start, len(numbers), size, checksum, tuple(entries))
    beside = Path(into.name).with_suffix(".index.partial")
    # ASCII: file names of photographs need not be UTF-8, and JSON can escape what Python makes of those.
    beside.write_text(json.dumps(asdict(index)) + "\n", encoding="ascii")
    into.close()  # Windows renames no open file
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
def claimed_shard(folder: Path, number: int, numbers: range) -> Iterator[BufferedRandom | None]:
    """An empty temporary file for a shard, ours alone; None where the shard is whole, or another process writes it.

    What a killed process leaves of it is taken up, emptied, by whoever comes next.
    """
    lock = folder / f".shard-{number:06d}.lock"
    partial = lock.with_suffix(".partial")
    # The lock has a file of its own, which keeps its name until shard and index both have theirs.
    with claimed(lock, lambda: find_index(folder, number, numbers) is not None) as ours:
        if not ours:
            yield None
            return
        try:
            with partial.open("w+b") as file:
                yield file
        finally:
            partial.unlink(missing_ok=True)
