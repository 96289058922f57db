"""One run of one method: fitted with a seed, evaluated on every test set."""

import time
from typing import TYPE_CHECKING

from frugalseg.data.example import Example
from frugalseg.experiments.data import MAIN, Datasets
from frugalseg.experiments.results import Run
from frugalseg.experiments.rows import Method
from frugalseg.support.progress import Progress

if TYPE_CHECKING:
    from frugalseg.classifier.prediction import PixelPrediction

STAGES = {"draw": (0, 10), "features": (0, 15), "generate": (10, 15), "train": (15, 70), "evaluate": (70, 100)}
"""Where, in per cent of a run, each stage of a method begins and ends on the progress bar."""


def one_run(
    method: Method, row: str, seed: int, data: Datasets, pictures: int, progress: Progress
) -> "tuple[Run, list[PixelPrediction]]":
    """Fit a method and evaluate it.

    Args:
        method: of the row, with the seed, not fitted.
        row: its name.
        seed: of the run.
        data: to fit and to evaluate on.
        pictures: how many predictions to return.
        progress: told of each stage of the method.

    Returns:
        The run, and the predictions for the first images of the main test set.
    """
    predictions: list[PixelPrediction] = []

    def keep(example: Example, found: "PixelPrediction") -> None:
        if len(predictions) < pictures:
            predictions.append(found)

    started = time.perf_counter()
    method.fit(data.train, progress=progress)
    fitted = time.perf_counter()
    found = method.evaluate(data.test, see=keep, progress=share(progress, 0, len(data.tests)))
    seconds = fitted - started, time.perf_counter() - fitted
    confusions = {MAIN: found.confusion}
    for number, (name, test) in enumerate(data.further.items(), 1):
        advance = share(progress, number, len(data.tests))
        confusions[name] = method.evaluate(test, see=ignore, progress=advance).confusion
    return Run(row, seed, confusions, *seconds), predictions


def ignore(example: Example, found: "PixelPrediction") -> None:
    """Keep nothing of a prediction."""


def share(progress: Progress, number: int, count: int) -> Progress:
    """The progress of part `number` of `count` parts of a stage, told as that of the whole stage."""

    def show(stage: str, done: int, total: int) -> None:
        progress(stage, number * total + done, count * total)

    return show


def of_row(progress: Progress, row: str, number: int, count: int) -> Progress:
    """The progress of run `number` of `count` runs, told as per cent of the whole row."""

    def show(stage: str, done: int, total: int) -> None:
        first, last = STAGES.get(stage, (0, 0))
        part = first + (last - first) * done // max(total, 1)
        progress(row, (100 * number + part) // count, 100)

    return show
