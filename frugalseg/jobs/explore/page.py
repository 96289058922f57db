"""The page of an exploration, and its plots as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frugalseg.jobs.explore.clusters import COMPONENTS, LONGEST, ClusterPictures
from frugalseg.jobs.explore.corruptions_page import add_robustness
from frugalseg.jobs.explore.ground import Ground
from frugalseg.jobs.explore.models import Doubt, Found, ModelStudies, Point
from frugalseg.jobs.explore.sources import add_sources
from frugalseg.jobs.explore.tables import COVERAGE
from frugalseg.jobs.explore.taps import TapScore, TapSweep
from frugalseg.report.curve_plots import band, heat_grid, intervals, ordered_lines, risk_curves, scatter
from frugalseg.report.page import Figure, Page, mean_std, per_cent
from frugalseg.report.pictures import fit_plane_within, mask_picture
from frugalseg.report.plots import LIGHT, Plot
from frugalseg.selection.folds import labelled
from frugalseg.selection.places import is_grid, places_of
from frugalseg.support.files import atomic_path
from frugalseg.support.text import count

BEST = 15
"""Taps in the table."""
INTERVAL = "95 % interval for other images of the same kind, by resampling the images"


class ExplorationPage:
    """Puts the page together.

    Args:
        ground: of the exploration.
        title: of the page.
    """

    def __init__(self, ground: Ground, title: str) -> None:
        self.ground = ground
        self.page = Page(title, lead=lead_of(ground))

    def save(self, sweep: TapSweep, studies: ModelStudies, taps: Sequence[TapScore], found: Found) -> Path:
        """Write ``index.html`` and ``plots``."""
        if taps:
            self.taps(taps)
        if sweep.pictures.taps:
            self.clusters(sweep.pictures)
        for points, add in ((found.images, self.images), (found.members, self.members)):
            if points is not None:
                add(points)
        if found.uncertainty is not None:
            self.uncertainty(found.uncertainty)
        if found.corruptions is not None and studies.corruptions is not None:
            add_robustness(self.page, self.plot, found.corruptions, studies.corruptions.strips())
        if found.source is not None:
            add_sources(self.page, self.plot, found.source)
        return self.page.save(self.ground.out / "index.html")

    def plot(self, name: str, plot: Plot) -> None:
        """A plot on the page, and as a file."""
        light = plot.png(LIGHT)
        with atomic_path(self.ground.out / "plots" / f"{name}.png") as temporary:
            temporary.write_bytes(light)
        self.page.plot(plot, light)

    def taps(self, taps: Sequence[TapScore]) -> None:
        """mIoU of every tap alone."""
        ranked = sorted(taps, key=lambda score: -score.miou)
        members = count(self.ground.settings.members_for("taps"), "member")
        self.page.heading("Every tap alone").text(
            f"mIoU of a classifier of {members} on the features of a single tap. Best: {ranked[0].tap.name} with "
            f"{per_cent(ranked[0].miou)} %. Predictions are not smoothed. taps.csv has all figures and those of each "
            "class."
        )
        places = places_of(score.tap for score in taps)
        if is_grid([score.tap for score in taps]):
            self._grid(taps, places)
        else:
            self._line(taps, places)
        ends = [per_cent(s.low) if np.isnan(s.low) else f"{per_cent(s.low)} to {per_cent(s.high)}" for s in ranked]
        rows = [(s.tap.name, per_cent(s.miou), end) for s, end in zip(ranked[:BEST], ends, strict=False)]
        header = ("tap", "mIoU, %", "interval, %", "channels", "stride")
        cells = [(*row, str(s.tap.channels), str(s.tap.stride)) for row, s in zip(rows, ranked, strict=False)]
        self.page.table(header, cells, caption=f"The best {len(cells)} of {len(taps)} taps; {INTERVAL}.")

    def _grid(self, taps: Sequence[TapScore], places: dict[str, tuple[Any, ...]]) -> None:
        """Two options choose the taps."""
        (first, columns), (second, rows) = places.items()
        by_place = {tuple(dict(score.tap.at).values()): score.miou for score in taps}
        table = np.array([[by_place[column, row] for column in columns] for row in rows])
        alt = f"mIoU of every tap in per cent, by {second} and {first}; the table below has the best"
        self.plot("taps", heat_grid(rows, columns, table, (second, first), alt))
        lines = {f"{first} {column}": table[:, place] for place, column in enumerate(columns)}
        self.plot("taps_lines", ordered_lines(rows, lines, second, "mIoU, %", alt))

    def _line(self, taps: Sequence[TapScore], places: dict[str, tuple[Any, ...]]) -> None:
        """One option, or none, chooses the taps."""
        single = len(places) == 1 and len(next(iter(places.values()))) == len(taps)
        name, names = next(iter(places.items())) if single else ("tap", [score.tap.name for score in taps])
        values = [(score.miou, score.low, score.high) for score in taps]
        alt = f"mIoU of every tap in per cent, by {name}; the table below has the best"
        self.plot("taps", intervals(names, values, name, "mIoU, %", alt))

    def clusters(self, pictures: ClusterPictures) -> None:
        """Clusters and components of some taps."""
        ground = self.ground
        self.page.heading("Clusters and components").text(
            "What the features show without any label. Clusters (k-means) and principal components are found on all "
            "images of this page together: a color means the same on every image. From tap to tap, clusters have the "
            "colors of those of the first tap that they share most pixels with; the colors of components cannot be "
            "compared between taps."
        )
        places = places_of(pictures.taps)
        groups = [list(pictures.taps)]
        if is_grid(pictures.taps):
            first, values = next(iter(places.items()))
            groups = [[tap for tap in pictures.taps if dict(tap.at)[first] == value] for value in values]
        seen = {image: pictures.photograph(image) for image in pictures.images}
        for kind in pictures.kinds:
            self.page.heading("principal components" if kind == COMPONENTS else f"{kind[1:]} clusters", level=3)
            for group in groups:
                rows = []
                for image, (name, photograph) in seen.items():
                    # Smaller by its nearest pixels: means of colors would be no colors of classes.
                    truth = mask_picture(fit_plane_within(ground.targets[image], LONGEST), ground.classes)
                    shown = [photograph, truth, *(pictures.picture(kind, tap, image) for tap in group)]
                    rows.append(Figure(shown, [name, *([""] * (len(shown) - 1))]))
                self.page.figures(("image", "truth", *(tap.name for tap in group)), rows, width=110)

    def images(self, points: Sequence[Point]) -> None:
        """mIoU by the number of annotated images."""
        numbers, table = runs_of(points)
        self.page.heading("Annotated images").text(
            f"mIoU of models that learn from so many images: {said(numbers, table)}. The images of a smaller number "
            f"are among those of a larger one; the band is one standard deviation over {count(len(table), 'run')} with "
            "different images and seeds."
        )
        alt = f"mIoU in per cent by the number of annotated images: {said(numbers, table)}"
        self.plot("images", band(numbers, table, "annotated images", "mIoU, %", alt))

    def members(self, points: Sequence[Point]) -> None:
        """mIoU by the number of members."""
        numbers, table = runs_of(points)
        self.page.heading("Members of the ensemble").text(
            f"mIoU of the first so many members of one ensemble: {said(numbers, table)}. The band is one standard "
            f"deviation over {count(len(table), 'run')} with different seeds."
        )
        alt = f"mIoU in per cent by the number of members: {said(numbers, table)}"
        self.plot("members", band(numbers, table, "members", "mIoU, %", alt))

    def uncertainty(self, doubt: Doubt) -> None:
        """Does the uncertainty find the mistakes?"""
        risk = doubt.risk
        self.page.heading("Uncertainty").tiles(
            {
                "wrong pixels, %": per_cent(risk.error),
                "area under the curve, %": per_cent(risk.area()),
                "area of an ideal order, %": per_cent(risk.ideal_area()),
                "AUROC of finding mistakes": figure(risk.detection(), 3),
            }
        ).text(
            "Pixels are given up from the most uncertain on, and the mistakes among the rest are counted. Without any "
            "order, the share of mistakes would stay the same; in an ideal order, all mistakes would go first. AUROC "
            "is the chance that a wrong pixel is more uncertain than a right one: 0.5 tells nothing, 1 everything."
        )
        curves = {
            "by uncertainty": risk.risk(COVERAGE),
            "ideal order": risk.ideal(COVERAGE),
            "no order": np.full(len(COVERAGE), risk.error),
        }
        at = ", ".join(f"{per_cent(r)} at {c} %" for c, r in zip((50, 80, 90), risk.risk([0.5, 0.8, 0.9]), strict=True))
        self.plot("uncertainty", risk_curves(COVERAGE, curves, f"Wrong pixels in per cent by coverage: {at}"))
        scored = [score for score in doubt.images if not np.isnan(score.miou)]
        if len(scored) > 1:
            pairs = np.array([(score.uncertainty, score.miou) for score in scored])
            correlation = figure(rank_correlation(pairs[:, 0], pairs[:, 1]), 2)
            self.page.text(
                "A dot for each test image. Its uncertainty is the mean over its 10 % most uncertain pixels, by which "
                f"generate drops images; its rank correlation with the mIoU is {correlation}."
            )
            alt = f"mIoU of {len(scored)} images by their uncertainty; rank correlation {correlation}"
            self.plot("uncertainty_images", scatter(pairs[:, 0], pairs[:, 1], "uncertainty, nats", "mIoU, %", alt))


def lead_of(ground: Ground) -> str:
    """What was learned from and tested on."""
    annotated = count(len(labelled(ground.targets, range(ground.annotated))), "annotated image")
    if not ground.splits:
        return f"{annotated}."
    if ground.annotated < len(ground.targets):
        return f"{annotated} to learn from, {ground.tested} to test on."
    return (
        f"{annotated}, cross-validated in {len(ground.splits)} parts: each image is "
        "predicted by a classifier that has not seen it."
    )


def figure(value: float, digits: int) -> str:
    """A number with so many digits behind the point; a dash for NaN."""
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def runs_of(points: Sequence[Point]) -> tuple[list[int], np.ndarray[Any, np.dtype[np.float64]]]:
    """The numbers along the x axis, and the (runs, numbers) scores."""
    numbers = list(dict.fromkeys(point.number for point in points))
    return numbers, np.array([point.miou for point in points]).reshape(-1, len(numbers))


def said(numbers: Sequence[int], table: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    """``1: 20.1 ± 2.0, 2: 25.0 ± 1.1``."""
    return ", ".join(f"{number}: {mean_std(column)}" for number, column in zip(numbers, table.T, strict=True))


def curve_text(points: Sequence[Point]) -> str:
    """A curve in words, see `said`."""
    return said(*runs_of(points))


def rank_correlation(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> float:
    """Spearman's: the correlation of the ranks; NaN where all values of one kind are alike."""
    if len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return float("nan")
    return float(np.corrcoef(ranks(x), ranks(y))[0, 1])


def ranks(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The rank of each value, from 0; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    means: np.ndarray[Any, np.dtype[np.float64]] = counts.cumsum() - (counts + 1) / 2
    return means[place]
