"""What becomes of a model as `fit` makes it: with fewer images or members, from other sources, and where it errs."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from frugalseg.classifier.voting import image_uncertainty
from frugalseg.jobs.explore.corruptions import CorruptionStudy, Robustness
from frugalseg.jobs.explore.ground import Ground
from frugalseg.jobs.explore.sources import SourceScore, SourceStudy
from frugalseg.metrics.confusion import ConfusionMatrix
from frugalseg.metrics.evaluation import ImageScore
from frugalseg.metrics.risk import RiskCoverage
from frugalseg.selection.choice import MEMBERS
from frugalseg.selection.cost import seconds_an_image, seconds_to_try
from frugalseg.selection.curves import members_up_to, most_images, sizes_up_to, with_images, with_members
from frugalseg.selection.folds import Split
from frugalseg.selection.trial import Trial
from frugalseg.support.records import not_negative, share

SUBJECTS = ("images", "members", "uncertainty", "corruptions", "source")


@dataclass(frozen=True)
class Point:
    """One point of a curve.

    Attributes:
        number: of images, or of members.
        run: from 0; the seed is that of the exploration plus this.
        miou: in [0, 1].
    """

    number: int
    run: int
    miou: float


@dataclass(frozen=True)
class Doubt:
    """Uncertainty and mistakes of the test images.

    Attributes:
        risk: of all pixels.
        images: the score and the uncertainty of each image.
    """

    risk: RiskCoverage
    images: tuple[ImageScore, ...]


@dataclass(frozen=True)
class Found:
    """What was found out; None for what was not asked for."""

    images: list[Point] | None = None
    members: list[Point] | None = None
    uncertainty: Doubt | None = None
    corruptions: Robustness | None = None
    source: list[SourceScore] | None = None


class ModelStudies:
    """The explorations of a model as `fit` makes it; the features are computed once for all of them.

    Args:
        ground: of the exploration.

    Attributes:
        subjects: those of them that are wanted.
        corruptions: the study of them, if it is wanted.

    Raises:
        InputError: a number of images that is not there; corruptions for a backbone that reads no images.
    """

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.subjects = [name for name in SUBJECTS if name in ground.settings.what]
        self.sizes: tuple[int, ...] = ()
        if "images" in self.subjects:
            most = most_images(ground.targets, ground.splits, ground.segmenter().settings.small_region)
            self.sizes = sizes_up_to(most, ground.settings.sizes)
        self.numbers = members_up_to(ground.settings.members_for("members"))
        self.corruptions = CorruptionStudy(ground) if "corruptions" in self.subjects else None

    def seconds(self) -> float:
        """What they take, on two CPU cores."""
        ground, settings = self.ground, self.ground.settings
        if not self.subjects:
            return 0.0
        one = seconds_to_try(ground.sizes, len(ground.splits)) / MEMBERS
        members = settings.members_for("members")
        tries = {
            "images": settings.runs * len(self.sizes) * settings.members_for("images"),
            "members": settings.runs * (members + sum(self.numbers)),
            "uncertainty": settings.members_for("uncertainty"),
            "corruptions": settings.members_for("corruptions"),
            "source": settings.runs * len(ground.sources) * settings.members_for("source"),
        }
        features = len(ground.sizes) * seconds_an_image(ground.segmenter(), ground.sizes)
        tested = self.corruptions.seconds() if self.corruptions else 0.0
        return features + tested + one * sum(tries[name] for name in self.subjects)

    def run(self) -> Found:
        """All that is wanted; the maps are computed once something is missing."""
        with ExitStack() as stack:
            trials: list[Trial] = []

            def trial(subject: str) -> Trial:
                members = self.ground.settings.members_for(subject)
                if not trials:
                    trials.append(stack.enter_context(self.ground.trial("model", self.ground.segmenter(), members)))
                trials[0].members = members
                return trials[0]

            self.trial = trial
            return Found(**{name: getattr(self, f"_{name}")() for name in self.subjects})

    def _images(self) -> list[Point]:
        """mIoU by the number of annotated images."""

        def score(size: int, seed: int) -> float:
            return with_images(self.trial("images"), self.ground.splits, size, seed).miou()

        return self._curve("images", self.sizes, score)

    def _members(self) -> list[Point]:
        """mIoU by the number of members."""
        ensembles: dict[int, list[ConfusionMatrix]] = {}

        def score(number: int, seed: int) -> float:
            if seed not in ensembles:
                ensembles[seed] = with_members(self.trial("members"), self.ground.splits, self.numbers, seed)
            return ensembles[seed][self.numbers.index(number)].miou()

        return self._curve("members", self.numbers, score)

    def _uncertainty(self) -> Doubt:
        """Uncertainty and mistakes, split by split."""
        ground = self.ground
        greatest = ground.segmenter(members=ground.settings.members_for("uncertainty")).greatest_uncertainty
        total, images = RiskCoverage(greatest), list[ImageScore]()
        for number, split in enumerate(ground.splits):
            ground.progress("uncertainty", number, len(ground.splits))
            found = ground.kept(
                "uncertainty", str(number), partial(self._doubts, split, greatest), partial(doubts_of, len(split.test))
            )
            total.merge(found.risk)
            images += found.images
        ground.progress("uncertainty", len(ground.splits), len(ground.splits))
        return Doubt(total, tuple(images))

    def _doubts(self, split: Split, greatest: float) -> dict[str, Any]:
        """Those of one split, as JSON values."""
        trial, risk, images = self.trial("uncertainty"), RiskCoverage(greatest), []
        predictor = trial.trained(split.train).predictor()
        for image in split.test:
            found, truth = trial.predicted(image, predictor), self.ground.targets[image]
            mask = found.mask.cpu().numpy()
            risk.update(truth, mask, found.uncertainty.cpu().numpy())
            miou = ConfusionMatrix(trial.num_classes).update(truth, mask).miou()
            name = self.ground.dataset[image].name
            images.append((name, None if np.isnan(miou) else miou, image_uncertainty(found.uncertainty)))
        return {"risk": risk.to_json(), "images": images}

    def _corruptions(self) -> Robustness | None:
        """mIoU by corruption and severity."""
        return self.corruptions.run(partial(self.trial, "corruptions")) if self.corruptions else None

    def _source(self) -> list[SourceScore]:
        """mIoU by training source."""
        return SourceStudy(self.ground).run(partial(self.trial, "source"))

    def _curve(self, subject: str, numbers: Sequence[int], score: Callable[[int, int], float]) -> list[Point]:
        """A point for each number and run; `score` gives its mIoU from the number and the seed."""
        ground, found = self.ground, []
        every = [(number, run) for run in range(ground.settings.runs) for number in numbers]
        for place, (number, run) in enumerate(every):
            ground.progress(subject, place, len(every))
            seed = (ground.settings.seed + run) % 2**32
            found.append(
                Point(number, run, ground.kept(subject, f"{number}-{run}", partial(score, number, seed), share))
            )
        ground.progress(subject, len(every), len(every))
        return found


def doubts_of(tested: int, values: Any) -> Doubt:
    """Those of one split with so many test images, of their JSON values."""
    images = [
        ImageScore(str(name), np.nan if miou is None else share(miou), not_negative(high))
        for name, miou, high in values["images"]
    ]
    if len(images) != tested:
        raise ValueError(f"{len(images)} images, not {tested}")
    return Doubt(RiskCoverage.from_json(values["risk"]), tuple(images))
