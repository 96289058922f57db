"""Training sizes of networks that double their images step by step: squares whose sides are a power of two."""

import math
from pathlib import Path

from frugalseg.support.errors import InputError

SIDES = (8, 1024)
"""The smallest and the largest images that such networks are trained on, in pixels along a side."""


def nearest_side(side: float) -> int:
    """The power of two among `SIDES` that is nearest to a number of pixels, by its logarithm."""
    return min(max(1 << round(math.log2(side)), SIDES[0]), SIDES[1])


def require_square(size: tuple[int, int], network: str) -> None:
    """Raise `InputError`, with the nearest possible size, unless (height, width) is that of such a square.

    Args:
        size: of the training images.
        network: what takes such images alone, in words.
    """
    near = nearest_side(math.sqrt(size[0] * size[1]))
    if size != (near, near):
        raise InputError(
            f"image_size {size[0]}x{size[1]}: {network} doubles its images step by step and takes square ones whose "
            f"sides are a power of two; give {near}x{near}"
        )


def largest_square(paths: list[Path], longest: int) -> tuple[int, int]:
    """The largest such size, up to `longest` pixels along a side, that most images at `paths` fill."""
    from frugalseg.pretraining.images import median_size

    side = min(*median_size(paths, 10**9), longest)
    side = max(SIDES[0], 1 << (side.bit_length() - 1))
    return side, side
