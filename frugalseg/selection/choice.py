"""Which candidate suits the annotated images best: each is cross-validated on the same images, the best one wins."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.classes import NOT_ANNOTATED, ClassTable
from frugalseg.data.datasets import channels_of, targets_of
from frugalseg.data.example import Example
from frugalseg.data.subset import Subset
from frugalseg.segmenter import Segmenter
from frugalseg.selection.candidates import Candidate
from frugalseg.selection.cost import seconds_an_image, seconds_once
from frugalseg.selection.cross_validation import cross_validate, every_window
from frugalseg.selection.folds import FEWEST, folds_of
from frugalseg.selection.settings import ChoiceSettings
from frugalseg.support.files import write_json
from frugalseg.support.progress import Progress, line, silent
from frugalseg.support.records import share, understood
from frugalseg.support.torch_defaults import with_usual_defaults

FOLDS = 3
"""Parts of the images, each predicted by a classifier of the others."""
MEMBERS = 3
"""Of each classifier: fewer than a model has, for the order of candidates hardly depends on it."""
CORES = 1.6
"""How much faster two cores are than one, of the work of which much has a single thread."""


@dataclass(frozen=True)
class Score:
    """What came of a candidate.

    Attributes:
        name: of the candidate.
        miou: cross-validated, in [0, 1].
        low, high: its 95 % interval.
    """

    name: str
    miou: float
    low: float
    high: float

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`; raises anything for what is no such value."""
        return cls(str(values["name"]), *(share(values[name]) for name in ("miou", "low", "high")))

    def __str__(self) -> str:
        return f"{self.name}: mIoU {100 * self.miou:.1f} ({100 * self.low:.1f} to {100 * self.high:.1f})"


@dataclass(frozen=True)
class Choice:
    """The result of a comparison.

    Attributes:
        scores: of every candidate, in their order.
        images: how many annotated images were compared, and of how many.
    """

    scores: tuple[Score, ...]
    images: tuple[int, int]

    @property
    def best(self) -> int:
        """The first candidate with the highest score."""
        return int(np.argmax([np.nan_to_num(score.miou, nan=-1) for score in self.scores]))

    def __str__(self) -> str:
        compared, there = self.images
        which = "all annotated images" if compared == there else f"{compared} of {there} annotated images"
        return f"chosen: {self.scores[self.best].name}, the best of {len(self.scores)} on {which}"


@with_usual_defaults
def choose(
    candidates: Sequence[Candidate],
    dataset: Sequence[Example],
    classes: ClassTable,
    choice: ChoiceSettings,
    settings: Mapping[str, Any],
    *,
    device: str = "cpu",
    work: Path | None = None,
    progress: Progress = silent,
) -> Choice:
    """Compare candidates by cross-validation.

    Args:
        candidates: the most promising first.
        dataset: annotated images.
        classes: their table.
        choice: how much is compared.
        settings: of all candidates, fields of `frugalseg.classifier.settings.Settings`.
        device: where everything runs.
        work: folder for the scores, so that an interrupted comparison goes on after the last finished candidate.
        progress: told of each step.

    Raises:
        InputError: too few annotated images, or a candidate cannot be loaded.
    """
    targets, seed = list(targets_of(dataset)), int(settings.get("seed", 0))
    labelled = [number for number, target in enumerate(targets) if (target != NOT_ANNOTATED).any()]
    folds = min(FOLDS, max(FEWEST, len(labelled)))
    folds_of(targets, folds, seed)  # refuses too few images before a network is loaded
    segmenters = [each.segmenter(settings, device, channels_of(dataset)) for each in candidates]
    annotated = [targets[number] for number in labelled]
    chosen = sample(annotated, most_images(annotated, segmenters, choice, folds), seed)
    compared = Subset(dataset, [labelled[place] for place in chosen])
    scores = []
    for number, (candidate, segmenter) in enumerate(zip(candidates, segmenters, strict=True)):
        progress("compare", number, len(candidates))
        place = work and work / f"score-{number}.json"
        scores.append(known(place) or scored(candidate, segmenter, compared, classes, folds, place))
        line(progress, str(scores[-1]))
    progress("compare", len(candidates), len(candidates))
    return Choice(tuple(scores), (len(chosen), len(labelled)))


def sample(targets: Sequence[NDArray[np.uint8]], most: int, seed: int) -> list[int]:
    """At most `most` of some annotated images, ascending, with as many of the classes as possible."""
    if len(targets) <= most:
        return list(range(len(targets)))
    # Each fold is such a sample.
    folds = folds_of(targets, -(-len(targets) // most), seed)
    return sorted([image for fold in folds for image in fold][:most])


def most_images(targets: Sequence[Any], segmenters: Sequence[Segmenter], choice: ChoiceSettings, folds: int) -> int:
    """How many images the time is enough for, at least two a fold."""
    once = len(segmenters) * seconds_once(folds)
    sizes = [target.shape for target in targets]
    each = sum(seconds_an_image(segmenter, sizes) for segmenter in segmenters)
    return max(2 * folds, int((60 * CORES * choice.minutes - once) / each))


def scored(
    candidate: Candidate,
    segmenter: Segmenter,
    dataset: Sequence[Example],
    classes: ClassTable,
    folds: int,
    place: Path | None,
) -> Score:
    """The score of a candidate, which is written to `place`; the maps lie beside it for as long as they are needed."""
    # The maps of a filter bank at full resolution take gigabytes, which are not kept in memory.
    maps = place and place.with_suffix(".maps")
    extraction = every_window(segmenter, dataset, maps)
    found = cross_validate(segmenter, dataset, folds, classes=classes, members=MEMBERS, extraction=extraction)
    score = Score(candidate.name, found.miou, *found.interval())
    if place is not None and maps is not None:
        write_json(place, asdict(score))
        del extraction
        shutil.rmtree(maps, ignore_errors=True)
    return score


def known(place: Path | None) -> Score | None:
    """The score that an interrupted comparison has written."""
    return understood(place, Score.from_json) if place is not None and place.is_file() else None
