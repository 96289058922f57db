"""How much worse a model gets on corrupted test images: each corruption at each severity, and the clean images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frugalseg.data.channels import viewed
from frugalseg.data.corruptions.corrupt import Corrupted
from frugalseg.data.corruptions.names import CORRUPTIONS
from frugalseg.data.example import Example
from frugalseg.data.subset import Subset
from frugalseg.jobs.explore.ground import Ground
from frugalseg.metrics.confusion import ConfusionMatrix
from frugalseg.report.pictures import Pixels, fit_within
from frugalseg.segmenter import Segmenter
from frugalseg.selection.cost import seconds_an_image
from frugalseg.selection.folds import Split
from frugalseg.selection.trial import Trial
from frugalseg.support.errors import InputError
from frugalseg.support.files import atomic_path

CLEAN = ("none", 0)
"""The images as they are, beside corruptions and severities."""
LONGEST = 160
"""Pixels of the longer side of a picture."""
CORRUPTING = 5e-6
"""Seconds for a pixel to be corrupted, on average over all corruptions."""

Case = tuple[str, int]
"""A corruption and a severity."""


@dataclass(frozen=True)
class Robustness:
    """The test images under corruptions.

    Attributes:
        names, severities: of the corruptions.
        counts: truth and prediction of all test images for each of these, and for `CLEAN`.
    """

    names: tuple[str, ...]
    severities: tuple[int, ...]
    counts: dict[Case, ConfusionMatrix]

    @property
    def clean(self) -> float:
        """mIoU of the images as they are, in [0, 1]."""
        return self.counts[CLEAN].miou()

    @cached_property
    def table(self) -> NDArray[np.float64]:
        """(names, severities) mIoU in [0, 1]."""
        return np.array([[self.counts[name, each].miou() for each in self.severities] for name in self.names])

    @property
    def drops(self) -> NDArray[np.float64]:
        """(names, severities): the share of the clean mIoU that is lost; NaN where there is none."""
        return 1 - self.table / (self.clean or np.nan)


class CorruptionStudy:
    """Corrupts the test images of each split, which are predicted by a classifier of its training images.

    Args:
        ground: of the exploration.

    Raises:
        InputError: the backbone reads no images, or has drawn these itself.
    """

    def __init__(self, ground: Ground) -> None:
        self.ground, settings = ground, ground.settings
        self.names = tuple(dict.fromkeys(settings.corruptions or CORRUPTIONS))
        self.severities = tuple(sorted({*settings.severities}))
        self.cases = [CLEAN, *((name, severity) for name in self.names for severity in self.severities)]
        segmenter = ground.segmenter()
        segmenter.require_reading()
        if segmenter.own_images(ground.dataset) is not None:
            raise InputError(
                "--what corruptions: the network has drawn these images itself and is read while it draws them, which "
                "no corruption changes; give photographs"
            )

    def seconds(self) -> float:
        """What it takes on two CPU cores, beside the training of a classifier for each split."""
        ground = self.ground
        tested = [ground.sizes[image] for split in ground.splits for image in split.test]
        pixels = sum(height * width for height, width in tested)
        return len(self.cases) * (len(tested) * seconds_an_image(ground.segmenter(), tested) + CORRUPTING * pixels)

    def run(self, trial: Callable[[], Trial]) -> Robustness:
        """All cases; what an interrupted run has written is not computed again.

        Args:
            trial: gives the maps of the training images, once something is missing.
        """
        ground = self.ground
        total = {case: ConfusionMatrix(len(ground.classes)) for case in self.cases}
        for number, split in enumerate(ground.splits):
            models = self._models(trial, split)
            for place, case in enumerate(self.cases):
                ground.progress("corruptions", number * len(self.cases) + place, len(ground.splits) * len(self.cases))
                name, severity = case
                counted = partial(self._counts, models, split, case)
                total[case].merge(ground.kept("corruptions", f"{name}-{severity}-{number}", counted, self._read))
        ground.progress("corruptions", len(ground.splits) * len(self.cases), len(ground.splits) * len(self.cases))
        return Robustness(self.names, self.severities, total)

    def _models(self, trial: Callable[[], Trial], split: Split) -> Iterator[Segmenter]:
        """The model of a split as often as it is asked for, fitted at the first time."""
        model = self.ground.segmenter()
        model.classes, model.classifier = self.ground.classes, trial().trained(split.train)
        while True:
            yield model

    def _counts(self, models: Iterator[Segmenter], split: Split, case: Case) -> list[list[int]]:
        """Truth and prediction of a split's test images, each predicted once."""
        model, found = next(models), ConfusionMatrix(len(self.ground.classes))
        for example in self.images(split.test, case):
            prediction = next(model.predict_positions([example.image], probabilities=False))
            found.update(example.target, prediction.mask.cpu().numpy())
        counts: list[list[int]] = found.counts.tolist()
        return counts

    def _read(self, counts: Any) -> ConfusionMatrix:
        """The reverse of `_counts`."""
        return ConfusionMatrix(len(self.ground.classes)).merge(ConfusionMatrix.of(counts))

    def images(self, numbers: Sequence[int], case: Case) -> Sequence[Example]:
        """Some images under a corruption, or as they are."""
        clean = Subset(self.ground.dataset, numbers)
        return clean if case == CLEAN else Corrupted(clean, *case, self.ground.settings.seed)

    def strips(self) -> dict[str, list[Pixels]]:
        """The first test image for each corruption: as it is, and at each severity; also written as PNG files."""
        first, found = self.ground.splits[0].test[:1], {}
        for name in self.names:
            cases = [CLEAN, *((name, severity) for severity in self.severities)]
            found[name] = [fit_within(viewed(self.images(first, case)[0].image), LONGEST) for case in cases]
            with atomic_path(self.ground.out / "pictures" / "corruptions" / f"{name}.png") as temporary:
                Image.fromarray(np.concatenate(found[name], 1)).save(temporary)
        return found
