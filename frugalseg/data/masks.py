"""Masks: class ids of an image's pixels, read from what people have, written as indexed PNG."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from frugalseg.data.classes import ClassTable
from frugalseg.data.files import atomic_path


def write_mask(path: str | Path, ids: ArrayLike, table: ClassTable) -> None:
    """Write (H, W) ids."""
    with atomic_path(path) as temporary:
        Image.fromarray(np.asarray(ids).astype(np.uint8)).save(temporary)
