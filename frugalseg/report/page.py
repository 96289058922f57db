"""An HTML page in one file: pictures inside it, nothing fetched, no script, light or dark as the reader's system is."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frugalseg.data.classes import ClassTable
from frugalseg.report.pictures import Pixels, fit_within, heat_colors
from frugalseg.report.plots import DARK, LIGHT, Plot
from frugalseg.support.files import atomic_path

LONGEST_SIDE = 640
"""Pictures are made smaller to this, so that a page of photographs stays a few megabytes."""

DOCUMENT = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<main>
<header><h1>$title</h1>$lead</header>
$body
<footer>$footer</footer>
</main>
</body>
</html>
""")

PLOT = Template("""<div class="card plot"><picture>
<source media="(prefers-color-scheme: dark)" srcset="$dark">
<img src="$light" width="$width" alt="$alt">
</picture></div>""")

TILE = Template('<div class="tile"><b>$value</b><span>$label</span></div>')
ENTRY = Template('<li><i class="swatch" style="background:rgb($red,$green,$blue)"></i>$name</li>')
DETAILS = Template("<details><summary>$summary</summary>\n$body\n</details>")


@dataclass(frozen=True)
class Cell:
    """A table cell that stands out.

    Attributes:
        text: what it says.
        best: shown bold in the accent colour.
    """

    text: str
    best: bool = False


@dataclass(frozen=True)
class Figure:
    """One row of pictures.

    Attributes:
        pictures: one (H, W, 3) uint8 array a column; None leaves the place empty.
        captions: one a picture, or none at all.
    """

    pictures: Sequence[Pixels | None]
    captions: Sequence[str] = ()


@dataclass
class Page:
    """Collects blocks from top to bottom. Every text is escaped; every method returns the page, so that calls chain.

    Attributes:
        title: the heading and the name of the browser's tab.
        lead: one or two sentences below the heading.
        footer: the last line.
    """

    title: str
    lead: str = ""
    footer: str = "Made by frugalseg. This page is a single file and works without a network."
    blocks: list[str] = field(default_factory=list, repr=False)

    def heading(self, text: str, level: int = 2) -> Self:
        """A heading of level 2 or 3."""
        return self._add(f"<h{level}>{escape(text)}</h{level}>")

    def text(self, *paragraphs: str) -> Self:
        """Plain paragraphs."""
        return self._add("\n".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs))

    def code(self, text: str) -> Self:
        """Text as it stands, such as a command or a file."""
        return self._add(f'<div class="card"><pre>{escape(text)}</pre></div>')

    def tiles(self, facts: Mapping[str, str]) -> Self:
        """Large figures with what they are below: {label: value}."""
        tiles = (TILE.substitute(label=escape(label), value=escape(value)) for label, value in facts.items())
        return self._add(f'<div class="tiles">{"".join(tiles)}</div>')

    def table(
        self,
        header: Sequence[str],
        rows: Iterable[Sequence[str | Cell]],
        caption: str = "",
        lead_row: int | None = None,
        swatches: ClassTable | None = None,
        summary: str = "",
    ) -> Self:
        """A table whose first column names the rows.

        Args:
            header: one a column.
            rows: as many cells a row as `header` has.
            caption: shown below.
            lead_row: the row to shade, from 0.
            swatches: the classes, if the rows are classes: each name gets its colour.
            summary: if given, the table is folded away under these words.
        """
        lines = []
        for number, row in enumerate(rows):
            mark = ' class="lead-row"' if number == lead_row else ""
            swatch = "" if swatches is None or number >= len(swatches) else swatch_html(swatches.colors[number])
            lines.append(f"<tr{mark}>{row_html(row, swatch)}</tr>")
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
        foot = f"<caption>{escape(caption)}</caption>" if caption else ""
        body = "\n".join(lines)
        table = (
            f'<div class="card"><table>{foot}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
        )
        return self._add(DETAILS.substitute(summary=escape(summary), body=table) if summary else table)

    def plot(self, plot: Plot, light: bytes | None = None) -> Self:
        """A plot, in the version that fits the reader's light or dark setting.

        Args:
            plot: the plot.
            light: its light version as a PNG file, if it has been drawn already.
        """
        drawn = [data_uri(png, "png") for png in (light or plot.png(LIGHT), plot.png(DARK))]
        width = round(plot.size[0] * 100)
        return self._add(PLOT.substitute(light=drawn[0], dark=drawn[1], width=width, alt=escape(plot.alt)))

    def legend(self, table: ClassTable) -> Self:
        """The class colours with their names."""
        entries = (
            ENTRY.substitute(red=red, green=green, blue=blue, name=escape(name))
            for name, (red, green, blue) in zip(table.names, table.colors, strict=True)
        )
        return self._add(f'<ul class="legend">{"".join(entries)}</ul>')

    def heat_legend(self, text: str) -> Self:
        """The colours of `uncertainty_map` from certain to uncertain, with an explanation."""
        bar = picture_uri(np.repeat(heat_colors()[None], 10, axis=0))
        return self._add(
            f'<p class="legend"><img class="heat" src="{bar}" alt="heat scale"><span>{escape(text)}</span></p>'
        )

    def figures(self, columns: Sequence[str], rows: Iterable[Figure], width: int = 150) -> Self:
        """Pictures in a grid with named columns.

        Args:
            columns: one a picture of each row.
            rows: the pictures.
            width: the least width of a column; a grid that does not fit can be scrolled sideways.
        """
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
        body = "\n".join(f"<tr>{figure_html(row, columns)}</tr>" for row in rows)
        style = f"--least:{width * len(columns)}px"
        return self._add(
            f'<div class="card"><table class="grid" style="{style}"><thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}\n</tbody></table></div>"
        )

    def strip(self, pictures: Mapping[str, Pixels]) -> Self:
        """Many small pictures side by side: {what it shows: picture}."""
        images = (f'<img src="{picture_uri(p)}" alt="{escape(alt)}">' for alt, p in pictures.items())
        return self._add(f'<div class="card"><div class="strip">{"".join(images)}</div></div>')

    def html(self) -> str:
        """The whole page."""
        style = files("frugalseg.report").joinpath("style.css").read_text(encoding="utf-8")
        lead = f'<p class="lead">{escape(self.lead)}</p>' if self.lead else ""
        body = "\n".join(self.blocks)
        return DOCUMENT.substitute(
            title=escape(self.title), style=style, lead=lead, body=body, footer=escape(self.footer)
        )

    def save(self, path: str | Path) -> Path:
        """Write the page to `path`, whole or not at all, and return the path."""
        path = Path(path)
        with atomic_path(path) as temporary:
            temporary.write_text(self.html(), encoding="utf-8", errors="replace")  # names of files may be no UTF-8
        return path

    def _add(self, block: str) -> Self:
        self.blocks.append(block)
        return self


def row_html(row: Sequence[str | Cell], swatch: str) -> str:
    """The cells of a table row; the first is its heading."""
    cells = [cell if isinstance(cell, Cell) else Cell(cell) for cell in row]
    first = f'<th scope="row">{swatch}{escape(cells[0].text)}</th>'
    marks = [' class="best"' if cell.best else "" for cell in cells]
    return first + "".join(
        f"<td{mark}>{escape(cell.text)}</td>" for mark, cell in list(zip(marks, cells, strict=True))[1:]
    )


def swatch_html(color: tuple[int, int, int]) -> str:
    """A small square of a class's colour."""
    style = "display:inline-block;margin-right:8px;vertical-align:-2px"
    return f'<i class="swatch" style="background:rgb{color};{style}"></i>'.replace(", ", ",")


def figure_html(row: Figure, columns: Sequence[str]) -> str:
    """The cells of a row of pictures."""
    cells = []
    captions = list(row.captions) + [""] * (len(row.pictures) - len(row.captions))
    for column, picture, caption in zip(columns, row.pictures, captions, strict=True):
        if picture is None:
            cells.append("<td></td>")
            continue
        kind = "small" if max(picture.shape[:2]) < LONGEST_SIDE / 2 else "large"
        alt = f"{column}: {caption}" if caption else column
        note = f"<span>{escape(caption)}</span>" if caption else ""
        cells.append(f'<td class="{kind}"><img src="{picture_uri(picture)}" alt="{escape(alt)}">{note}</td>')
    return "".join(cells)


def picture_uri(picture: Pixels) -> str:
    """A picture as a data URI: PNG while small or of few colours, JPEG for photographs."""
    image = Image.fromarray(fit_within(picture, LONGEST_SIDE))
    buffer = io.BytesIO()
    # 256 colours or fewer are a mask or a heat map, whose exact colours matter.
    if image.width * image.height <= 96 * 96 or image.getcolors(256) is not None:
        image.save(buffer, "PNG", optimize=True)
        return data_uri(buffer.getvalue(), "png")
    image.save(buffer, "JPEG", quality=90, subsampling=0)
    return data_uri(buffer.getvalue(), "jpeg")


def data_uri(content: bytes, kind: str) -> str:
    """`content` as ``data:image/<kind>;base64,...``."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def per_cent(value: float | None, digits: int = 1) -> str:
    """0.4321 as ``43.2``; a dash for None and NaN."""
    return "–" if value is None or np.isnan(value) else f"{100 * value:.{digits}f}"


def mean_std(values: Sequence[float] | NDArray[np.float64], digits: int = 1) -> str:
    """[0, 1] values as ``43.2 ± 0.8``: mean and sample standard deviation in per cent; for one run the value alone.

    Runs in which the value is undefined (NaN), such as the IoU of a class that occurs nowhere, are left out.
    """
    numbers = np.asarray(values, dtype=np.float64) * 100
    numbers = numbers[~np.isnan(numbers)]
    if numbers.size == 0:
        return "–"
    middle = f"{numbers.mean():.{digits}f}"
    return middle if numbers.size == 1 else f"{middle} ± {numbers.std(ddof=1):.{digits}f}"
