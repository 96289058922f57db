"""What is lost when images are scaled, stored, stretched and developed."""

import io
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from frugalseg.data.corruptions.arrays import Values
from frugalseg.data.corruptions.tones import saturated

CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)
"""What is left of the differences from the mean."""
ELASTIC = (12.5, 16.25, 21.25, 25.0, 30.0)
"""How many times the smoothed displacements are taken."""
SMOOTH, FARTHEST = 0.01, 0.005
"""Shares of the sides: sigma of the displacements, and their largest before they are smoothed."""
PIXELATE = (0.6, 0.5, 0.4, 0.3, 0.25)
"""Of the sides."""
JPEG = (25, 18, 15, 10, 7)
"""Qualities."""
JPEG_SIDE = 8192
"""Pixels of a side that are stored at once: a JPEG file has at most 65 500. A multiple of its blocks."""
SATURATE = ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2))
"""What saturation is multiplied by, and raised by."""


def contrast(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """Every channel nearer to its mean."""
    mean = image.mean((0, 1), keepdims=True)
    found: Values = mean + (image - mean) * np.float32(CONTRAST[severity - 1])
    return found


def elastic_transform(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """Pixels displaced by one to three, neighbours alike: so little that annotations stay where they are."""
    height, width = image.shape[:2]
    sigma, most, times = (SMOOTH * height, SMOOTH * width), FARTHEST * height, ELASTIC[severity - 1]

    def displacement() -> NDArray[np.float64]:
        drawn = generator.uniform(-most, most, (height, width))
        smooth: NDArray[np.float64] = times * gaussian_filter(drawn, sigma, mode="reflect", truncate=3)
        return smooth

    right, down = displacement(), displacement()
    places = np.arange(height)[:, None] + down, np.arange(width) + right
    planes = [map_coordinates(image[..., c], places, order=1, mode="reflect") for c in range(image.shape[2])]
    return np.stack(planes, 2)


def pixelate(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """Few large pixels."""
    height, width = image.shape[:2]
    share = PIXELATE[severity - 1]
    small = (max(1, int(width * share)), max(1, int(height * share)))

    def fewer(picture: Image.Image) -> Image.Image:
        return picture.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.NEAREST)

    return as_values([fewer(picture) for picture in pictures(image)])


def jpeg_compression(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """Stored as JPEG of low quality; channels that are not three, each alone."""

    def stored(picture: Image.Image) -> Image.Image:
        found = Image.new(picture.mode, picture.size)
        for left, top in product(range(0, picture.width, JPEG_SIDE), range(0, picture.height, JPEG_SIDE)):
            file = io.BytesIO()
            area = (left, top, min(left + JPEG_SIDE, picture.width), min(top + JPEG_SIDE, picture.height))
            picture.crop(area).save(file, "JPEG", quality=JPEG[severity - 1])
            found.paste(Image.open(file), area)
        return found

    return as_values([stored(picture) for picture in pictures(image)])


def saturate(image: Values, severity: int, generator: np.random.Generator) -> Values:
    """Paler at the severities 1 and 2, more colorful from 3 on."""
    return saturated(image, *SATURATE[severity - 1])


def pictures(image: Values) -> list[Image.Image]:
    """The image as an RGB picture, or as a gray one for each channel where they are not three."""
    pixels = np.rint(image * 255).astype(np.uint8)
    parts = [pixels] if pixels.shape[2] == 3 else [pixels[..., channel] for channel in range(pixels.shape[2])]
    return [Image.fromarray(np.ascontiguousarray(part)) for part in parts]


def as_values(parts: list[Image.Image]) -> Values:
    """The reverse of `pictures`."""
    planes = [np.asarray(part, np.float32) / 255 for part in parts]
    found: Values = planes[0] if planes[0].ndim == 3 else np.stack(planes, 2)
    return found
