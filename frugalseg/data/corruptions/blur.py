"""Blur: out of focus, behind glass, and in motion."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from frugalseg.data.corruptions.arrays import Values, gaussian, streaked, zoomed

DEFOCUS = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
"""Radius of the disk, and by how much its edge is smoothed."""
GLASS = ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2))
"""Blur, the distance up to which colors are taken, and how often."""
MOTION = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
"""Radius and sigma."""
STEEPEST = 45
"""Degrees of a motion from the horizontal."""
ZOOM = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))
"""The end of the enlargements, which begin at 1, and their distance."""
GAUSSIAN = (1, 2, 3, 4, 6)
"""Standard deviations in pixels."""
WIDE = 8
"""Pixels of radius up to which a disk has a margin, and the narrower smoothing."""


def defocus_blur(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """Out of focus: each point becomes a disk."""
    kernel = disk(*DEFOCUS[severity - 1])
    margin = kernel.shape[0] // 2
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    size = padded.shape[:2]
    spectrum = np.fft.rfft2(padded, axes=(0, 1)) * np.fft.rfft2(kernel, size)[..., None]
    # The first rows and columns have come around from the other side.
    blurred: Values = np.fft.irfft2(spectrum, size, axes=(0, 1))[2 * margin :, 2 * margin :]
    return blurred


def disk(radius: int, sigma: float) -> NDArray[np.float64]:
    """A disk with a smooth edge, of the sum 1; a little more at the radius 8 and above, as in the published code."""
    reach = max(radius, WIDE)
    places = np.arange(-reach, reach + 1)
    hard = (places[:, None] ** 2 + places**2 <= radius**2).astype(np.float64)
    hard /= hard.sum()
    taps = np.arange(-1, 2) if radius <= WIDE else np.arange(-2, 3)
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    for axis in (0, 1):
        hard = correlate1d(hard, weights / weights.sum(), axis, mode="mirror")
    return hard


def glass_blur(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """Frosted glass: pixels take the colors of those near them."""
    sigma, reach, times = GLASS[severity - 1]
    blurred = gaussian(image, sigma)
    height, width = image.shape[:2]
    order = np.arange(height * width).tolist()
    for _ in range(times):
        scatter(order, (height, width), reach, generator)
    return gaussian(blurred.reshape(height * width, -1)[order].reshape(image.shape), sigma)


def scatter(order: list[int], size: tuple[int, int], reach: int, generator: np.random.Generator) -> None:
    """Let each pixel, from the last to the first, take what stands at one up to `reach` up, down, left or right.

    The published code means to exchange the two, but copies; it also leaves the farthest down and right out. Those at
    the border keep what they have.
    """
    width = size[1]
    rows, columns = (np.arange(side - reach, reach, -1) for side in size)
    here = (rows[:, None] * width + columns).ravel()
    down, right = generator.integers(-reach, reach, (2, len(here)))
    for one, other in zip(here.tolist(), (here + down * width + right).tolist(), strict=True):
        order[one] = order[other]


def motion_blur(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """A camera that moves."""
    radius, sigma = MOTION[severity - 1]
    return streaked(image, radius, sigma, generator.uniform(-STEEPEST, STEEPEST))


def zoom_blur(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """A camera that comes nearer: the mean of more and more enlarged images."""
    end, step = ZOOM[severity - 1]
    factors = np.arange(1, end, step)
    total = image.copy()
    for factor in factors:
        total += zoomed(image, float(factor))
    return total / np.float32(len(factors) + 1)


def gaussian_blur(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """A Gaussian blur."""
    return gaussian(image, GAUSSIAN[severity - 1])
