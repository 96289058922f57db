"""What stands in for the noise between the layers of the generator.

A noise is called with the number of its place (two for each resolution), the (B, C, H, W) activations there and the
layer's (1, C, 1, 1) learned strength; it returns the activations with the noise.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from frugalseg.backbones.alae.layers import SLOPE, at_least_float32

Noise = Callable[[int, Tensor, Tensor], Tensor]


def without_noise(place: int, x: Tensor, strength: Tensor) -> Tensor:
    """The activations as they are."""
    return x


def expected_noise(place: int, x: Tensor, strength: Tensor) -> Tensor:
    """What the published code adds where it draws no noise: nearly the mean effect of noise on the leaky ReLU behind.

    For noise of deviation s the mean of the leaky ReLU is higher by about ``0.8 s phi(x / s)``.
    """
    spread = deviation(place)
    bump = torch.exp(-at_least_float32(x).square() / (2 * spread**2)) / math.sqrt(2 * math.pi)
    return x + ((1 - SLOPE) * spread * bump).to(x.dtype)


def deviation(place: int) -> float:
    """That of the noise which is expected at a place: the published code takes it to grow with the resolution."""
    return math.sqrt(place // 2 + 1)


STEADY: dict[str, Noise] = {"expected": expected_noise, "none": without_noise}
"""What draws nothing, by its name among the options."""


def given_noise(maps: Sequence[Tensor]) -> Noise:
    """Noise from maps, one for each place: (B, 1, H, W), or (1, 1, H, W) where the images share it."""

    def add(place: int, x: Tensor, strength: Tensor) -> Tensor:
        return x + strength * maps[place].to(x.dtype)

    return add
