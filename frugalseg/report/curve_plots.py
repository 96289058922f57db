"""Plots of measurements over a number or over places in a network: heat maps, bands over runs, lines in an order."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from frugalseg.report.plots import SERIES, Plot, Theme, legend, mean_and_std

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDERED = ("#3aa6b9", "#2f6fde", "#b04fc4", "#d1495b", "#e07b39")
"""From first to last, for lines that have an order."""
FEW = 12
"""Places up to which a line has a marker at each."""


def heat_grid(
    rows: Sequence[Any], columns: Sequence[Any], values: ArrayLike, axes_names: tuple[str, str], alt: str
) -> Plot:
    """A number in each cell, and the higher the darker.

    Args:
        rows, columns: what they stand for.
        values: (rows, columns) in [0, 1], shown in per cent; NaN leaves a cell empty.
        axes_names: of the rows and of the columns.
        alt: the plot in words.
    """
    per_cent = 100 * np.asarray(values, dtype=np.float64)
    low, high = np.nanmin(per_cent), np.nanmax(per_cent)

    def paint(axes: "Axes", theme: Theme) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        fade = LinearSegmentedColormap.from_list("fade", ["#2f6fde08", "#2f6fdeff"])
        axes.imshow(np.ma.masked_invalid(per_cent), cmap=fade, vmin=low, vmax=max(high, low + 1e-9), aspect="auto")
        axes.set_xticks(range(len(columns)), list(map(str, columns)))
        axes.set_yticks(range(len(rows)), list(map(str, rows)))
        axes.set_ylabel(axes_names[0])
        axes.set_xlabel(axes_names[1])
        best = np.unravel_index(np.nanargmax(per_cent), per_cent.shape)
        for place, value in np.ndenumerate(per_cent):
            if np.isnan(value):
                continue
            color = "#ffffff" if value > low + 0.6 * (high - low) else theme.ink
            weight = "bold" if place == best else "normal"
            axes.text(
                place[1], place[0], f"{value:.1f}", ha="center", va="center", color=color, fontsize=7.5, weight=weight
            )

    return Plot((max(3.6, 1.2 + 0.52 * len(columns)), 1.0 + 0.3 * len(rows)), paint, alt)


def ordered_lines(places: Sequence[Any], series: Mapping[str, ArrayLike], xlabel: str, ylabel: str, alt: str) -> Plot:
    """A line for each of some values that have an order, which their colors follow.

    Args:
        places: names of the places along the x axis.
        series: for each value (places,) numbers in [0, 1], shown in per cent.
        xlabel, ylabel: of the axes.
        alt: the plot in words.
    """

    def paint(axes: "Axes", theme: Theme) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        colors = LinearSegmentedColormap.from_list("ordered", ORDERED)
        for number, (name, values) in enumerate(series.items()):
            color = colors(number / max(1, len(series) - 1))
            marker = "o" if len(places) <= FEW else None
            numbers = 100 * np.asarray(values, np.float64)
            axes.plot(
                range(len(places)), numbers, color=color, marker=marker, markersize=3.5, linewidth=1.6, label=name
            )
        named(axes, theme, places, xlabel, ylabel)
        if len(series) > 1:
            legend(axes, theme, columns=6)

    return Plot((7.2, 3.2 + 0.2 * -(-len(series) // 6)), paint, alt)


def intervals(places: Sequence[Any], values: ArrayLike, xlabel: str, ylabel: str, alt: str) -> Plot:
    """A dot with an interval at each place.

    Args:
        places: their names.
        values: (places, 3): middle, low end and high end in [0, 1], shown in per cent; ends that are NaN are left out.
        xlabel, ylabel: of the axes.
        alt: the plot in words.
    """
    middle, low, high = 100 * np.asarray(values, dtype=np.float64).T

    def paint(axes: "Axes", theme: Theme) -> None:
        known = np.flatnonzero(~np.isnan(low))
        axes.vlines(known, low[known], high[known], color=SERIES[0], linewidth=2.2, alpha=0.35)
        axes.plot(range(len(places)), middle, color=SERIES[0], marker="o", markersize=4, linewidth=1.2)
        named(axes, theme, places, xlabel, ylabel)

    return Plot((7.2, 3.4), paint, alt)


def named(axes: "Axes", theme: Theme, places: Sequence[Any], xlabel: str, ylabel: str) -> None:
    """Ticks with the names of the places, slanted where they are long."""
    long = max(len(str(place)) for place in places) * len(places) > 90
    slanted: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if long else {}
    axes.set_xticks(range(len(places)), list(map(str, places)), **slanted)
    axes.grid(color=theme.grid, linewidth=0.8, axis="y")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)


def band(numbers: Sequence[int], runs: ArrayLike, xlabel: str, ylabel: str, alt: str) -> Plot:
    """The mean over runs with a band of one standard deviation, and a dot for each run.

    Args:
        numbers: along the x axis, which is logarithmic.
        runs: (runs, numbers) in [0, 1], shown in per cent.
        xlabel, ylabel: of the axes.
        alt: the plot in words.
    """
    table = 100 * np.atleast_2d(np.asarray(runs, dtype=np.float64))
    middle, spread = mean_and_std(table)

    def paint(axes: "Axes", theme: Theme) -> None:
        axes.fill_between(numbers, middle - spread, middle + spread, color=SERIES[0], alpha=0.18, linewidth=0)
        for values in table:
            axes.scatter(numbers, values, s=9, color=SERIES[0], alpha=0.55, linewidths=0)
        axes.plot(numbers, middle, color=SERIES[0], linewidth=1.8)
        axes.set_xscale("log")
        axes.set_xticks(list(numbers), list(map(str, numbers)))
        axes.minorticks_off()
        axes.grid(color=theme.grid, linewidth=0.8)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)

    return Plot((7.2, 3.4), paint, alt)


def risk_curves(coverage: ArrayLike, risks: Mapping[str, ArrayLike], alt: str) -> Plot:
    """Error against coverage.

    Args:
        coverage: (N,) in (0, 1].
        risks: (N,) in [0, 1] for each of three names.
        alt: the plot in words.
    """
    covered = 100 * np.asarray(coverage, dtype=np.float64)

    def paint(axes: "Axes", theme: Theme) -> None:
        styles = ((SERIES[0], "-"), (SERIES[2], "--"), (theme.muted, ":"))
        for (name, values), (color, style) in zip(risks.items(), styles, strict=True):
            axes.plot(covered, 100 * np.asarray(values), color=color, linestyle=style, linewidth=1.6, label=name)
        axes.grid(color=theme.grid, linewidth=0.8)
        axes.set_xlim(0, 100)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("coverage: share of the pixels that are kept, the most certain ones, %")
        axes.set_ylabel("wrong among them, %")
        legend(axes, theme, columns=3)

    return Plot((7.2, 3.4), paint, alt)


def scatter(x: ArrayLike, y: ArrayLike, xlabel: str, ylabel: str, alt: str) -> Plot:
    """A dot for each pair.

    Args:
        x: (N,), as they are.
        y: (N,) in [0, 1], shown in per cent.
        xlabel, ylabel: of the axes.
        alt: the plot in words.
    """

    def paint(axes: "Axes", theme: Theme) -> None:
        axes.scatter(np.asarray(x), 100 * np.asarray(y), s=22, color=SERIES[0], alpha=0.7, linewidths=0)
        axes.grid(color=theme.grid, linewidth=0.8)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)

    return Plot((7.2, 3.4), paint, alt)
