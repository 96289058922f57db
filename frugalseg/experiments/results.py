"""What a comparison found, as plain values and as a table."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.classes import ClassTable
from frugalseg.experiments.data import MAIN
from frugalseg.experiments.published import PublishedFigure, compared, said
from frugalseg.metrics.confusion import ConfusionMatrix
from frugalseg.support.errors import InputError
from frugalseg.support.marks import Mark, is_ours
from frugalseg.support.records import not_negative
from frugalseg.support.text import listed

MEASURES = {
    "miou": "mIoU",
    "miou_paper": "mIoU as the paper counts",
    "pixel_accuracy": "pixel accuracy",
}
MARKS = (Mark("results.json", "rows"), Mark("results.json", "recipes"))
"""On the folders of comparisons, and of tables of them."""


@dataclass(frozen=True, eq=False)
class Run:
    """One method with one seed.

    Attributes:
        row: name of the method.
        seed: of the run.
        confusions: one matrix for each test set, over all of its images. The first is that of `MAIN`.
        fit_seconds: duration of the training.
        evaluate_seconds: duration of the evaluation on the main test set.
    """

    row: str
    seed: int
    confusions: dict[str, ConfusionMatrix]
    fit_seconds: float
    evaluate_seconds: float

    def measure(self, name: str, test: str = MAIN) -> float:
        """A key of `MEASURES` on a test set, in [0, 1]."""
        value: float = getattr(self.confusions[test], name)()
        return value

    def to_json(self) -> dict[str, Any]:
        """Everything, and the measures, for readers without this package.

        The values of the main test set are at the top level, as in earlier versions; ``tests`` holds the others.
        """
        further = {name: self._test_json(name) for name in self.confusions if name != MAIN}
        return {
            "row": self.row,
            "seed": self.seed,
            **self._test_json(MAIN),
            "fit_seconds": self.fit_seconds,
            "evaluate_seconds": self.evaluate_seconds,
            **({"tests": further} if further else {}),
        }

    def _test_json(self, test: str) -> dict[str, Any]:
        measures = {name: self.measure(name, test) for name in MEASURES}
        return {**measures, "counts": self.confusions[test].counts.tolist()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `to_json`; raises anything for what is no such value."""
        tests = {MAIN: value, **value.get("tests", {})}
        confusions = {name: ConfusionMatrix.of(test["counts"]) for name, test in tests.items()}
        seconds = [not_negative(value[name]) for name in ("fit_seconds", "evaluate_seconds")]
        return cls(value["row"], value["seed"], confusions, *seconds)


@dataclass(frozen=True, eq=False)
class Comparison:
    """All runs of a recipe.

    Attributes:
        title: of the recipe.
        classes: of the data.
        runs: for each method, in the order of the recipe, its runs.
        page: the HTML page with pictures.
        published: figures that a paper has published for methods, to compare the mIoU as the paper counts it with.
        left_out: methods of the recipe that were not run, and why.
    """

    title: str
    classes: ClassTable
    runs: dict[str, list[Run]]
    page: Path
    published: dict[str, PublishedFigure] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def tests(self) -> list[str]:
        """The names of the test sets, `MAIN` first."""
        return list(next(iter(self.runs.values()))[0].confusions)

    def values(self, row: str, measure: str, test: str = MAIN) -> NDArray[np.float64]:
        """(runs,) a measure of one method on a test set, in [0, 1]."""
        return np.array([run.measure(measure, test) for run in self.runs[row]])

    def class_iou(self, row: str, test: str = MAIN) -> NDArray[np.float64]:
        """(runs, K) in [0, 1]; nan where a class neither occurs nor is predicted."""
        return np.array([run.confusions[test].class_iou("usual") for run in self.runs[row]])

    def ranking(self, test: str = MAIN) -> list[str]:
        """The methods by mean mIoU on a test set, best first."""
        return sorted(self.runs, key=lambda row: -float(self.values(row, "miou", test).mean()))

    @property
    def compares(self) -> bool:
        """Whether a method that was run has a published figure."""
        return any(row in self.published for row in self.runs)

    def mean(self, row: str) -> float:
        """The mean mIoU of a method over its runs, as the paper counts it, in per cent."""
        return 100 * float(self.values(row, "miou_paper").mean())

    def beside_published(self, row: str) -> tuple[str, str]:
        """The published figure of a method, and the difference of ours, in words."""
        return said(self.published.get(row), self.mean(row))

    def to_json(self) -> dict[str, Any]:
        """Means and standard deviations of every method, and every run's own measures."""
        out = {"left_out": self.left_out} if self.left_out else {}
        return {"title": self.title, "rows": [self._row_json(row) for row in self.runs], **out}

    def _row_json(self, row: str) -> dict[str, Any]:
        further = {name: self._test_json(row, name) for name in self.tests if name != MAIN}
        figure = self.published.get(row)
        return {
            "name": row,
            **self._test_json(row, MAIN),
            **({} if figure is None else compared(figure, self.mean(row))),
            "fit_seconds": spread(np.array([run.fit_seconds for run in self.runs[row]])),
            "evaluate_seconds": spread(np.array([run.evaluate_seconds for run in self.runs[row]])),
            **({"tests": further} if further else {}),
        }

    def _test_json(self, row: str, test: str) -> dict[str, Any]:
        return {
            **{name: spread(self.values(row, name, test)) for name in MEASURES},
            "class_iou": dict(zip(self.classes.names, map(spread, self.class_iou(row, test).T), strict=True)),
        }

    def summary(self) -> str:
        """The table as text: mean ± standard deviation in per cent; below it the mIoU on further test sets."""
        from frugalseg.report.page import mean_std

        rows = [["", *MEASURES.values(), *(("published", "difference") if self.compares else ()), "fit"]]
        for row, runs in self.runs.items():
            seconds = np.mean([run.fit_seconds for run in runs])
            beside = self.beside_published(row) if self.compares else ()
            measured = (mean_std(self.values(row, name)) for name in MEASURES)
            rows.append([row, *measured, *beside, f"{seconds:.1f} s"])
        tables = [text_table(rows)]
        if len(self.tests) > 1:
            further = [[test, *(mean_std(self.values(row, "miou", test)) for row in self.runs)] for test in self.tests]
            tables.append(text_table([["mIoU", *self.runs], *further]))
        if self.left_out:
            tables.append("\n".join(f"not run: {row}: {why}" for row, why in self.left_out.items()))
        return "\n\n".join(tables)


def spare_others(folder: Path) -> None:
    """`InputError` where a folder holds a page or results that are of no comparison, and would be replaced."""
    there = [name for name in ("index.html", "results.json") if (folder / name).exists()]
    if there and not is_ours(folder, MARKS):
        raise InputError(
            f"{folder}: its {listed(there)} would be replaced, but no comparison wrote that; choose another output "
            "folder, or move it away"
        )


def text_table(rows: list[list[str]]) -> str:
    """Lines of text with aligned columns: the first to the left, the others to the right; `rows[0]` is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(_padded(cells, widths)).rstrip() for cells in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _padded(cells: list[str], widths: list[int]) -> list[str]:
    return [cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))]


def spread(values: NDArray[np.float64]) -> dict[str, Any]:
    """Mean, sample standard deviation (null for one run) and the values; nan, which JSON lacks, becomes null."""
    numbers = [None if np.isnan(value) else float(value) for value in values]
    mean, deviation = float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return {
        "mean": None if np.isnan(mean) else mean,
        "std": None if np.isnan(deviation) else deviation,
        "values": numbers,
    }
