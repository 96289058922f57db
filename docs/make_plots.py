"""One picture of some plots of `frugalseg explore`, side by side.

python docs/make_plots.py docs/images/explore_toy_plots.png EXPLORED/plots/images.png EXPLORED/plots/members.png
"""

import argparse
from pathlib import Path

from PIL import Image

GAP = 24


def main() -> None:
    """The plots on white in rows, each row as high as its highest plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("plots", type=Path, nargs="+")
    parser.add_argument("--columns", type=int, default=2)
    parser.add_argument("--width", type=int, default=620, help="Of a plot, in pixels.")
    given = parser.parse_args()
    plots = [on_white(Image.open(path), given.width) for path in given.plots]
    rows = [plots[start : start + given.columns] for start in range(0, len(plots), given.columns)]
    heights = [max(plot.height for plot in row) for row in rows]
    found = Image.new("RGB", (given.columns * (given.width + GAP) - GAP, sum(heights) + GAP * (len(rows) - 1)), "white")
    y = 0
    for row, height in zip(rows, heights, strict=True):
        for x, plot in enumerate(row):
            found.paste(plot, (x * (given.width + GAP), y))
        y += height + GAP
    found.quantize(255).save(given.out, optimize=True)


def on_white(plot: Image.Image, width: int) -> Image.Image:
    """A plot of the given width without its transparency."""
    plot = plot.convert("RGBA").resize((width, round(plot.height * width / plot.width)), Image.Resampling.LANCZOS)
    found = Image.new("RGBA", plot.size, "white")
    found.alpha_composite(plot)
    return found.convert("RGB")


if __name__ == "__main__":
    main()
