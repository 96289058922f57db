"""Which images of an evaluation a page shows: the best, the worst and the middle, out of any number seen one by one."""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frugalseg.classifier.prediction import PixelPrediction
from frugalseg.data.channels import viewed
from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.metrics.confusion import ConfusionMatrix
from frugalseg.report.page import LONGEST_SIDE, Figure, per_cent
from frugalseg.report.pictures import Pixels, error_map, fit_plane_within, fit_within, mask_picture, uncertainty_map

COLUMNS = ("image", "truth", "prediction", "mistakes", "uncertainty")


@dataclass(frozen=True, eq=False)
class Shown:
    """One image as a page shows it, at most `LONGEST_SIDE` pixels a side.

    Attributes:
        name: of the image.
        score: its mIoU in [0, 1].
        image: (H, W, 3) uint8.
        truth: (H, W) uint8 class positions; 255 = not annotated.
        prediction: (H, W) uint8 class positions.
        uncertainty: (H, W) float32, or None where a method has none.
    """

    name: str
    score: float
    image: Pixels
    truth: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    uncertainty: NDArray[np.float32] | None = None


class Gallery:
    """Keeps a bounded number of images: always the `each` best and worst so far, and a random choice of the others.

    Args:
        classes: of truth and prediction.
        each: images of each kind.
        keep: images held in memory at once.
        seed: of the choice.
    """

    def __init__(self, classes: ClassTable, each: int = 4, keep: int = 64, seed: int = 0) -> None:
        self.classes = classes
        self.each = each
        self.keep = max(keep, 3 * each)
        self.rng = np.random.default_rng(seed)
        self.shown: list[Shown] = []

    def see(self, example: Example, found: PixelPrediction) -> None:
        """Offer one image of an evaluation: pass this as ``see`` to `Segmenter.evaluate`."""
        mask = found.mask.cpu().numpy()
        score = ConfusionMatrix(len(self.classes)).update(example.target, mask).miou()
        self.add(example.name, score, example.image, example.target, mask, found.uncertainty.float().cpu().numpy())

    def add(
        self,
        name: str,
        score: float,
        image: Pixels,
        truth: NDArray[np.uint8],
        prediction: NDArray[np.uint8],
        uncertainty: NDArray[np.float32] | None = None,
    ) -> None:
        """Offer one image; see `Shown`. An image without a score (NaN: nothing annotated) is passed over."""
        if np.isnan(score):
            return
        # A page shows small pictures: whole ones of many large images would fill the memory.
        small = Shown(
            name,
            score,
            fit_within(viewed(image), LONGEST_SIDE),
            fit_plane_within(truth.astype(np.uint8), LONGEST_SIDE),
            fit_plane_within(prediction.astype(np.uint8), LONGEST_SIDE),
            None if uncertainty is None else fit_plane_within(uncertainty, LONGEST_SIDE),
        )
        insort(self.shown, small, key=lambda shown: shown.score)
        if len(self.shown) > self.keep:
            del self.shown[int(self.rng.integers(self.each, len(self.shown) - self.each))]

    def choice(self) -> dict[str, list[Shown]]:
        """``Best``, ``Typical`` (around the median) and ``Worst``; no image twice. Few images are all ``Typical``."""
        every, each = self.shown, self.each
        if len(every) <= each:
            return {"Typical": every[::-1]} if every else {}
        middle = len(every) - 2 * each
        if middle <= 0:
            half = len(every) // 2
            return {"Best": every[half:][::-1], "Worst": every[:half]}
        start = each + max(0, (middle - each) // 2)
        typical = every[start : start + min(each, middle)]
        return {"Best": every[-each:][::-1], "Typical": typical[::-1], "Worst": every[:each]}


def top_uncertainty(shown: Sequence[Shown]) -> float | None:
    """The value shown brightest on a page: not quite the highest, so that one pixel cannot dim every map."""
    maps = [s.uncertainty.ravel() for s in shown if s.uncertainty is not None]
    return float(np.quantile(np.concatenate(maps), 0.995)) if maps else None


def evaluation_figure(shown: Shown, table: ClassTable, top: float | None) -> Figure:
    """The pictures of one image, for the columns of `COLUMNS`."""
    pictures = [
        shown.image,
        mask_picture(shown.truth, table),
        mask_picture(shown.prediction, table),
        error_map(shown.image, shown.truth, shown.prediction),
        None if shown.uncertainty is None else uncertainty_map(shown.uncertainty, top),
    ]
    return Figure(pictures, [shown.name, "", f"mIoU {per_cent(shown.score)}"])
