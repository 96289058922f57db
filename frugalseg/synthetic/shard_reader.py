"""A folder of shards, read sample by sample."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frugalseg.data.classes import ClassTable
from frugalseg.data.decoders import quiet_decoders
from frugalseg.data.images import max_pixels
from frugalseg.support.files import FileError
from frugalseg.support.text import reason
from frugalseg.synthetic.record import SetRecord
from frugalseg.synthetic.shards import REDO, Entry, find_index, index_path, shard_path


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
            with quiet_decoders(), Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                if (image.height, image.width) != tuple(self.sizes[place]):
                    raise ValueError(f"a picture of {image.height}x{image.width}")
                if image.width * image.height > max_pixels():
                    raise ValueError("too large")
                return np.array(image if mode is None else image.convert(mode))
        except Exception as error:  # decoders raise nearly anything on broken bytes
            raise self._damaged(place, reason(error)) from None

    def _damaged(self, place: int, what: str) -> FileError:
        path = shard_path(self.folder, int(self._shards[place]))
        return FileError(path, f"sample {self.name(place)} is damaged ({what})", REDO)
