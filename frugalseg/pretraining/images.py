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
from frugalseg.support.text import count

ENLARGED = 2**24
"""Pixels that a small image may be enlarged to in any case."""
CACHE_LIMIT = 4 * 2**30
"""Bytes of decoded images that are kept in memory."""


class TrainingImages:
    """Images, each cropped at its centre to the aspect of `size` and resized with antialiasing.

    Cropping keeps shapes true; only images of another aspect than `size` lose anything, on two opposite sides.

    Attributes:
        paths: the files.
        size: (height, width) of every item.
        sizes: (height, width) of every file.
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
        self.sizes = sizes_of(self.paths, most=len(self.paths))
        self.cached = sum(3 * height * width for height, width in map(self.kept_size, self.sizes)) <= limit
        self._kept = self._decode_all(progress) if self.cached else None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, as pictures of the training show it."""
        return self.kept(index)

    def drawn(self, index: int, draws: np.random.Generator) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, as a step sees it; what is random about that is drawn from `draws`."""
        return self.kept(index)

    def kept_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) at which an image of `size` is kept."""
        return self.size

    def prepared(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """An image as it is kept, of `kept_size`."""
        return fit_to_size(image, self.size)

    def kept(self, index: int) -> NDArray[np.uint8]:
        """An image as `prepared` gives it."""
        return self.prepared(read_image(self.paths[index])) if self._kept is None else self._kept[index]

    def _decode_all(self, progress: Progress) -> list[NDArray[np.uint8]]:
        images = []
        with ThreadPoolExecutor() as pool:
            for image in pool.map(lambda path: self.prepared(read_image(path)), self.paths):
                images.append(image)
                progress("read images", len(images), len(self.paths))
        return images

    def describe(self) -> str:
        """One line on what was found and what is done to it."""
        sizes = Counter(self.sizes)
        (height, width), _ = sizes.most_common(1)[0]
        others = f" and {count(len(sizes) - 1, 'other size')}" if len(sizes) > 1 else ""
        kept = "decoded once, kept in memory" if self.cached else "decoded again for each batch"
        return f"{count(len(self), 'image')} of {height}x{width}{others} (height x width), {self.treatment()}; {kept}"

    def treatment(self) -> str:
        """What is done to the images, in words."""
        crop = any(h * self.size[1] != w * self.size[0] for h, w in self.sizes)
        done = "cropped at the center to that aspect and resized" if crop else "resized"
        change = "as they are" if set(self.sizes) == {self.size} else f"{done} with antialiasing"
        return f"kept at {self.size[0]}x{self.size[1]}, {change}"


class ImageWindows(TrainingImages):
    """Random windows of `size` in images that keep their own scale; smaller images are enlarged to cover a window.

    Of a very flat or narrow image, whose enlargement would be giant, the middle is kept, see `covering_size`.
    """

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, the window in the middle of an image."""
        return self._window(self.kept(index), 0.5, 0.5)

    def drawn(self, index: int, draws: np.random.Generator) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, a window anywhere in an image."""
        return self._window(self.kept(index), *draws.random(2))

    def kept_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of an image once it covers a window."""
        return covering_size(size, self.size)

    def prepared(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """An image that covers a window."""
        return fit_to_size(image, covering_size(image.shape[:2], self.size))

    def treatment(self) -> str:
        """What is done to the images, in words."""
        small = sum(height < self.size[0] or width < self.size[1] for height, width in self.sizes)
        enlarged = f"; {small} are smaller and are enlarged until they cover a window" if small else ""
        return f"random windows of {self.size[0]}x{self.size[1]} are cut at the images' own scale{enlarged}"

    def _window(self, image: NDArray[np.uint8], down: float, right: float) -> NDArray[np.uint8]:
        """The window whose place is given by shares of the room that an image leaves it, in [0, 1)."""
        height, width = self.size
        top = int(down * (image.shape[0] - height + 1))
        left = int(right * (image.shape[1] - width + 1))
        return image[top : top + height, left : left + width]


def sizes_of(paths: Sequence[Path], most: int = 1000) -> list[tuple[int, int]]:
    """(height, width) of each image, or of `most` of them spread evenly where there are more."""
    looked_at = min(most, len(paths))
    return [image_size(paths[i * len(paths) // looked_at]) for i in range(looked_at)]


def median_size(paths: Sequence[Path], longest: int) -> tuple[int, int]:
    """(height, width): the medians over the images, scaled down so that the longer is at most `longest`."""
    height, width = np.median(np.array(sizes_of(paths)), axis=0)
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def median_window(paths: Sequence[Path], longest: int) -> tuple[int, int]:
    """(height, width): the medians over the images, each cut down to at most `longest`."""
    height, width = median_size(paths, 10**9)
    return min(height, longest), min(width, longest)


def covering_size(image: tuple[int, ...], window: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of an image, enlarged just enough to cover a window; the image's own where it does so.

    Of more than `ENLARGED` pixels, and four times those of the image, the longer side is less than enlarged: its ends
    are cut off.
    """
    scale = max(1.0, window[0] / image[0], window[1] / image[1])
    height, width = (max(least, round(side * scale)) for least, side in zip(window, image, strict=True))
    most = max(ENLARGED, 4 * image[0] * image[1])
    if scale > 1 and height * width > most:
        return max(window[0], min(height, most // width)), max(window[1], min(width, most // height))
    return height, width


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
