"""What a comparison found, as plain values and as a table."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.classes import ClassTable
from frugalseg.metrics.confusion import ConfusionMatrix

MEASURES = {
    "miou": "mIoU",
    "miou_paper": "mIoU as the paper counts",
    "pixel_accuracy": "pixel accuracy",
}


@dataclass(frozen=True, eq=False)
class Run:
    """One method with one seed.

    Attributes:
        row: name of the method.
        seed: of the run.
        confusion: over all test images.
        fit_seconds, evaluate_seconds: how long it took.
    """

    row: str
    seed: int
    confusion: ConfusionMatrix
    fit_seconds: float
    evaluate_seconds: float

    def measure(self, name: str) -> float:
        """A key of `MEASURES`, in [0, 1]."""
        value: float = getattr(self.confusion, name)()
        return value

    def to_json(self) -> dict[str, Any]:
        """Everything, with the measures spelt out for readers without this package."""
        return {
            "row": self.row,
            "seed": self.seed,
            **{name: self.measure(name) for name in MEASURES},
            "fit_seconds": self.fit_seconds,
            "evaluate_seconds": self.evaluate_seconds,
            "counts": self.confusion.counts.tolist(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        counts = np.asarray(value["counts"], dtype=np.int64)
        confusion = ConfusionMatrix(counts.shape[1])
        confusion.counts += counts
        return cls(value["row"], value["seed"], confusion, value["fit_seconds"], value["evaluate_seconds"])


@dataclass(frozen=True, eq=False)
class Comparison:
    """All runs of a recipe.

    Attributes:
        title: of the recipe.
        classes: of the data.
        runs: for each method, in the order of the recipe, its runs.
        page: the HTML page with pictures.
    """

    title: str
    classes: ClassTable
    runs: dict[str, list[Run]]
    page: Path

    def values(self, row: str, measure: str) -> NDArray[np.float64]:
        """(runs,) a measure of one method, in [0, 1]."""
        return np.array([run.measure(measure) for run in self.runs[row]])

    def class_iou(self, row: str) -> NDArray[np.float64]:
        """(runs, K) in [0, 1]; nan where a class neither occurs nor is predicted."""
        return np.array([run.confusion.class_iou("usual") for run in self.runs[row]])

    def ranking(self) -> list[str]:
        """The methods by mean mIoU, best first."""
        return sorted(self.runs, key=lambda row: -float(self.values(row, "miou").mean()))

    def to_json(self) -> dict[str, Any]:
        """Means and standard deviations of every method, and every run's own measures."""
        return {
            "title": self.title,
            "rows": [
                {
                    "name": row,
                    **{name: spread(self.values(row, name)) for name in MEASURES},
                    "class_iou": dict(zip(self.classes.names, map(spread, self.class_iou(row).T), strict=True)),
                    "fit_seconds": spread(np.array([run.fit_seconds for run in runs])),
                    "evaluate_seconds": spread(np.array([run.evaluate_seconds for run in runs])),
                }
                for row, runs in self.runs.items()
            ],
        }

    def summary(self) -> str:
        """The table as text: mean ± standard deviation in per cent."""
        from frugalseg.report.page import mean_std

        rows = [["", *MEASURES.values(), "fit"]]
        for row, runs in self.runs.items():
            seconds = np.mean([run.fit_seconds for run in runs])
            rows.append([row, *(mean_std(self.values(row, name)) for name in MEASURES), f"{seconds:.1f} s"])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(_padded(cells, widths)).rstrip() for cells in rows]
        return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _padded(cells: list[str], widths: list[int]) -> list[str]:
    """The first cell to the left, the others to the right."""
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


def slug(name: str) -> str:
    """A name as a part of a path: lower case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "row"
