"""What corruptions do with arrays: blur, shift and enlarge them, and draw clouds."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Values = NDArray[np.floating[Any]]
"""(H, W, C), an image in [0, 1]; results may lie outside, and are cut off in the end. Also (H, W): a single plane."""
WIDEST = 8192
"""Pixels of a side of the clouds, a power of 2; their heights take half a gigabyte."""


def gaussian(values: Values, sigma: float) -> Values:
    """Values blurred along both sides; the border is repeated beyond it."""
    sigmas = (sigma, sigma, *(0.0,) * (values.ndim - 2))
    blurred: Values = gaussian_filter(values, sigmas, mode="nearest", truncate=4.0)
    return blurred


def streaked(values: Values, radius: int, sigma: float, degrees: float) -> Values:
    """The blur of a motion: copies that lie in its direction, the farther the weaker.

    Args:
        values: to be blurred.
        radius: twice this many copies.
        sigma: of the Gaussian by which they get weaker, in pixels.
        degrees: of the direction; 0 lies along the rows, and 90 is up.
    """
    length = 2 * radius + 1
    weights = np.exp(-(np.arange(length) ** 2) / (2 * sigma**2))
    angle, total = math.radians(degrees), np.zeros_like(values)
    for step, weight in enumerate(weights / weights.sum()):
        down, right = (-math.ceil(step * part - 0.5) for part in (math.sin(angle), math.cos(angle)))
        total += np.float32(weight) * shifted(values, down, right)
    return total


def shifted(values: Values, down: int, right: int) -> Values:
    """Values moved by whole pixels; the border is repeated."""
    rows, columns = (
        np.clip(np.arange(side) - by, 0, side - 1) for side, by in zip(values.shape, (down, right), strict=False)
    )
    moved: Values = values[rows[:, None], columns]
    return moved


def zoomed(values: Values, factor: float) -> Values:
    """The middle of an image, enlarged to its size: linear between the pixels, the corners on the corners."""
    return _enlarged(_enlarged(values, factor, 0), factor, 1)


def _enlarged(values: Values, factor: float, axis: int) -> Values:
    """`zoomed` along one axis."""
    side = values.shape[axis]
    part = math.ceil(side / factor)
    places = np.arange(side) * ((part - 1) / max(1, round(part * factor) - 1))
    lower = np.minimum(places.astype(np.int64), part - 1)
    upper = np.minimum(lower + 1, part - 1)
    share = np.expand_dims((places - lower).astype(np.float32), tuple(range(1, values.ndim - axis)))
    first = (side - part) // 2
    low, high = values.take(first + lower, axis), values.take(first + upper, axis)
    found: Values = low + (high - low) * share
    return found


def clouds(size: tuple[int, int], decay: float, generator: np.random.Generator) -> Values:
    """(H, W) from 0 to 1: a plasma fractal, by the diamond-square algorithm on a torus.

    Longer sides than `WIDEST` go around the torus: its area is the square of the longer side, however short the other.

    Args:
        size: (H, W).
        decay: by how much smaller details are weaker.
        generator: draws it.
    """
    side = min(WIDEST, max(2, 2 ** math.ceil(math.log2(max(size)))))
    heights, step, swing = np.zeros((side, side)), side, 100.0
    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        squares = corners + np.roll(corners, -1, 0)
        squares += np.roll(squares, -1, 1)
        middles = _displaced(squares, swing, generator)
        heights[half::step, half::step] = middles
        beside = middles + np.roll(middles, 1, 0) + corners + np.roll(corners, -1, 1)
        above = middles + np.roll(middles, 1, 1) + corners + np.roll(corners, -1, 0)
        heights[::step, half::step] = _displaced(beside, swing, generator)
        heights[half::step, ::step] = _displaced(above, swing, generator)
        step, swing = half, swing / decay
    heights -= heights.min()
    rows, columns = (np.arange(wanted) % side for wanted in size)
    found: Values = (heights[rows[:, None], columns] / heights.max()).astype(np.float32)
    return found


def _displaced(sums: NDArray[np.float64], swing: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """The means of four neighbours, displaced at random."""
    return sums / 4 + swing * generator.uniform(-swing, swing, sums.shape)
