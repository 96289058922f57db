"""The result of comparing a model with annotated images."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from frugalseg.classifier.prediction import PixelPrediction
from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.metrics.confusion import ConfusionMatrix
from frugalseg.metrics.resampling import ResampledMIoU


@dataclass(frozen=True)
class ImageScore:
    """One image's share of an evaluation.

    Attributes:
        name: of the example.
        miou: usual convention, over the classes of this image; NaN where nothing is annotated.
        uncertainty: mean of its 10 % most uncertain pixels, in nats.
    """

    name: str
    miou: float
    uncertainty: float


class Evaluation:
    """Counts over all images so far, and each image's score.

    Attributes:
        classes: the class table.
        confusion: all pixels of all images.
        images: a score for each image, in order.
    """

    def __init__(self, classes: ClassTable) -> None:
        self.classes = classes
        self.confusion = ConfusionMatrix(len(classes))
        self.images: list[ImageScore] = []
        self._resampled = ResampledMIoU()

    def add(self, example: Example, found: PixelPrediction) -> None:
        """Count one image; its target is in positions, 255 = not annotated."""
        one = ConfusionMatrix(len(self.classes))
        one.update(example.target, found.mask.cpu().numpy())
        score = ImageScore(example.name, one.miou(), found.image_uncertainty)
        self.confusion.merge(one)
        self.images.append(score)
        if not np.isnan(score.miou):  # of the others, nothing is known
            self._resampled.add(one)

    def interval(self, seed: int = 0) -> tuple[float, float] | None:
        """The 95 % interval of the mIoU, in [0, 1], for other images of the same kind, by resampling the images.

        Those without annotated pixels are left out. None of fewer than two, of which nothing can be said.

        Args:
            seed: decides which images are drawn.
        """
        return self._resampled.interval(seed) if len(self._resampled.unions) > 1 else None

    def metrics(self) -> dict[str, Any]:
        """What ``metrics.json`` holds; shares in [0, 1]. A class that never occurs has the IoU null."""
        shares, interval = self.confusion.class_iou("usual"), self.interval()
        return {
            "miou": self.confusion.miou(),
            "miou_interval": None if interval is None else list(interval),
            "miou_paper": self.confusion.miou_paper(),
            "pixel_accuracy": self.confusion.pixel_accuracy(),
            "class_iou": {
                name: None if np.isnan(share) else float(share)
                for name, share in zip(self.classes.names, shares, strict=True)
            },
            "images": len(self.images),
            "per_image": {
                score.name: {
                    "miou": None if np.isnan(score.miou) else score.miou,
                    "uncertainty": score.uncertainty,
                }
                for score in self.images
            },
        }
