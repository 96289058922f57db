"""The training images at one size: decoded once and kept as bytes, or read again each time where they are too many."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frugalseg.data.images import image_size, read_image
from frugalseg.support.progress import Progress, silent

CACHE_LIMIT = 4 * 2**30
"""Bytes of decoded images that are kept in memory."""


class TrainingImages:
    """Images, each cropped at its centre to the aspect of `size` and resized with antialiasing.

    Cropping keeps shapes true; only images of another aspect than `size` lose anything, on two opposite sides.

    Attributes:
        paths: the files.
        size: (height, width) of every item.
        cached: whether the decoded images are in memory.
    """

    def __init__(
        self, paths: Sequence[Path], size: tuple[int, int], limit: int = CACHE_LIMIT, progress: Progress = silent
    ) -> None:
        """Decode what fits in `limit` bytes, and tell `progress` of each image.

        Raises:
            InputError: an image cannot be read.
        """
        self.paths = list(paths)
        self.size = size
        self.cached = len(self.paths) * size[0] * size[1] * 3 <= limit
        self._pixels = self._decode_all(progress) if self.cached else None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8."""
        if self._pixels is not None:
            pixels: NDArray[np.uint8] = self._pixels[index]
            return pixels
        return fit_to_size(read_image(self.paths[index]), self.size)

    def _decode_all(self, progress: Progress) -> NDArray[np.uint8]:
        pixels = np.empty((len(self.paths), *self.size, 3), np.uint8)

        def decode(index: int) -> None:
            pixels[index] = fit_to_size(read_image(self.paths[index]), self.size)

        with ThreadPoolExecutor() as pool:
            for done, _ in enumerate(pool.map(decode, range(len(self.paths))), start=1):
                progress("read images", done, len(self.paths))
        return pixels

    def describe(self) -> str:
        """One line on what was found and what is done to it."""
        sizes = Counter(sizes_of(self.paths))
        (height, width), _ = sizes.most_common(1)[0]
        others = f" and {len(sizes) - 1} other sizes" if len(sizes) > 1 else ""
        crop = any(h * self.size[1] != w * self.size[0] for h, w in sizes)
        done = "cropped at the centre to that aspect and resized" if crop else "resized"
        change = "as they are" if set(sizes) == {self.size} else f"{done} with antialiasing"
        kept = "decoded once, kept in memory" if self.cached else "decoded again for each batch"
        return (
            f"{len(self)} images of {height}x{width}{others} (height x width), "
            f"kept at {self.size[0]}x{self.size[1]}, {change}; {kept}"
        )


def sizes_of(paths: Sequence[Path], most: int = 1000) -> list[tuple[int, int]]:
    """(height, width) of each image, or of `most` of them spread evenly where there are more."""
    count = min(most, len(paths))
    return [image_size(paths[i * len(paths) // count]) for i in range(count)]


def median_size(paths: Sequence[Path], longest: int) -> tuple[int, int]:
    """(height, width): the medians over the images, scaled down so that the longer is at most `longest`."""
    height, width = np.median(np.array(sizes_of(paths)), axis=0)
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def fit_to_size(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: the largest centred part of `image` with the aspect of `size`, resized to it."""
    height, width = image.shape[:2]
    if (height, width) == size:
        return image
    scale = min(height / size[0], width / size[1])
    crop_h, crop_w = size[0] * scale, size[1] * scale
    left, top = max(0.0, (width - crop_w) / 2), max(0.0, (height - crop_h) / 2)
    # Rounding must not push the box over the edge.
    box = (left, top, min(left + crop_w, width), min(top + crop_h, height))
    # Pillow widens its filters when it shrinks, so that nothing aliases.
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box))
