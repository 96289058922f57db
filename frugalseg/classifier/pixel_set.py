"""The training set of a pixel classifier: the labelled pixels of several images, and the maps that hold their features.

The literal method stores a feature vector for each pixel. Here the maps are stored once (`MapStore`), and vectors are
interpolated when they are asked for. Labels are apart from the maps: the same maps serve other labels and other folds.
"""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frugalseg.data.classes import NOT_ANNOTATED
from frugalseg.features.map_store import MapView
from frugalseg.support.errors import InputError

AT_ONCE = 2**20
"""Feature values that are interpolated at a time: few enough for a processor's cache."""


class PixelSet:
    """Labelled pixels and their features.

    Args:
        maps: of the images; may be filled later, but before `features` is called.
        targets: (H, W) uint8 class positions of each image, 255 = not annotated. The size is the grid that the maps
            are stretched over.

    Attributes:
        maps: as given.
        labels: (N,) int64 class position of each labelled pixel, image by image, row-major.
        image: (N,) int32 image of each pixel.
    """

    def __init__(self, maps: MapView, targets: Sequence[NDArray[np.uint8]]) -> None:
        if len(targets) != len(maps):
            raise ValueError(f"{len(targets)} targets for the maps of {len(maps)} images")
        self.maps = maps
        places = [np.flatnonzero(target != NOT_ANNOTATED).astype(np.int32) for target in targets]
        labels = [target.ravel()[place] for target, place in zip(targets, places, strict=True)]
        self.labels = torch.from_numpy(np.concatenate(labels)).long()
        counts = torch.tensor([len(place) for place in places])
        self.image = torch.arange(len(targets), dtype=torch.int32).repeat_interleave(counts)
        self._place = torch.from_numpy(np.concatenate(places))  # row-major, in the pixel's image
        self._grid = torch.tensor([target.shape for target in targets])

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each map."""
        return self.maps.channels

    @property
    def dim(self) -> int:
        """Length of a feature vector."""
        return self.maps.dim

    def features(self, index: Tensor) -> Tensor:
        """Feature vectors of some pixels.

        Args:
            index: (n,) int64 positions in `labels`.

        Returns:
            (n, dim) float32, equal to `FeatureMaps.at` of the half-precision maps.
        """
        out = torch.empty(len(index), self.dim, dtype=torch.float32)
        step = max(1, AT_ONCE // self.dim)
        for part, rows in zip(index.split(step), out.split(step), strict=True):
            rows.copy_(self._some(part))
        return out

    def _some(self, index: Tensor) -> Tensor:
        """`features` of pixels whose values, and several copies of them, are in memory at once."""
        image, place = self.image[index].long(), self._place[index].long()
        grid = self._grid[image]
        return self.maps.at(image, place // grid[:, 1], place % grid[:, 1], grid)


def require_learnable(pixels: PixelSet, classes: int) -> None:
    """`InputError` where the labels are of fewer than two classes, or are no positions of so many classes."""
    require_positions(pixels.labels.unique().tolist(), classes)


def require_positions(found: Collection[int], classes: int) -> None:
    """`require_learnable` for the class positions that the targets hold."""
    if found and max(found) >= classes:
        raise InputError(
            f"a target holds the class position {max(found)}, the table has {classes} classes; positions begin at 0, "
            "and 255 is not annotated"
        )
    if len(found) < 2:
        raise InputError("the annotated pixels are of fewer than two classes; annotate at least two")
