"""How far a mIoU can be trusted: what it would be on other images of the same kind (bootstrap, Efron 1979)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frugalseg.metrics.confusion import ConfusionMatrix

DRAWS = 2000
"""Resamplings of the images."""
COVERED = 0.95
"""Share of the resamplings in an interval."""


class ResampledMIoU:
    """The mIoU over images drawn with replacement from those that were tested.

    Attributes:
        intersections, unions: pixels of each class in each image so far, a list of (K,) int64 arrays.
    """

    def __init__(self) -> None:
        self.intersections: list[NDArray[np.int64]] = []
        self.unions: list[NDArray[np.int64]] = []

    def add(self, image: ConfusionMatrix) -> None:
        """Count an image."""
        intersection, union = image.overlaps()
        self.intersections.append(intersection)
        self.unions.append(union)

    def values(self, seed: int = 0) -> NDArray[np.float64]:
        """(2000,) mIoU over as many images each; NaN where nothing is annotated. `seed` decides which images."""
        number, generator = len(self.unions), np.random.default_rng(seed)
        pixels = np.stack([*self.intersections, *self.unions]).astype(np.float64).reshape(2, number, -1)
        drawn = (np.bincount(generator.integers(number, size=number), minlength=number) for _ in range(DRAWS))
        intersection, union = np.stack([times @ pixels for times in drawn], axis=1)
        there = union > 0
        shares = np.divide(intersection, union, out=np.zeros(union.shape), where=there)
        present = there.sum(1)
        found: NDArray[np.float64] = np.divide(shares.sum(1), present, out=np.full(DRAWS, np.nan), where=present > 0)
        return found

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """The 95 % interval; NaN where nothing is annotated."""
        values = self.values(seed)
        if np.isnan(values).all():
            return float("nan"), float("nan")
        low, high = np.nanquantile(values, [(1 - COVERED) / 2, (1 + COVERED) / 2])
        return float(low), float(high)


def resampled(images: Sequence[ConfusionMatrix]) -> ResampledMIoU:
    """The resampling of some images, one matrix each."""
    found = ResampledMIoU()
    for each in images:
        found.add(each)
    return found
