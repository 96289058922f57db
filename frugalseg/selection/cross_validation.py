"""An honest estimate from the annotated images alone: each is segmented by a classifier that never saw its labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frugalseg.classifier.extraction import Extraction
from frugalseg.classifier.prediction import EnsemblePredictor
from frugalseg.classifier.training import train_ensemble
from frugalseg.classifier.views import averaged
from frugalseg.classifier.voting import LABELS
from frugalseg.data.classes import ClassTable
from frugalseg.data.datasets import classes_of, targets_of
from frugalseg.data.example import Example
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.windows import Window
from frugalseg.metrics.confusion import ConfusionMatrix
from frugalseg.segmenter import Segmenter
from frugalseg.selection.folds import folds_of
from frugalseg.support.progress import Progress, silent

DRAWS = 2000
"""Resamplings of the images for an interval."""
COVERED = 0.95


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What a model of these settings can be expected to do on images like the annotated ones.

    Attributes:
        classes: of the images.
        folds: how many classifiers were trained.
        images: the confusion matrix of each image, in order, by the classifier of the folds that it is not in.
    """

    classes: ClassTable
    folds: int
    images: tuple[ConfusionMatrix, ...]

    @property
    def confusion(self) -> ConfusionMatrix:
        """All images together."""
        total = ConfusionMatrix(len(self.classes))
        for each in self.images:
            total.merge(each)
        return total

    @property
    def miou(self) -> float:
        """Mean IoU over all images together, in [0, 1]."""
        return self.confusion.miou()

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """The 95 % interval of `miou` for other images of the same kind, by resampling the images (bootstrap)."""
        counts = np.stack([each.counts for each in self.images])
        generator = np.random.default_rng(seed)
        scores = []
        for _ in range(DRAWS):
            drawn = ConfusionMatrix(len(self.classes))
            drawn.counts = counts[generator.integers(len(counts), size=len(counts))].sum(0)
            scores.append(drawn.miou())
        low, high = np.nanquantile(scores, [(1 - COVERED) / 2, (1 + COVERED) / 2])
        return float(low), float(high)

    def __str__(self) -> str:
        low, high = self.interval()
        return (
            f"mIoU {100 * self.miou:.1f} (95 % interval {100 * low:.1f} to {100 * high:.1f}), estimated from "
            f"{len(self.images)} annotated images in {self.folds} folds"
        )

    def to_json(self) -> dict[str, Any]:
        """The figures, shares in [0, 1], as JSON values; a class that never occurs has the IoU null."""
        shares = self.confusion.class_iou("usual")
        low, high = self.interval()
        return {
            "miou": self.miou,
            "interval": [low, high],
            "folds": self.folds,
            "images": len(self.images),
            "class_iou": {
                name: None if np.isnan(share) else float(share)
                for name, share in zip(self.classes.names, shares, strict=True)
            },
        }


def cross_validate(
    segmenter: Segmenter,
    dataset: Sequence[Example],
    folds: int = 5,
    *,
    classes: ClassTable | None = None,
    members: int | None = None,
    work: Path | None = None,
    extraction: Extraction | None = None,
    progress: Progress = silent,
) -> CrossValidation:
    """Estimate how good a model with the settings of `segmenter` is, from the images that it would be fitted on.

    The network sees each image once, whatever the number of folds.

    Args:
        segmenter: its backbone and settings; its classifier is neither used nor changed.
        dataset: annotated images.
        folds: how many parts; each is predicted by a classifier that is trained on the others.
        classes: their table; without it the dataset's own.
        members: of each classifier; None for that of the settings.
        work: folder for the maps, which an interrupted call goes on with; None keeps them in memory.
        extraction: the maps of every window, see `every_window`, for who needs them afterwards; instead of `work`.
        progress: told of each step.

    Raises:
        InputError: too few annotated images for so many folds.
    """
    table = classes or classes_of(dataset)
    parts = folds_of(list(targets_of(dataset)), folds, segmenter.settings.seed)
    maps = extraction or every_window(segmenter, dataset, work)
    maps.compute(segmenter.features, progress)
    trial = Trial(segmenter, list(targets_of(dataset)), maps, members or segmenter.settings.members, len(table))
    found: dict[int, ConfusionMatrix] = {}
    for number, held_out in enumerate(parts):
        progress("folds", number, folds)
        predictor = trial.trained([image for image in range(len(dataset)) if image not in held_out])
        found.update((image, trial.compared(image, predictor)) for image in held_out)
    progress("folds", folds, folds)
    return CrossValidation(table, folds, tuple(found[image] for image in range(len(dataset))))


def every_window(segmenter: Segmenter, dataset: Sequence[Example], work: Path | None) -> Extraction:
    """The maps by which images are learned from and predicted; none is computed yet but those in the folder `work`."""
    return segmenter.extraction(dataset, work, "", every=True)


class Trial:
    """The maps of all images, from which classifiers of some images are trained and others predicted.

    Args:
        segmenter: see `cross_validate`.
        targets: (H, W) uint8 class positions of each image.
        extraction: see `every_window`; computed.
        members: of each classifier.
        num_classes: K.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        targets: Sequence[NDArray[np.uint8]],
        extraction: Extraction,
        members: int,
        num_classes: int,
    ) -> None:
        self.segmenter, self.targets, self.extraction = segmenter, targets, extraction
        self.members, self.num_classes = members, num_classes
        self.windows: list[dict[Window, int]] = [{} for _ in range(len(extraction.dataset))]
        for place, each in enumerate(extraction.windows):
            self.windows[each.image][each.window] = place

    def trained(self, images: Sequence[int]) -> EnsemblePredictor:
        """A classifier of some of the images, and of their mirror images where the settings say so."""
        settings, count = self.segmenter.settings, len(self.targets)
        mirrored = [image + count for image in images] if settings.mirror else []
        classifier, _ = train_ensemble(
            self.extraction.pixels({*images, *mirrored}),
            self.num_classes,
            settings.protocol,
            members=self.members,
            seed=settings.seed,
            device=self.segmenter.device,
        )
        return classifier.to(self.segmenter.device).predictor()

    def compared(self, image: int, predictor: EnsemblePredictor) -> ConfusionMatrix:
        """Truth and prediction of one image."""
        found = ConfusionMatrix(self.num_classes)
        return found.update(self.targets[image], self.labels(image, predictor).cpu().numpy())

    def labels(self, image: int, predictor: EnsemblePredictor) -> Tensor:
        """(H, W) uint8: an image as `Segmenter.predict_positions` labels it, from the stored maps."""
        segmenter, size = self.segmenter, (self.targets[image].shape[0], self.targets[image].shape[1])
        needed = segmenter.wanted_of_members(LABELS)

        def maps(number: int, window: Window) -> FeatureMaps:
            return self.extraction.store.maps(self.windows[number][window]).to(segmenter.device)

        rows = segmenter.rows_of_members(size, partial(maps, image), predictor, needed)
        if segmenter.settings.mirrored_views:
            other = partial(maps, image + len(self.targets))
            rows = averaged(rows, segmenter.rows_of_members(size, other, predictor, needed))
        if segmenter.settings.afterwards:
            rows = segmenter.finished(rows, self.extraction.dataset[image].image)
        return torch.cat([piece.mask for piece in rows])
