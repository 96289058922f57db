"""Images with labels and uncertainties that a classifier made: any number of them, read one at a time."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.support.files import FileError
from frugalseg.support.paths import as_path
from frugalseg.synthetic.npz import PublishedArrays
from frugalseg.synthetic.record import RECORD
from frugalseg.synthetic.shard_reader import ShardFolder


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample(Example):
    """An `Example` whose target a classifier made; photographs and samples of published files have no `origin`.

    Attributes:
        uncertainty: of the image, in nats: the mean over its 10 % most uncertain pixels.
    """

    uncertainty: float


class SyntheticSet(Sequence[Sample]):
    """What ``frugalseg generate`` wrote, or a published ``.npz``; nothing is held in memory but an index.

    Safe to hand to the workers of a `DataLoader`: no file stays open.

    Attributes:
        path: the folder or file.
        classes: what the targets' positions mean.
        uncertainties: (N,) float32, of each sample, in nats.
    """

    def __init__(self, path: str | Path, classes: ClassTable | None = None) -> None:
        """Open a set.

        Args:
            path: a folder of shards, or an ``.npz`` of 3 or 4 arrays (see `frugalseg.synthetic.npz`).
            classes: for an ``.npz`` without a ``classes.json`` beside it; without both, the ids found in its labels.

        Raises:
            FileError: neither of the two, or an unfinished or damaged one.
        """
        self.path = as_path(path, "synthetic set")
        if self.path.is_dir() and not (self.path / RECORD).is_file():
            raise FileError(self.path, f"no {RECORD} in it: not what generate writes", "give the folder of a set")
        self.source = ShardFolder(self.path) if self.path.is_dir() else PublishedArrays(self.path, classes)
        self.classes = self.source.classes
        self.places: NDArray[np.int64] = np.arange(len(self.source))
        self.uncertainties: NDArray[np.float32] = self.source.uncertainties

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "SyntheticSet": ...
    def __getitem__(self, index: int | slice) -> "Sample | SyntheticSet":
        if isinstance(index, slice):
            return self.subset(np.arange(len(self))[index])
        place, source = int(self.places[index]), self.source
        return Sample(
            name=source.name(place),
            image=source.image(place),
            target=source.target(place),
            origin=source.seeds[place],
            uncertainty=float(self.uncertainties[index]),
        )

    def subset(self, indices: ArrayLike) -> "SyntheticSet":
        """The samples at some indices, in that order; it reads from the same files."""
        chosen = np.asarray(indices, np.int64)
        part = copy(self)
        part.places, part.uncertainties = self.places[chosen], self.uncertainties[chosen]
        return part

    def seed(self, index: int) -> int | None:
        """The seed that a sample was drawn from, without reading it; None where it is unknown."""
        seed: int | None = self.source.seeds[self.places[index]]
        return seed

    def size(self, index: int) -> tuple[int, int]:
        """(H, W) of a sample, without reading it."""
        height, width = self.source.sizes[self.places[index]]
        return int(height), int(width)
