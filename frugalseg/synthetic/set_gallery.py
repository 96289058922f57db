"""The page of a synthetic set: which images it holds, how sure the model is of them, and what it found in them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.classes import ClassTable
from frugalseg.report.page import Figure, Page, per_cent
from frugalseg.report.pictures import Pixels, fit_plane_within, fit_within, overlay
from frugalseg.report.plots import SERIES, Plot, Theme
from frugalseg.support.text import printable
from frugalseg.synthetic.record import SetRecord, flat
from frugalseg.synthetic.shard_reader import ShardFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EACH = 15
"""Images of each kind that the page shows."""
PAIRS = 3
"""Images a row, each with its labels beside it."""
LONGEST = 256
BINS = 40

WHAT = (
    "An image's uncertainty is the mean over its 10 % most uncertain pixels, in nats. The most uncertain images are "
    "those that distill drops."
)


def gallery_page(found: ShardFolder, record: SetRecord) -> Page:
    """The least certain, middle and most certain images with their labels; uncertainties; how often each class occurs.

    Args:
        found: the samples.
        record: what they were made with.
    """
    settings = flat(record.settings)
    kind = "generated images" if settings.get("kind") == "generated" else "photographs"
    lead = f"{len(found)} {kind}, labeled by a model with {len(found.classes)} classes."
    page = Page("Synthetic set", lead=lead)
    tiles = {kind: f"{len(found)}", "median uncertainty, nats": f"{np.median(found.uncertainties):.3f}"}
    if record.count > len(found):
        tiles["left out: unreadable"] = f"{record.count - len(found)}"
    page.tiles(tiles)
    page.heading("Images").text(WHAT).legend(found.classes)
    for name, places in choice(found.uncertainties).items():
        page.heading(name, level=3)
        page.figures(("image", "labels") * PAIRS, rows(found, places), width=140)
    page.heading("Uncertainty").plot(histogram(found.uncertainties))
    classes(page, found.classes, found.pixels)
    page.heading("Settings").table(("", "value"), facts(settings))
    return page


def choice(uncertainties: NDArray[np.float32]) -> dict[str, NDArray[np.int64]]:
    """Places of the images to show, most certain first in each kind; no image twice."""
    order = np.argsort(uncertainties, kind="stable")
    if len(order) <= 3 * EACH:
        return {"From certain to uncertain": order}
    middle = (len(order) - EACH) // 2
    return {
        "Most certain": order[:EACH],
        "In the middle": order[middle : middle + EACH],
        "Least certain": order[-EACH:],
    }


def rows(found: ShardFolder, places: NDArray[np.int64]) -> list[Figure]:
    """Pictures of some samples, a few side by side."""
    lines = []
    for start in range(0, len(places), PAIRS):
        pictures: list[Pixels | None] = []
        captions: list[str] = []
        for place in places[start : start + PAIRS]:
            pictures += pair(found, int(place))
            captions += [printable(found.sources[place] or found.name(place)), f"{found.uncertainties[place]:.3f} nats"]
        empty = 2 * PAIRS - len(pictures)
        lines.append(Figure([*pictures, *[None] * empty], [*captions, *[""] * empty]))
    return lines


def pair(found: ShardFolder, place: int) -> list[Pixels]:
    """An image and the same with its labels over it, small."""
    image = fit_within(found.image(place), LONGEST)
    mask = fit_plane_within(found.target(place), LONGEST)
    return [image, overlay(image, mask, found.classes)]


def histogram(uncertainties: NDArray[np.float32]) -> Plot:
    """How many images have which uncertainty, with the share that distill drops by default."""
    limit = float(np.quantile(uncertainties, 0.9))
    bins = min(BINS, 5 + int(len(uncertainties) ** 0.5))

    def paint(axes: "Axes", theme: Theme) -> None:
        from matplotlib.ticker import MaxNLocator

        axes.hist(uncertainties, bins=bins, color=SERIES[0])
        axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.axvline(limit, color=SERIES[1], linewidth=1.6)
        axes.text(limit, 1.0, " a tenth is beyond", color=SERIES[1], fontsize=8.5, transform=axes.get_xaxis_transform())
        axes.grid(axis="y", color=theme.grid, linewidth=0.8)
        axes.set_xlabel("uncertainty of an image, nats")
        axes.set_ylabel("images")

    words = f"Uncertainties of {len(uncertainties)} images, median {np.median(uncertainties):.3f} nats"
    return Plot((7.2, 2.8), paint, f"{words}; a tenth is beyond {limit:.3f}")


def classes(page: Page, table: ClassTable, pixels: NDArray[np.int64]) -> None:
    """A table: each class's share of all pixels, and in how many images it occurs."""
    shares = pixels.sum(0) / max(1, pixels.sum())
    occurs = (pixels > 0).mean(0)
    lines = [
        (name, per_cent(share), per_cent(images))
        for name, share, images in zip(table.names, shares, occurs, strict=True)
    ]
    page.heading("Classes").table(("class", "of all pixels, %", "occurs in images, %"), lines, swatches=table)


def facts(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The settings in words."""
    return [
        (key.replace("_", " "), "x".join(map(str, v)) if isinstance(v, list) else str(v)) for key, v in settings.items()
    ]
