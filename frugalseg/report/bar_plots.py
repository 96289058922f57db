"""Plots of a few things to be compared: a bar each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from frugalseg.report.plots import SERIES, Plot, Theme, in_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def bars(names: Sequence[str], values: ArrayLike, spread: ArrayLike | None, xlabel: str, alt: str) -> Plot:
    """A horizontal bar for each name, with its number beside it.

    Args:
        names: from top to bottom.
        values: (names,) about [0, 1], shown in per cent; NaN leaves the bar out.
        spread: (names,) likewise, a line to either side of the end; None without.
        xlabel: what the values are.
        alt: the plot in words.
    """
    per_cent = 100 * np.asarray(values, dtype=np.float64)
    lengths = np.nan_to_num(per_cent)
    around = np.zeros(len(names)) if spread is None else 100 * np.asarray(spread, dtype=np.float64)

    def paint(axes: "Axes", theme: Theme) -> None:
        places = np.arange(len(names))
        axes.barh(places, lengths, height=0.62, color=SERIES[0])
        axes.hlines(places, lengths - around, lengths + around, color=theme.ink, linewidth=1.4)
        gap = 0.012 * max(1e-9, float(np.ptp([0, *lengths])))
        for place, value, end in zip(places, per_cent, np.maximum(lengths + around, 0), strict=True):
            text = "–" if np.isnan(value) else f"{value:.1f}"
            axes.text(float(end) + gap, float(place), text, va="center", color=theme.ink, fontsize=8.5)
        axes.set_yticks(places, in_plot(names))
        axes.invert_yaxis()
        axes.set_xlabel(xlabel)
        axes.margins(x=0.08, y=0.02)

    return Plot((7.2, 0.8 + 0.27 * len(names)), paint, alt)
