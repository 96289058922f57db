"""The figures of an exploration as CSV files; shares are in [0, 1], and a cell is empty where there is no figure."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frugalseg.data.classes import ClassTable
from frugalseg.jobs.explore.corruptions_page import corruption_table
from frugalseg.jobs.explore.models import Doubt, Found
from frugalseg.jobs.explore.taps import TapScore
from frugalseg.selection.places import places_of
from frugalseg.support.files import atomic_path

COVERAGE = np.arange(1, 101) / 100
DIGITS = 6


def write_tables(out: Path, taps: Sequence[TapScore], found: Found, classes: ClassTable) -> None:
    """Write a file for everything that was found out."""
    if taps:
        write_csv(out / "taps.csv", *tap_table(taps, classes))
    for name, points in (("images", found.images), ("members", found.members)):
        if points is not None:
            write_csv(out / f"{name}.csv", (name, "run", "miou"), [(p.number, p.run, p.miou) for p in points])
    if found.uncertainty is not None:
        write_csv(out / "uncertainty.csv", *risk_table(found.uncertainty))
        rows = [(score.name, score.uncertainty, score.miou) for score in found.uncertainty.images]
        write_csv(out / "uncertainty_images.csv", ("image", "uncertainty", "miou"), rows)
    if found.corruptions is not None:
        write_csv(out / "corruptions.csv", *corruption_table(found.corruptions, classes))
    if found.source is not None:
        runs = [(s.name, s.images, run, miou) for s in found.source for run, miou in enumerate(s.mious)]
        write_csv(out / "source.csv", ("source", "images", "run", "miou"), runs)


def tap_table(taps: Sequence[TapScore], classes: ClassTable) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """A row for each tap."""
    options = list(places_of(score.tap for score in taps))
    header = ("tap", *options, "channels", "stride", "miou", "low", "high", *(f"iou {name}" for name in classes.names))
    rows = [
        (
            score.tap.name,
            *(dict(score.tap.at).get(name) for name in options),
            score.tap.channels,
            score.tap.stride,
            score.miou,
            score.low,
            score.high,
            *score.class_iou,
        )
        for score in taps
    ]
    return header, rows


def risk_table(doubt: Doubt) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """The risk at each whole per cent of coverage."""
    risk, ideal = doubt.risk.risk(COVERAGE), doubt.risk.ideal(COVERAGE)
    rows = [(c, r, i, doubt.risk.error) for c, r, i in zip(COVERAGE, risk, ideal, strict=True)]
    return ("coverage", "risk", "ideal risk", "risk without an order"), rows


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A CSV file, whole or not at all."""
    # Names of files may be no UTF-8.
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([cell(value) for value in row] for row in rows)


def cell(value: Any) -> Any:
    """A value as it is written."""
    if not isinstance(value, float):
        return value
    return None if np.isnan(value) else f"{value:.{DIGITS}f}".rstrip("0").rstrip(".")
