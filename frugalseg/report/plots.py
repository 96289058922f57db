"""Plots as PNG files in memory, in a light and a dark version; matplotlib's object interface, so no global state."""

import io
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalseg.support.text import UNFIT, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 200
MOST_PIXELS = 2**24
"""Larger plots, such as the confusion of 150 classes, have fewer pixels an inch: they would take gigabytes to draw."""

LONGEST_NAME, LONGEST_ENTRY = 40, 60
"""Characters of a name beside an axis, and in a legend: longer ones would leave no room for what they are names of."""
USUAL_NAME = 16
"""Characters of a name that a confusion matrix of few classes has room for."""
LEGEND_WIDTH = 104
"""Small letters that have room side by side in a legend."""

SERIES = ("#2f6fde", "#e07b39", "#2a9d6f", "#b04fc4", "#c9a227", "#d1495b", "#3aa6b9", "#7a6ff0")
"""Line and marker colours that read on white and on near-black."""

MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
"""One a series, so that colour is not the only difference."""


@dataclass(frozen=True)
class Theme:
    """Colours of everything that is not data. The background is the page's own."""

    ink: str
    muted: str
    grid: str


LIGHT = Theme(ink="#1c2330", muted="#5d6675", grid="#dfe3ea")
DARK = Theme(ink="#e6e9ef", muted="#9aa3b2", grid="#323a48")


@dataclass(frozen=True)
class Plot:
    """A plot that can be drawn in any theme.

    Attributes:
        size: (width, height) in inches.
        paint: draws on empty axes.
        alt: what the plot shows, in words, for those who cannot see it.
    """

    size: tuple[float, float]
    paint: "Callable[[Axes, Theme], None]"
    alt: str

    def png(self, theme: Theme) -> bytes:
        """The plot as a PNG file with a transparent background."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.text import Text

        dpi = min(DPI, (MOST_PIXELS / (self.size[0] * self.size[1])) ** 0.5)
        figure = Figure(figsize=self.size, dpi=dpi, layout="constrained", facecolor="none")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot(facecolor="none")
        dress(axes, theme)
        self.paint(axes, theme)
        for text in figure.findobj(Text):
            text.set_parse_math(False)  # names of classes may hold dollar signs
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a sign that the font lacks is a box
            figure.savefig(buffer, format="png", transparent=True, metadata={"Software": None})
        return buffer.getvalue()


def dress(axes: "Axes", theme: Theme) -> None:
    """Quiet axes: no box, thin grid, small text in the theme's colours."""
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(colors=theme.ink, labelsize=8.5, length=0)
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(theme.muted)
    axes.yaxis.label.set_color(theme.muted)
    axes.xaxis.label.set_fontsize(8.5)
    axes.yaxis.label.set_fontsize(8.5)


def in_plot(names: Iterable[str], longest: int = LONGEST_NAME) -> list[str]:
    """Names as a plot shows them: in one line, of at most so many characters, with a question mark for what matplotlib
    cannot draw."""
    lines = ("".join("?" if unicodedata.category(c) in UNFIT else c for c in name) for name in names)
    # What begins with an underscore has no place in a legend of matplotlib.
    return [shortened(f" {line}" if line.startswith("_") else line, longest) for line in lines]


def width_of(name: str) -> float:
    """About how wide a name is, in small letters."""
    wide = sum(c in "MWmw@%" or unicodedata.east_asian_width(c) in "WF" for c in name)
    return len(name) + 0.7 * wide + 0.3 * sum(map(str.isupper, name))


def legend(axes: "Axes", theme: Theme, columns: int) -> None:
    """The legend above the plot, without a box."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=8.5,
        labelcolor=theme.ink,
        borderaxespad=0.3,
        handletextpad=0.4,
    )


def class_dots(names: Sequence[str], series: Mapping[str, ArrayLike], alt: str) -> Plot:
    """One line a class, one marker a series: the mean over runs, with a bar of one standard deviation.

    Args:
        names: the K classes, from top to bottom.
        series: for each method, (runs, K) values in [0, 1], NaN where a class does not occur.
        alt: the plot in words.
    """
    table = [np.atleast_2d(np.asarray(values, dtype=np.float64)) * 100 for values in series.values()]
    labels = in_plot(series, LONGEST_ENTRY)
    columns = max(1, min(2 if len(table) > 3 else 3, int(LEGEND_WIDTH / max(map(width_of, labels)))))
    lines = -(-len(table) // columns)

    def paint(axes: "Axes", theme: Theme) -> None:
        places = np.arange(len(names))
        axes.hlines(places, 0, 100, color=theme.grid, linewidth=0.8, zorder=0)
        for number, (name, values) in enumerate(zip(labels, table, strict=True)):
            color, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
            middle, spread = mean_and_std(values)
            axes.hlines(places, middle - spread, middle + spread, color=color, linewidth=2.2, alpha=0.45)
            # The first method is drawn last: it is what the others are compared with.
            order = 3 + len(table) - number
            axes.scatter(
                middle, places, s=34, color=color, marker=marker, label=name, zorder=order, linewidths=0, clip_on=False
            )
        axes.set_yticks(places, in_plot(names))
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("IoU, %")
        axes.margins(y=0.04)
        legend(axes, theme, columns)

    return Plot((7.2, 1.3 + 0.27 * len(names) + 0.2 * max(0, lines - 3)), paint, alt)


def class_bars(names: Sequence[str], values: ArrayLike, alt: str) -> Plot:
    """One horizontal bar a class with its value in per cent.

    Args:
        names: the K classes, from top to bottom.
        values: (K,) in [0, 1]; NaN where a class does not occur, which is said in words.
        alt: the plot in words.
    """
    per_cent = np.asarray(values, dtype=np.float64) * 100

    def paint(axes: "Axes", theme: Theme) -> None:
        places = np.arange(len(names))
        axes.barh(places, np.full(len(names), 100.0), height=0.62, color=theme.grid, alpha=0.45)
        axes.barh(places, np.nan_to_num(per_cent), height=0.62, color=SERIES[0])
        for place, value in zip(places, per_cent, strict=True):
            text = "does not occur" if np.isnan(value) else f"{value:.1f}"
            axes.text(101, float(place), text, va="center", color=theme.ink, fontsize=8.5)
        axes.set_yticks(places, in_plot(names))
        axes.set_xticks([0, 25, 50, 75, 100])
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("IoU, %")
        axes.margins(y=0.02)

    return Plot((7.2, 0.8 + 0.27 * len(names)), paint, alt)


def confusion_grid(names: Sequence[str], counts: ArrayLike, alt: str) -> Plot:
    """The confusion matrix as shares of each true class.

    Args:
        names: the K classes.
        counts: (K, K) pixels, truth down, prediction across.
        alt: the plot in words.
    """
    matrix, labels = np.asarray(counts, dtype=np.float64), in_plot(names)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0) * 100

    def paint(axes: "Axes", theme: Theme) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        # From the colour of the data at no opacity: the page's own background, light or dark, shows through.
        fade = LinearSegmentedColormap.from_list("fade", ["#2f6fde00", "#2f6fdeff"])
        axes.imshow(np.sqrt(shares / 100), cmap=fade, vmin=0, vmax=1, aspect="equal")
        axes.set_xticks(range(len(names)), labels, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), labels)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.5:
                color = "#ffffff" if share > 40 else theme.ink
                axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=color, fontsize=7.5)

    side = 2.2 + 0.33 * len(names) + 0.1 * max(0, max(map(len, labels)) - USUAL_NAME)
    return Plot((side + 0.5, side), paint, alt)


def curves(series: Mapping[str, ArrayLike], xlabel: str, ylabel: str, alt: str) -> Plot:
    """Lines over the number of the step.

    Args:
        series: for each name (N,) values, or (N, 2) pairs of step and value.
        xlabel: what the steps are.
        ylabel: what the values are.
        alt: the plot in words.
    """
    lines = {name: _pairs(np.asarray(values, dtype=np.float64)) for name, values in series.items()}

    def paint(axes: "Axes", theme: Theme) -> None:
        for number, (name, pairs) in enumerate(lines.items()):
            axes.plot(pairs[:, 0], pairs[:, 1], color=SERIES[number % len(SERIES)], linewidth=1.6, label=name)
        axes.grid(color=theme.grid, linewidth=0.8)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        if len(lines) > 1:
            legend(axes, theme, columns=4)

    return Plot((7.2, 3.4), paint, alt)


def _pairs(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) steps and values; the steps count from 1 where none are given."""
    return values if values.ndim == 2 else np.stack([np.arange(1, len(values) + 1), values], axis=1)


def mean_and_std(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and sample standard deviation (0 for a single run) over the first axis, without a warning for NaN."""
    middle = values.mean(axis=0)
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros_like(middle)
    return middle, spread
