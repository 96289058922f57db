"""One annotated image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frugalseg.support.errors import InputError
from frugalseg.support.text import quoted


@dataclass(frozen=True, eq=False)
class Example:
    """One image and what is known of its pixels.

    Attributes:
        name: the stem of its file.
        image: (H, W, 3) uint8 RGB, or of chosen channels (H, W, C) uint8.
        target: (H, W) uint8 class positions 0..K-1; 255 = not annotated.
        origin: of an image that a network drew, the seed that it was drawn from, where it is known; which network that
            was, the dataset says, see `frugalseg.data.origins`.
    """

    name: str
    image: NDArray[np.uint8]
    target: NDArray[np.uint8]
    origin: int | None = None


def require_usable(example: Example) -> None:
    """`InputError` where nobody knows what the image of an example looks like, or which of its pixels are annotated."""
    image, name = example.image, quoted(example.name)
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.dtype != np.uint8:
        found = f"{image.dtype} of shape {tuple(image.shape)}" if hasattr(image, "dtype") else type(image).__name__
        raise InputError(
            f"image {name}: {found}, where (H, W, 3) uint8 is expected; frugalseg.data.arrays.as_rgb gives that"
        )
    sizes = ["x".join(map(str, shape)) for shape in (image.shape[:2], np.shape(example.target))]
    if sizes[0] != sizes[1]:
        raise InputError(f"image {name}: {sizes[0]} pixels, but its target has {sizes[1]}; give both the same size")


def as_positions(target: NDArray[np.generic], image: str) -> NDArray[np.uint8]:
    """A target of whole numbers as uint8.

    Args:
        target: (H, W) class positions, 255 where not annotated.
        image: that it belongs to, for the error.

    Raises:
        InputError: another shape, no pixels, or other numbers.
    """
    values = np.asarray(target)
    if values.ndim != 2 or not values.size or values.dtype.kind not in "biu":
        raise InputError(
            f"the target of {image}: {values.dtype} of shape {values.shape}; give (H, W) class positions as uint8"
        )
    if values.min() < 0 or values.max() > 255:
        raise InputError(
            f"the target of {image} holds values from {values.min()} to {values.max()}; positions begin at 0, and 255 "
            "is not annotated"
        )
    return values.astype(np.uint8, copy=False)
