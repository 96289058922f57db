"""Images that look like micrographs and that no network knows: cells which only their texture tells apart."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from frugalseg.data.classes import ClassTable, distinct_colors
from frugalseg.data.example import Example

NAMES = ("smooth", "grainy", "striped", "membrane")
TEXTURE_CLASSES = ClassTable(tuple(range(len(NAMES))), NAMES, distinct_colors(len(NAMES)))

Grey = NDArray[np.float64]
Spectrum = Callable[[Grey, Grey], Grey]
"""Amplitude by the frequency down and across, in periods a pixel."""


def texture_examples(count: int, seed: int, side: int = 192) -> list[Example]:
    """The first images of the endless set `seed`, in grey; the same for the same arguments.

    All cells have the same mean and the same variance. Light, contrast, blur and noise vary from image to image.
    """
    return [texture_example(np.random.default_rng([seed, index]), f"{index:03d}", side) for index in range(count)]


def texture_example(rng: Generator, name: str, side: int) -> Example:
    """One image of `side` x `side` pixels."""
    cell, distance = voronoi(rng, side, count=side // 8)
    textures = [noise(rng, side, band) for band in (soft(4), soft(1), stripes(rng.uniform(0, np.pi), 6))]
    other_way = noise(rng, side, stripes(rng.uniform(0, np.pi), 6))
    kinds = rng.integers(0, 3, cell.max() + 1)[cell]
    values = np.choose(kinds, textures)
    values = np.where((kinds == 2) & (cell % 2 == 1), other_way, values)
    membrane = distance < 3
    values = np.where(membrane, -1.5 + 0.5 * values, values)
    light = rng.uniform(0.35, 0.65) + 0.1 * noise(rng, side, soft(side / 4))
    seen = light + rng.uniform(0.06, 0.12) * values + rng.normal(0, 0.03, (side, side))
    grey = (255 * seen.clip(0, 1)).round().astype(np.uint8)
    target = np.where(membrane, 3, kinds).astype(np.uint8)
    return Example(name, np.repeat(grey[..., None], 3, axis=2), target)


def voronoi(rng: Generator, side: int, count: int) -> tuple[NDArray[np.int64], Grey]:
    """The nearest of `count` random points to each pixel, and how much farther the next one is."""
    points = rng.uniform(0, side, (count, 2))
    pixels = np.indices((side, side)).transpose(1, 2, 0)
    distances = np.linalg.norm(pixels[:, :, None] - points, axis=-1)
    nearest = np.partition(distances, 1, axis=-1)
    return distances.argmin(-1), nearest[..., 1] - nearest[..., 0]


def noise(rng: Generator, side: int, spectrum: Spectrum) -> Grey:
    """White noise with the frequencies of a spectrum, of mean 0 and standard deviation 1."""
    frequencies = np.fft.fftfreq(side).astype(np.float64)
    y, x = frequencies[:, None], frequencies[None]
    values = np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) * spectrum(y, x)).real
    standard: Grey = (values - values.mean()) / values.std()
    return standard


def soft(sigma: float) -> Spectrum:
    """Of a Gaussian blur with a standard deviation in pixels."""

    def spectrum(y: Grey, x: Grey) -> Grey:
        blurred: Grey = np.exp(-2 * (np.pi * sigma) ** 2 * (y**2 + x**2))
        return blurred

    return spectrum


def stripes(angle: float, period: float) -> Spectrum:
    """Of wavy stripes: a period in pixels, give or take a third of it, and a direction, give or take 15 degrees."""

    def spectrum(y: Grey, x: Grey) -> Grey:
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        rings: Grey = np.exp(-0.5 * ((np.abs(along) * period - 1) / 0.33) ** 2 - 0.5 * (across * period / 0.25) ** 2)
        return rings

    return spectrum
