"""Weather, and what it leaves on the lens."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, correlate, distance_transform_edt, uniform_filter

from frugalseg.data.corruptions.arrays import Values, clouds, gaussian, streaked, zoomed
from frugalseg.data.corruptions.noise import normal
from frugalseg.data.corruptions.tones import brighter, grey

SNOW = (
    (0.1, 0.3, 3.0, 0.5, 10, 4, 0.8),
    (0.2, 0.3, 2.0, 0.5, 12, 4, 0.7),
    (0.55, 0.3, 4.0, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)
"""Mean and deviation of the flakes, their size, from where on they are seen, radius and sigma of their fall, and how
much is left of the image's own tones."""
STEEP = (-135, -45)
"""Degrees between which snow falls."""
FOG = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))
"""How thick it is, and how coarse."""
BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""What is added to the value."""
WATER = ((0.65, 0.3, 4, 0.69, 0.6), (0.65, 0.3, 3, 0.68, 0.6), (0.65, 0.3, 2, 0.68, 0.5))
MUD = ((0.65, 0.3, 1, 0.65, 1.5), (0.67, 0.4, 1, 0.65, 1.5))
"""Of a splash: mean, deviation and blur of the liquid, from where on it is seen, and strength (water) or blur (mud)."""
TURQUOISE, BROWN = (175, 238, 238), (63, 42, 20)
RIM = 20
"""Pixels from the rim of a drop over which its brightness changes."""
RELIEF = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))
"""Light from above and from the left."""
OPAQUE = 0.8
"""How much mud hides the image."""


def snow(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """Flakes that fall, in paler tones."""
    mean, deviation, size, least, radius, sigma, own = SNOW[severity - 1]
    flakes = zoomed(mean + deviation * normal(image.shape[:2], generator), size)
    flakes = np.where(flakes < least, 0, flakes).clip(0, 1).astype(np.float32)
    flakes = streaked(flakes, int(radius), sigma, generator.uniform(*STEEP))[..., None]
    paler = np.maximum(image, 1.5 * grey(image) + 0.5)
    found: Values = own * image + (1 - own) * paler + flakes + flakes[::-1, ::-1]
    return found


def fog(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """Clouds before everything."""
    thick, decay = FOG[severity - 1]
    brightest = float(image.max())
    drawn = clouds((image.shape[0], image.shape[1]), decay, generator)[..., None]
    return (image + thick * drawn) * np.float32(brightest / (brightest + thick))


def brightness(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """Glaring light."""
    return brighter(image, BRIGHTNESS[severity - 1])


def spatter(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """Drops of water on the lens, and splashes of mud at the severities 4 and 5."""
    wet = severity <= len(WATER)
    mean, deviation, blur, least, last = WATER[severity - 1] if wet else MUD[severity - 1 - len(WATER)]
    liquid = gaussian(mean + deviation * normal(image.shape[:2], generator), blur)
    if wet:
        return image + last * drops(np.where(liquid < least, 0, liquid))[..., None] * tone(TURQUOISE, image)
    covered = gaussian((liquid > least).astype(np.float32), last)
    covered = np.where(covered < OPAQUE, 0, covered)[..., None]
    return image * (1 - covered) + covered * tone(BROWN, image)


def drops(liquid: Values) -> Values:
    """(H, W) from 0 to 1: how bright drops shine, which are where `liquid` is not 0.

    The published code finds their rims by the edges of Canny; here they are the outermost pixels.
    """
    there = liquid > 0
    if not there.any():
        return np.zeros_like(liquid)
    rims = there & ~binary_erosion(there)
    depth = np.minimum(distance_transform_edt(~rims), RIM)
    relief = correlate(equalised(uniform_filter(depth, 3, mode="mirror")), np.array(RELIEF), mode="mirror")
    shine = liquid * uniform_filter(relief.clip(0, 255), 3, mode="mirror")
    found: Values = shine / max(float(shine.max()), 1e-6)
    return found


def equalised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values whose whole parts are spread evenly from 0 to 255, by the histogram."""
    whole = values.astype(np.int64)
    up_to = np.bincount(whole.ravel()).cumsum()
    first = up_to[up_to > 0][0]
    spread: NDArray[np.float64] = np.rint(255 * (up_to[whole] - first) / max(1, whole.size - first))
    return spread


def tone(color: tuple[int, int, int], image: Values) -> Values:
    """(C,): a color in [0, 1]; its mean for images that are not RGB."""
    values = np.array(color, np.float32) / 255
    found: Values = values if image.shape[2] == 3 else np.full(image.shape[2], values.mean(), np.float32)
    return found
