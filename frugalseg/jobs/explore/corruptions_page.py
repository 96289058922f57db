"""Robustness on the page and as a table of figures."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from frugalseg.data.classes import ClassTable
from frugalseg.data.corruptions.names import KINDS, kind_of
from frugalseg.jobs.explore.corruptions import CLEAN, Robustness
from frugalseg.report.bar_plots import bars
from frugalseg.report.curve_plots import heat_grid
from frugalseg.report.page import Figure, Page, per_cent
from frugalseg.report.pictures import Pixels
from frugalseg.report.plots import Plot, curves


def add_robustness(
    page: Page, plot: Callable[[str, Plot], None], found: Robustness, strips: dict[str, list[Pixels]]
) -> None:
    """Figures, plots and pictures.

    Args:
        page: gets them.
        plot: puts a plot on the page, and writes it as a file of a name.
        found: what is told.
        strips: pictures of each corruption, the first of which is the image as it is.
    """
    means = [np.mean(found.table), np.mean(found.drops)]
    page.heading("Corrupted images").tiles(
        {
            "mIoU of clean images, %": per_cent(found.clean),
            "mean over corruptions, %": per_cent(float(means[0])),
            "relative drop, %": per_cent(float(means[1])),
        }
    ).text(
        "The test images under the corruptions of ImageNet-C; the model has learned from clean images. The relative "
        "drop is the share of the clean mIoU that is lost. corruptions.csv has all figures and those of each class."
    )
    grid = f"mIoU in per cent by corruption and severity; the mean over all is {per_cent(float(means[0]))}"
    plot("corruptions", heat_grid(found.names, found.severities, found.table, ("corruption", "severity"), grid))
    plot("corruptions_lines", lines(found))
    by_name = found.drops.mean(1)
    order = np.argsort(-by_name)
    worst = f"Relative drop in per cent by corruption, the mean over severities; worst: {found.names[order[0]]}"
    plot("corruptions_drops", bars([found.names[n] for n in order], by_name[order], None, "relative drop, %", worst))
    columns = ("corruption", "mean mIoU, %", "relative drop, %", *(f"severity {each}, %" for each in found.severities))
    rows = [(found.names[n], *map(per_cent, (found.table[n].mean(), by_name[n], *found.table[n]))) for n in order]
    page.table(
        columns, rows, caption="The relative drop is the mean over severities; the worst corruption comes first."
    )
    page.heading("the corruptions", level=3).figures(
        ("clean", *(f"severity {each}" for each in found.severities)),
        [Figure(pictures, [name, *[""] * (len(pictures) - 1)]) for name, pictures in strips.items()],
        width=110,
    )


def lines(found: Robustness) -> Plot:
    """mIoU by severity, from the clean images on, for each kind of corruption."""
    rows = {kind: [n for n, name in enumerate(found.names) if kind_of(name) == kind] for kind in KINDS}
    shown = {"all": list(range(len(found.names))), **{kind: numbers for kind, numbers in rows.items() if numbers}}
    series = {
        name: [(0, 100 * found.clean), *zip(found.severities, 100 * found.table[numbers].mean(0), strict=True)]
        for name, numbers in shown.items()
    }
    ends = ", ".join(f"{name} {values[-1][1]:.1f}" for name, values in series.items())
    alt = f"mIoU in per cent by severity for each kind of corruption; at the highest: {ends}"
    return curves(series, "severity (0: the images as they are)", "mIoU, %", alt)


def corruption_table(found: Robustness, classes: ClassTable) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """A row for each corruption and severity; the first is that of clean images."""
    header = ("kind", "corruption", "severity", "miou", "relative drop", *(f"iou {name}" for name in classes.names))
    rows: list[Sequence[Any]] = [("", *CLEAN, found.clean, 0.0, *found.counts[CLEAN].class_iou())]
    for name, scores, drops in zip(found.names, found.table.tolist(), found.drops.tolist(), strict=True):
        for severity, miou, drop in zip(found.severities, scores, drops, strict=True):
            rows.append((kind_of(name), name, severity, miou, drop, *found.counts[name, severity].class_iou()))
    return header, rows
