"""The training set of a pixel classifier: the labelled pixels of several images, and the maps that hold their features.

The literal method stores a feature vector for each pixel. Here the maps are stored once (`MapStore`), and vectors are
interpolated when they are asked for. Labels are apart from the maps: the same maps serve other labels and other folds.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frugalseg.data.classes import NOT_ANNOTATED
from frugalseg.features.map_store import MapView


class PixelSet:
    """Labelled pixels and their features.

    Args:
        maps: of the images; may be filled later, but before `features` is called.
        targets: (H, W) uint8 class positions of each image, 255 = not annotated. The size is the grid that the maps
            are stretched over.

    Attributes:
        maps: as given.
        labels: (N,) int64 class position of each labelled pixel, image by image, row-major.
        image: (N,) int64 image of each pixel.
    """

    def __init__(self, maps: MapView, targets: Sequence[NDArray[np.uint8]]) -> None:
        if len(targets) != len(maps):
            raise ValueError(f"{len(targets)} targets for the maps of {len(maps)} images")
        self.maps = maps
        grids = [np.nonzero(target != NOT_ANNOTATED) for target in targets]
        labels = [target[grid] for target, grid in zip(targets, grids, strict=True)]
        self.labels = torch.from_numpy(np.concatenate(labels)).long()
        self.image = torch.repeat_interleave(torch.tensor([len(grid[0]) for grid in grids]))
        self._y, self._x = (torch.from_numpy(np.concatenate([grid[axis] for grid in grids])) for axis in (0, 1))
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
        image = self.image[index]
        return self.maps.at(image, self._y[index], self._x[index], self._grid[image])
