"""Segmentation scores, all from one confusion matrix, in the paper's convention of mIoU and in the usual one."""

import math
from collections.abc import Iterable
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Convention = Literal["usual", "paper"]

IGNORED = 255
BAND = 2**18
"""Pixels that are counted at a time, in several numbers of eight bytes each."""
MOST_PIXELS = 2**48
"""No count is larger; sums of these are far from overflowing."""


class ConfusionMatrix:
    """Pixel counts by truth and prediction.

    Attributes:
        num_classes: K.
        counts: (K + 1, K) int64; row = true class position, the last row = pixels that are not annotated; column =
            predicted position.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.counts: NDArray[np.int64] = np.zeros((num_classes + 1, num_classes), np.int64)

    @classmethod
    def of(cls, counts: Any) -> Self:
        """The matrix with some counts, as lists of lists or an array; raises `ValueError` where they can be none."""
        values = np.asarray(counts)
        if values.ndim != 2 or values.shape[0] != values.shape[1] + 1 or values.dtype.kind != "i":
            raise ValueError("the counts of K classes are K + 1 rows of K whole numbers")
        if values.min() < 0 or values.max() > MOST_PIXELS:
            raise ValueError(f"counts are from 0 to {MOST_PIXELS}")
        found = cls(values.shape[1])
        found.counts += values
        return found

    @classmethod
    def together(cls, num_classes: int, matrices: Iterable["ConfusionMatrix"]) -> Self:
        """All pixels of several matrices of K classes; they are left as they are."""
        found = cls(num_classes)
        for matrix in matrices:
            found.merge(matrix)
        return found

    def update(self, target: ArrayLike, prediction: ArrayLike) -> Self:
        """Count the pixels of one image or of many.

        Args:
            target: class positions of any integer dtype, 255 where not annotated.
            prediction: class positions of the same shape.

        Raises:
            ValueError: shapes differ, or a position is neither 255 (target only) nor in 0..K-1.
        """
        true, predicted = np.asarray(target), np.asarray(prediction)
        if true.shape != predicted.shape:
            raise ValueError(f"target is {true.shape}, prediction {predicted.shape}: they must be equal")
        true, predicted, found = true.ravel(), predicted.ravel(), np.zeros_like(self.counts)
        for start in range(0, true.size, BAND):
            found += self._counted(true[start : start + BAND], predicted[start : start + BAND])
        self.counts += found
        return self

    def _counted(self, true: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.int64]:
        """The counts of some pixels alone; see `update`."""
        rows = np.where(true == IGNORED, self.num_classes, true.astype(np.int64))
        columns = predicted.astype(np.int64)
        wrong_target = (rows < 0) | (rows > self.num_classes) | ((rows == self.num_classes) & (true != IGNORED))
        for name, values, wrong in (
            ("target", rows, wrong_target),
            ("prediction", columns, (columns < 0) | (columns >= self.num_classes)),
        ):
            if wrong.any():
                raise ValueError(f"{name} holds {values[wrong][0]}: expected positions below {self.num_classes}")
        flat = np.bincount(rows * self.num_classes + columns, minlength=self.counts.size)
        return flat.reshape(self.counts.shape)

    def merge(self, other: "ConfusionMatrix") -> Self:
        """Add the counts of another matrix of the same classes."""
        if other.num_classes != self.num_classes:
            raise ValueError(f"cannot merge a matrix of {other.num_classes} classes into one of {self.num_classes}")
        self.counts += other.counts
        return self

    def class_iou(self, convention: Convention = "usual") -> list[float]:
        """Intersection over union of each class, in [0, 1].

        Args:
            convention: ``usual`` leaves pixels that are not annotated out; a class that neither occurs nor is predicted
                is nan. ``paper`` counts what is predicted on pixels that are not annotated into the union, and a class
                that never occurs as 0: intersection / (union + 1e-8).
        """
        intersection, union = self.overlaps(convention)
        if convention == "paper":
            return [float(i / (u + 1e-8)) for i, u in zip(intersection, union, strict=True)]
        return [float(i / u) if u else math.nan for i, u in zip(intersection, union, strict=True)]

    def overlaps(self, convention: Convention = "usual") -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(K,) int64 pixels each: those that are of a class in truth and prediction, and those that are in either.

        Args:
            convention: see `class_iou`.
        """
        annotated = self.counts[:-1]
        intersection = annotated.diagonal()
        predicted = (self.counts if convention == "paper" else annotated).sum(0)
        return intersection, annotated.sum(1) + predicted - intersection

    def miou(self) -> float:
        """Mean IoU as usual: over the classes that occur or are predicted; nan before any pixel is counted."""
        present = [iou for iou in self.class_iou("usual") if not math.isnan(iou)]
        return sum(present) / len(present) if present else math.nan

    def miou_paper(self) -> float:
        """Mean IoU as the paper counts it, over all classes: comparable with the published tables."""
        return sum(self.class_iou("paper")) / self.num_classes

    def pixel_accuracy(self) -> float:
        """Share of the annotated pixels that are predicted right; nan before any is counted."""
        annotated = self.counts[:-1]
        return float(annotated.trace() / annotated.sum()) if annotated.any() else math.nan
