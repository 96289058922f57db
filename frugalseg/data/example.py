"""One annotated image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
