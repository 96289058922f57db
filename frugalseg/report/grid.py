"""Grids of images as PNG files."""

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from frugalseg.support.files import atomic_path


def save_grid(images: Tensor, path: Path, smallest: int = 96) -> None:
    """Write images side by side, each pixel repeated where they are tiny.

    Args:
        images: (R, C, 3, H, W) float in [0, 1], R rows of C images.
        path: of the PNG file; its folder is created.
        smallest: the shorter side of an image is drawn with at least about this many pixels.
    """
    rows, columns, _, height, width = images.shape
    border = 1
    canvas = np.full((rows * (height + border) + border, columns * (width + border) + border, 3), 255, np.uint8)
    pixels = (images.clamp(0, 1) * 255).round().byte().permute(0, 1, 3, 4, 2).cpu().numpy()
    for row in range(rows):
        for column in range(columns):
            y, x = row * (height + border) + border, column * (width + border) + border
            canvas[y : y + height, x : x + width] = pixels[row, column]
    picture = Image.fromarray(canvas)
    scale = max(1, round(smallest / min(height, width)))
    with atomic_path(path) as temporary:
        picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST).save(temporary)
