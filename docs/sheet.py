"""Rows of pictures on one sheet, for the scripts beside this file."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GAP = 4


def sheet(rows: Sequence[Sequence[NDArray[np.uint8]]], size: tuple[int, int]) -> Image.Image:
    """Pictures (h, w, 3) in rows, each enlarged to `size` = (width, height) with its pixels visible."""
    width, height = size[0] + GAP, size[1] + GAP
    found = Image.new("RGB", (max(map(len, rows)) * width - GAP, len(rows) * height - GAP), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            found.paste(Image.fromarray(picture).resize(size, Image.Resampling.NEAREST), (x * width, y * height))
    return found
