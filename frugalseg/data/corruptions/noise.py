"""Noise of sensors and of transmission."""

import numpy as np

from frugalseg.data.corruptions.arrays import Values

GAUSSIAN = (0.08, 0.12, 0.18, 0.26, 0.38)
"""Standard deviations."""
SHOT = (60, 25, 12, 5, 3)
"""Photons that a white value is counted with."""
IMPULSE = (0.03, 0.06, 0.09, 0.17, 0.27)
"""Shares of the values that become black or white."""
SPECKLE = (0.15, 0.2, 0.35, 0.45, 0.6)
"""Standard deviations for a white value."""


def gaussian_noise(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """The same noise on all values: low light."""
    return image + normal(image.shape, generator) * np.float32(GAUSSIAN[severity - 1])


def shot_noise(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """Poisson noise: light comes in photons."""
    photons = SHOT[severity - 1]
    return generator.poisson(image.astype(np.float64) * photons).astype(np.float32) / photons


def impulse_noise(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """Salt and pepper: wrong bits."""
    hit = generator.random(image.shape, dtype=np.float32) < IMPULSE[severity - 1]
    salt = generator.random(image.shape, dtype=np.float32) < 0.5
    return np.where(hit, salt, image).astype(np.float32)


def speckle_noise(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """Noise in proportion to the value."""
    return image + image * normal(image.shape, generator) * np.float32(SPECKLE[severity - 1])


def normal(shape: tuple[int, ...], generator: np.random.Generator) -> Values:
    """Standard normal values."""
    return generator.standard_normal(shape, dtype=np.float32)
