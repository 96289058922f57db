"""Does the uncertainty find the mistakes? Pixels are given up from the most uncertain on, and the rest is judged."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalseg.metrics.confusion import IGNORED, MOST_PIXELS

BINS = 4096
POWER = 0.25
"""Bins are this power of the share of the greatest uncertainty: most pixels are almost certain, and there bins are
narrow."""
STEPS = 1000
"""Coverages at which the curve is averaged for its area."""


class RiskCoverage:
    """Counts right and wrong pixels by their uncertainty, over any number of images.

    The risk at a coverage c is the share of mistakes among the c most certain of the annotated pixels (El-Yaniv and
    Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 2010).

    Args:
        greatest: the uncertainty that cannot be exceeded; larger values count as this one.

    Attributes:
        counts: (2, BINS) int64: right and wrong pixels, from certain to uncertain.
    """

    def __init__(self, greatest: float) -> None:
        self.greatest = greatest
        self.counts: NDArray[np.int64] = np.zeros((2, BINS), np.int64)

    def update(self, target: ArrayLike, prediction: ArrayLike, uncertainty: ArrayLike) -> Self:
        """Count the annotated pixels of an image.

        Args:
            target: (H, W) class positions, 255 where not annotated.
            prediction: (H, W) class positions.
            uncertainty: (H, W), from 0.
        """
        truth, predicted = np.asarray(target), np.asarray(prediction)
        seen = truth != IGNORED
        share = np.clip(np.asarray(uncertainty, np.float64)[seen] / self.greatest, 0, 1) ** POWER
        place = np.minimum((share * BINS).astype(np.int64), BINS - 1)
        wrong = truth[seen] != predicted[seen]
        self.counts += np.bincount(wrong * BINS + place, minlength=2 * BINS).reshape(2, BINS)
        return self

    def merge(self, other: "RiskCoverage") -> Self:
        """Add the counts of other images."""
        self.counts += other.counts
        return self

    @property
    def error(self) -> float:
        """The share of all pixels that are wrong; NaN before any is counted."""
        return float(self.counts[1].sum() / total) if (total := self.counts.sum()) else float("nan")

    def risk(self, coverage: ArrayLike) -> NDArray[np.float64]:
        """The risk at coverages in (0, 1]; of pixels in one bin, wrong ones are spread evenly."""
        wanted = np.asarray(coverage, np.float64)
        if not self.counts.any():
            return np.full(wanted.shape, np.nan)
        covered = np.concatenate([[0], self.counts.sum(0).cumsum()]) / self.counts.sum()
        wrong = np.concatenate([[0], self.counts[1].cumsum()]) / self.counts.sum()
        found: NDArray[np.float64] = np.interp(wanted, covered, wrong) / wanted
        return found

    def ideal(self, coverage: ArrayLike) -> NDArray[np.float64]:
        """The risk where every wrong pixel is more uncertain than any right one."""
        wanted = np.asarray(coverage, np.float64)
        return np.maximum(0, 1 - (1 - self.error) / wanted)

    def area(self) -> float:
        """Under the curve of the risk: its mean over all coverages. `error` is that of an uncertainty that tells
        nothing, and `ideal_area` the least possible."""
        return float(self.risk(middles()).mean())

    def ideal_area(self) -> float:
        """`area` of `ideal`."""
        return float(self.ideal(middles()).mean())

    def detection(self) -> float:
        """The chance that a wrong pixel is more uncertain than a right one (AUROC); NaN where one kind is missing."""
        right, wrong = self.counts
        if not right.any() or not wrong.any():
            return float("nan")
        below = right.cumsum() - right / 2
        pairs = float(right.sum()) * float(wrong.sum())  # of whole numbers, more than 64 bits hold
        return float((wrong * below).sum() / pairs)

    def to_json(self) -> dict[str, Any]:
        """The counts as JSON values."""
        return {"greatest": self.greatest, "counts": self.counts.tolist()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_json`; raises `ValueError` where they can be no counts."""
        found, counts = cls(values["greatest"]), np.asarray(values["counts"])
        if counts.shape != (2, BINS) or counts.dtype.kind != "i" or counts.min() < 0 or counts.max() > MOST_PIXELS:
            raise ValueError(f"the counts are two rows of {BINS} whole numbers from 0 to {MOST_PIXELS}")
        found.counts += counts
        return found


def middles() -> NDArray[np.float64]:
    """The middles of `STEPS` equal parts of (0, 1)."""
    return (np.arange(STEPS) + 0.5) / STEPS
