"""Which steps, blocks or layers suit the annotated images: a greedy forward choice under cross-validation.

It begins with the best single place, and adds whatever improves the score most until nothing does. In the end, what it
has found and the family's own preset are compared once more, on other folds, and the preset stays unless the choice is
surely better: the best of many scores is partly luck.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from frugalseg.classifier.extraction import Extraction
from frugalseg.data.classes import NOT_ANNOTATED, ClassTable
from frugalseg.data.datasets import channels_of, classes_of, targets_of
from frugalseg.data.example import Example
from frugalseg.data.folder import as_dataset
from frugalseg.data.subset import Subset
from frugalseg.segmenter import Segmenter
from frugalseg.selection.choice import FOLDS, MEMBERS, Score, sample
from frugalseg.selection.cost import seconds_an_image, seconds_once, seconds_to_try
from frugalseg.selection.cross_validation import (
    CrossValidation,
    certainty,
    every_window,
    require_segmenter,
    tested_each,
)
from frugalseg.selection.curves import require_classes
from frugalseg.selection.folds import FEWEST, splits_of
from frugalseg.selection.places import (
    InPasses,
    Places,
    candidate_places,
    passes_of,
    places_of,
    require_read,
    taps_at,
    words,
)
from frugalseg.selection.tap_choice import Step, TapChoice
from frugalseg.selection.trial import Trial
from frugalseg.support import digests
from frugalseg.support.files import write_json
from frugalseg.support.folders import as_work_folder
from frugalseg.support.progress import Progress, line, silent
from frugalseg.support.records import kept, plain, share, understood
from frugalseg.support.torch_defaults import with_usual_defaults

GAIN = 0.003
"""Of mIoU, which an addition has to bring: less is within the noise of a score."""
TRIED = 6
"""Additions that are tried in a round, the best of the round before."""
MOST_IMAGES = 40
"""Annotated images that are compared; of more, a sample."""


class TapChooser:
    """Chooses where a backbone is read.

    Args:
        segmenter: not fitted; with the options that the user gave.
        dataset: annotated images.
        classes: their table.
        given: options of the backbone that the user gave.
        work: folder of maps and scores, with which an interrupted choice goes on; None keeps them in memory.

    Attributes:
        wide: the same segmenter, reading at all candidates.

    Raises:
        InputError: too few annotated images or classes, or nothing to choose among.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        dataset: Sequence[Example],
        classes: ClassTable,
        given: Mapping[str, Any],
        work: Path | None = None,
    ) -> None:
        self.backbone, self.dataset, self.classes, self.work = segmenter.backbone, dataset, classes, work
        self.candidates = candidate_places(segmenter.backbone, given)
        self.preset = places_of(segmenter.backbone.taps)
        self.settings = segmenter.settings
        targets = list(targets_of(dataset))
        require_classes(targets, len(classes))
        labelled = [number for number, target in enumerate(targets) if (target != NOT_ANNOTATED).any()]
        annotated = [targets[number] for number in labelled]
        chosen = sample(annotated, MOST_IMAGES, self.settings.seed)
        self.images, self.labelled = [labelled[place] for place in chosen], len(labelled)
        self.targets = [targets[number] for number in self.images]
        self.splits = [splits_of(self.targets, self.folds, seed) for seed in (self.settings.seed, self.other_seed)]
        wide = segmenter.backbone.reading(**self.candidates)
        self.wide = Segmenter(wide, device=segmenter.device, **vars(self.settings))
        self._scores: dict[str, Score] = {}

    @property
    def folds(self) -> int:
        """Parts of the images."""
        return min(FOLDS, max(FEWEST, len(self.targets)))

    @property
    def other_seed(self) -> int:
        """Of the folds and classifiers of the last comparison."""
        return (self.settings.seed + 1) % 2**32

    def seconds(self) -> float:
        """What the choice takes at most, on two CPU cores; what is added to more than a few times is rare."""
        parts = passes_of(self.wide.backbone, self.candidates)
        one = Segmenter(self.wide.backbone.reading(**parts[0]), **vars(self.settings))
        sizes = [(target.shape[0], target.shape[1]) for target in self.targets]
        features = len(parts) * len(sizes) * seconds_an_image(one, sizes)
        values = sum(len(values) for values in self.candidates.values())
        rounds = 2 * values + 4 * TRIED
        return seconds_once(0) + features + rounds * seconds_to_try(sizes, self.folds)

    def extraction(self) -> Extraction:
        """The maps of all candidates, none of them computed yet but those in the folder `work`."""
        compared = self.dataset if len(self.images) == len(self.dataset) else Subset(self.dataset, self.images)
        return every_window(self.wide, compared, self.work and self.work / "maps")

    def choose(self, extraction: Extraction, progress: Progress = silent) -> TapChoice:
        """Compare, and choose.

        Args:
            extraction: of `extraction`; its maps are computed here where they are missing.
            progress: told of each step.
        """
        extraction.compute(InPasses(self.wide), progress)
        trial = Trial(self.wide, self.targets, extraction, MEMBERS, len(self.classes))
        steps = list(self._steps(trial, progress))
        preset = self._score(trial, self.preset)
        found = steps[-1].places
        scores, sure = self._on_other_folds(trial, found)
        choice = TapChoice(found, tuple(steps), preset, scores, sure, (len(self.images), self.labelled))
        return choice if choice.improves else replace(choice, places=self.preset)

    def _on_other_folds(self, trial: Trial, found: Places) -> tuple[tuple[Score, Score], float]:
        """The scores of what was found and of the preset on the other folds, and how sure the difference is."""

        def compared() -> dict[str, Any]:
            one, other = self._compared(trial, (found, self.preset), again=True)
            scores = {"found": vars(score_of(found, one)), "preset": vars(score_of(self.preset, other))}
            return {**scores, "certainty": certainty(one, other)}

        def read(values: dict[str, Any]) -> tuple[tuple[Score, Score], float]:
            scores = Score.from_json(values["found"]), Score.from_json(values["preset"])
            return scores, share(values["certainty"])

        if self.work is None:
            return read(compared())
        return kept(self.work / f"final-{digests.values(sorted(found.items()))}.json", compared, read)

    def _steps(self, trial: Trial, progress: Progress) -> Iterator[Step]:
        """The best single place, then what is added to it."""
        places = {name: middle(self.preset.get(name, values)) for name, values in self.candidates.items()}
        # The option with most values first: the others begin where the preset has its middle.
        for name in sorted(self.candidates, key=lambda name: -len(self.candidates[name])):
            each = [{**places, name: (value,)} for value in self.candidates[name]]
            scores = self._score_each(trial, each, progress)
            places = each[max(range(len(each)), key=lambda number: scores[number].miou)]
        step = Step(words(places), places, self._score(trial, places))
        promise: dict[tuple[str, Any], float] = {}
        while True:
            line(progress, f"{step.what}: mIoU {100 * step.score.miou:.1f}")
            yield step
            additions = [
                (name, value)
                for name, values in self.candidates.items()
                for value in values
                if value not in step.places[name]
            ]
            additions.sort(key=lambda one: -promise.get(one, np.inf))
            tried = additions[: TRIED if promise else None]
            scores = self._score_each(trial, [self._with(step.places, *one) for one in tried], progress)
            promise |= {one: score.miou for one, score in zip(tried, scores, strict=True)}
            best_addition = max(tried, key=lambda one: promise[one], default=None)
            if best_addition is None or promise[best_addition] < step.score.miou + GAIN:
                return
            more = self._with(step.places, *best_addition)
            step = Step(f"+ {words({best_addition[0]: best_addition[1:]})}", more, self._score(trial, more))

    def _with(self, places: Places, name: str, value: Any) -> Places:
        """Some places and one value more, in the order of the candidates."""
        wanted = {*places[name], value}
        return {**places, name: tuple(each for each in self.candidates[name] if each in wanted)}

    def _score(self, trial: Trial, places: Places) -> Score:
        """The cross-validated score of some places."""
        return self._score_each(trial, [places])[0]

    def _score_each(self, trial: Trial, wanted: Sequence[Places], progress: Progress = silent) -> list[Score]:
        """The same of several; each is computed once, and read where an interrupted choice has written it."""
        names = [digests.values([sorted(places.items()), False]) for places in wanted]  # False as in earlier versions
        known, files = self._scores, {name: self.work and self.work / f"score-{name}.json" for name in names}
        for name, file in files.items():
            if file is not None and file.is_file() and name not in known:
                known[name] = understood(file, Score.from_json)
        new = {name: places for name, places in zip(names, wanted, strict=True) if name not in known}
        total = len(known) + len(new)
        progress("compare", len(known), total)
        with closing(self._compared(trial, new.values())) as compared:
            for (name, places), found in zip(new.items(), compared, strict=True):
                known[name] = score_of(places, found)
                if file := files[name]:
                    write_json(file, vars(known[name]))
                progress("compare", len(known), total)
        return [known[name] for name in names]

    def _compared(self, trial: Trial, wanted: Iterable[Places], *, again: bool = False) -> Generator[CrossValidation]:
        """What each of some places is worth on the folds, or on the other folds."""
        trials = [trial.reading(taps_at(self.wide.backbone.taps, places)) for places in wanted]
        if again:
            for each in trials:
                each.seed = self.other_seed
        return tested_each(trials, self.splits[again], self.classes)


@with_usual_defaults
def choose_places(
    segmenter: Segmenter,
    dataset: Sequence[Example] | str | Path,
    *,
    classes: ClassTable | None = None,
    given: Mapping[str, Any] | None = None,
    work: str | Path | None = None,
    progress: Progress = silent,
) -> TapChoice:
    """Choose where the backbone of a model is read; ``backbone.reading(**choice.places)`` reads there.

    Args:
        segmenter: not fitted; its settings are those of the comparison.
        dataset: annotated images, or the path of a data folder.
        classes: see `cross_validate`.
        given: candidates of some options instead of all that the network has, and that the backbone reads now.
        work: folder of maps and scores, with which an interrupted choice goes on; a choice on other images or with
            other settings has other files there. None keeps them in memory.
        progress: told of each step.

    Raises:
        InputError: too few annotated images, nothing to choose among, or `given` are not what the backbone reads.
    """
    require_segmenter(segmenter)
    require_read(segmenter.backbone, given or {})
    dataset = as_dataset(dataset, classes, channels_of(dataset))
    table, place = classes or classes_of(dataset), as_work_folder(work)
    if place is not None:
        place = place / choice_digest(segmenter, dataset, given or {}, len(table))
    chooser = TapChooser(segmenter, dataset, table, given or {}, place)
    return chooser.choose(chooser.extraction(), progress)


def choice_digest(segmenter: Segmenter, dataset: Sequence[Example], given: Mapping[str, Any], classes: int) -> str:
    """16 hexadecimal digits of all that a choice depends on; every image is decoded, `classes` is their number."""
    network, read = segmenter.backbone.identity(), places_of(segmenter.backbone.taps)
    # What is given is what the backbone reads, as an array or a range too; JSON knows neither.
    candidates = {name: read[name] for name, values in given.items() if values is not None}
    examples = (dataset[index] for index in range(len(dataset)))
    images = [[digests.pixels(example.image).hex(), digests.pixels(example.target).hex()] for example in examples]
    settings = {"settings": vars(segmenter.settings), "given": candidates, "classes": classes}
    return digests.values(plain({"network": network, **settings, "images": images}))


def score_of(places: Places, found: CrossValidation) -> Score:
    """A line of the table."""
    return Score(words(places), found.miou, *found.interval())


def middle(values: Sequence[Any]) -> tuple[Any, ...]:
    """The middle one of some values."""
    return (values[len(values) // 2],)
