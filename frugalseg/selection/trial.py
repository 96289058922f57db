"""Many classifiers on the same maps: each is trained on some of the images, and tried on others."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from copy import copy
from functools import partial
from threading import Event, Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.extraction import Extraction
from frugalseg.classifier.prediction import EnsemblePredictor, PixelPrediction, PixelRows, whole
from frugalseg.classifier.training import TrainingProgress, train_ensemble
from frugalseg.classifier.views import averaged
from frugalseg.classifier.voting import LABELS, Wanted
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.taps import Tap
from frugalseg.features.windows import Window
from frugalseg.metrics.confusion import ConfusionMatrix
from frugalseg.segmenter import Segmenter
from frugalseg.selection.folds import Split
from frugalseg.selection.several import require_needed, several

DOUBTS = Wanted(probabilities=False, uncertainty=True)
"""Labels and uncertainty."""


class Trial:
    """The maps of all images, from which classifiers of some images are trained and others predicted.

    Args:
        segmenter: its backbone and settings; its classifier is neither used nor changed.
        targets: (H, W) uint8 class positions of each image.
        extraction: the maps of every window, see `frugalseg.selection.cross_validation.every_window`; computed before
            anything is trained.
        members: of each classifier.
        num_classes: K.

    Attributes:
        seed: of the classifiers; that of the settings.
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
        self.seed = segmenter.settings.seed
        self._decoding = Lock()  # several may be tested at once, and a dataset need not stand that
        self.windows: list[dict[Window, int]] = [{} for _ in range(len(extraction.dataset))]
        for place, each in enumerate(extraction.windows):
            self.windows[each.image][each.window] = place

    def reading(self, taps: Iterable[str | Tap]) -> "Trial":
        """The same with some of the taps only."""
        part = copy(self)
        part.extraction = self.extraction.select(taps)
        return part

    def trained(self, images: Iterable[int], seed: int | None = None, stop: Event | None = None) -> PixelClassifier:
        """A classifier of some of the images, and of their mirror images where the settings say so.

        Args:
            images: their numbers.
            seed: instead of the attribute.
            stop: ends the training before its time, once it is set.

        Raises:
            WorkError: it was stopped.
        """

        def go_on(_: TrainingProgress) -> None:
            require_needed(stop)

        settings, count = self.segmenter.settings, len(self.targets)
        chosen = {*images}
        mirrored = {image + count for image in chosen} if settings.mirror else set()
        classifier, _ = train_ensemble(
            self.extraction.pixels(chosen | mirrored),
            self.num_classes,
            settings.protocol,
            members=self.members,
            seed=self.seed if seed is None else seed,
            device=self.segmenter.device,
            progress=go_on,
        )
        self.extraction.store.release()
        return classifier.to(self.segmenter.device)

    def tested(self, split: Split, seed: int | None = None, stop: Event | None = None) -> dict[int, ConfusionMatrix]:
        """Truth and prediction of each test image of a split, by a classifier of its training images.

        Args:
            split: of the images.
            seed, stop: see `trained`.
        """
        predictor = self.trained(split.train, seed, stop).predictor()
        return dict(zip(split.test, self.compared_each(split.test, predictor, stop), strict=True))

    def tested_each(self, splits: Sequence[Split], seed: int | None = None) -> Generator[dict[int, ConfusionMatrix]]:
        """`tested` of each of several splits, in their order, as `several` does it."""
        return several(lambda split, stop: self.tested(split, seed, stop), splits, self.segmenter.device)

    def compared_each(
        self, images: Iterable[int], predictor: EnsemblePredictor, stop: Event | None = None
    ) -> Iterator[ConfusionMatrix]:
        """`compared` of several images, until it is stopped."""
        for image in images:
            require_needed(stop)
            yield self.compared(image, predictor)

    def compared(self, image: int, predictor: EnsemblePredictor) -> ConfusionMatrix:
        """Truth and prediction of one image."""
        found = ConfusionMatrix(self.num_classes)
        found.update(self.targets[image], self.labels(image, predictor).cpu().numpy())
        self.extraction.store.release()
        return found

    def labels(self, image: int, predictor: EnsemblePredictor) -> Tensor:
        """(H, W) uint8: an image as `Segmenter.predict_positions` labels it, from the stored maps."""
        return torch.cat([piece.mask for piece in self.rows(image, predictor, LABELS)])

    def predicted(self, image: int, predictor: EnsemblePredictor) -> PixelPrediction:
        """Labels and uncertainty of an image, likewise."""
        return whole(self.rows(image, predictor, DOUBTS), self.targets[image].shape[0], probabilities=False)

    def rows(self, image: int, predictor: EnsemblePredictor, wanted: Wanted) -> Iterator[PixelRows]:
        """What a classifier says of an image, some rows at a time."""
        segmenter, size = self.segmenter, (self.targets[image].shape[0], self.targets[image].shape[1])
        needed = segmenter.settings.wanted_of_members(wanted)

        def maps(number: int, window: Window) -> FeatureMaps:
            return self.extraction.store.maps(self.windows[number][window]).to(segmenter.device)

        rows = segmenter.rows_of_members(size, partial(maps, image), predictor, needed)
        if segmenter.settings.mirrored_views:
            other = partial(maps, image + len(self.targets))
            rows = averaged(rows, segmenter.rows_of_members(size, other, predictor, needed))
        if segmenter.settings.afterwards:
            with self._decoding:
                example = self.extraction.dataset[image]
            rows = segmenter.finished(rows, example.image)
        return rows
