"""The training set of a pixel classifier: labelled pixels of several images, and the maps to read their features from.

The literal method stores a feature vector for each pixel. Here the maps are stored, each at its own resolution, in half
precision and one map pixel a row, in memory or in a memory-mapped file; vectors are interpolated when asked for.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frugalseg.data.classes import NOT_ANNOTATED
from frugalseg.features.feature_maps import FeatureMaps, blend_corners, neighbours
from frugalseg.features.taps import Tap
from frugalseg.support.files import write_json

LARGEST_HALF = torch.finfo(torch.float16).max


@dataclass(frozen=True, eq=False)
class Source:
    """One image (or window of an image) of a pixel set.

    Attributes:
        network: (h, w) that the network sees.
        target: (H, W) uint8 class positions, 255 = not annotated; its size is the grid of the maps.
    """

    network: tuple[int, int]
    target: NDArray[np.uint8]


def drop_small_regions(target: NDArray[np.uint8], minimum: int = 20) -> NDArray[np.uint8]:
    """A copy in which a class with fewer than `minimum` pixels in this image is not annotated (20 as published)."""
    counts = np.bincount(target.ravel(), minlength=256)
    small = np.flatnonzero((counts > 0) & (counts < minimum))
    return np.where(np.isin(target, small), np.uint8(NOT_ANNOTATED), target)


def stored_bytes(taps: Sequence[Tap], networks: Sequence[tuple[int, int]]) -> int:
    """What the maps of images of these network sizes take, in bytes."""
    return sum(2 * tap.channels * (h // tap.stride) * (w // tap.stride) for tap in taps for h, w in networks)


class PixelSet:
    """Labelled pixels and their features. Fill it with `put`, once for each source; then read `features`.

    Args:
        taps: of the backbone whose maps come.
        sources: the images, in order.
        folder: where the maps are memory-mapped; None keeps them in memory. A folder that holds the maps of the same
            taps and sources from an interrupted run is taken up where that stopped.

    Attributes:
        labels: (N,) int64 class position of each labelled pixel, source by source, row-major.
        image: (N,) int64 source of each pixel.
        channels: channels of each map.
        done: how many sources have their maps.
    """

    def __init__(self, taps: Sequence[Tap], sources: Sequence[Source], folder: Path | None = None) -> None:
        self.taps = tuple(taps)
        self.channels = tuple(tap.channels for tap in taps)
        grids = [np.nonzero(s.target != NOT_ANNOTATED) for s in sources]
        self.labels = torch.from_numpy(
            np.concatenate([s.target[g] for s, g in zip(sources, grids, strict=True)])
        ).long()
        self.image = torch.repeat_interleave(torch.tensor([len(g[0]) for g in grids]))
        self._y, self._x = (torch.from_numpy(np.concatenate([g[axis] for g in grids])) for axis in (0, 1))
        self._grid = torch.tensor([s.target.shape for s in sources])
        self._network = torch.tensor([s.network for s in sources])
        self._first = {stride: self._first_rows(stride) for stride in {tap.stride for tap in taps}}
        self._folder = folder
        self._rows = [self._storage(number) for number in range(len(taps))]
        self.done = self._resume()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def dim(self) -> int:
        """Length of a feature vector."""
        return sum(self.channels)

    def put(self, source: int, maps: FeatureMaps) -> None:
        """Store the maps of a source (a batch of one); sources come in order."""
        for tap, rows, values in zip(self.taps, self._rows, maps.maps, strict=True):
            first, end = self._first[tap.stride][source : source + 2].tolist()
            # In bfloat16 the limit itself would be rounded to a number that half precision lacks.
            rows[first:end] = values[0].flatten(1).t().float().clamp(-LARGEST_HALF, LARGEST_HALF)
        self.done = source + 1
        if self._folder is not None:
            write_json(self._folder / "progress.json", {"key": self._key(), "done": self.done})

    def features(self, index: Tensor) -> Tensor:
        """Feature vectors of some pixels.

        Args:
            index: (n,) int64 positions in `labels`.

        Returns:
            (n, dim) float32, equal to `FeatureMaps.at` of the half-precision maps.
        """
        image = self.image[index]
        corners = {stride: self._corners(stride, image, index) for stride in self._first}
        out = torch.empty(len(index), self.dim)
        parts = out.split(list(self.channels), dim=1)
        for tap, rows, part in zip(self.taps, self._rows, parts, strict=True):
            part.copy_(blend_corners(rows, *corners[tap.stride]))
        return out

    def _corners(self, stride: int, image: Tensor, index: Tensor) -> tuple[Tensor, ...]:
        """Arguments of `blend_corners` for pixels and the maps of one stride."""
        shape = self._network[image] // stride
        top, bottom, down = neighbours(self._y[index], shape[:, 0], self._grid[image, 0])
        left, right, across = neighbours(self._x[index], shape[:, 1], self._grid[image, 1])
        first = self._first[stride][image]
        return first + top * shape[:, 1], first + bottom * shape[:, 1], left, right, down, across

    def _first_rows(self, stride: int) -> Tensor:
        """(sources + 1,) int64: the first stored row of each source, for maps of one stride; and their number."""
        lengths = (self._network // stride).prod(1)
        return torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])

    def _storage(self, number: int) -> Tensor:
        """(rows, channels) float16 of one tap, in memory or in a file of exactly that size."""
        tap = self.taps[number]
        shape = (int(self._first[tap.stride][-1]), tap.channels)
        if self._folder is None:
            return torch.empty(shape, dtype=torch.float16)
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{number:03d}-{tap.name}.f16"
        flat = torch.from_file(str(file), shared=True, size=shape[0] * shape[1], dtype=torch.float16)
        return flat.view(shape)

    def _key(self) -> str:
        """What the stored maps depend on, as far as the set knows."""
        return json.dumps([[(t.name, t.channels, t.stride) for t in self.taps], self._network.tolist()])

    def _resume(self) -> int:
        """How many sources an interrupted run has stored."""
        if self._folder is None or not (self._folder / "progress.json").is_file():
            return 0
        progress = json.loads((self._folder / "progress.json").read_text())
        return int(progress["done"]) if progress["key"] == self._key() else 0
