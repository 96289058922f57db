"""Images as a VDVAE takes them in, and as it predicts them."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from frugalseg.support.errors import InputError

Bits = Literal[5, 8]


@dataclass(frozen=True)
class Pixels:
    """The numbers that a network was trained with, in units of 8-bit pixels.

    Attributes:
        mean, std: of the training set, over all colors together.
        bits: of the pixels that are predicted; of 5 bits, the lowest three are set to 0.
    """

    mean: float
    std: float
    bits: Bits = 8

    def __post_init__(self) -> None:
        if not (0 <= self.mean <= 255 and 0 < self.std <= 255):
            raise InputError(f"pixels with a mean of {self.mean} and a deviation of {self.std} are not of 8 bits")

    def inputs(self, images: Tensor) -> Tensor:
        """What the encoder takes, from (B, 3, H, W) float images in [0, 1]."""
        return (images * 255 - self.mean) / self.std

    def targets(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) float32 in [-1, 1] to be predicted, from (B, 3, H, W) uint8."""
        whole = pixels if self.bits == 8 else pixels // 8 * 8
        return (whole.float() - 127.5) / 127.5

    @property
    def half_bin(self) -> float:
        """Half the distance of two predicted values in [-1, 1], as in the published code."""
        return 1 / ((1 << self.bits) - 1)


def to_images(predicted: Tensor) -> Tensor:
    """Images in [0, 1] from predictions in [-1, 1]."""
    return predicted / 2 + 0.5
