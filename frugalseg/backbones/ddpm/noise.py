"""The forward process of a DDPM: how an image is noised to a step, and the one noise that all images share."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def signal_and_noise(scheduler: Any, steps: Sequence[int]) -> tuple[Tensor, Tensor]:
    """sqrt(abar_t) and sqrt(1 - abar_t), (S,) float32 each: x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps.

    The product over up to 1000 steps is taken in float64.
    """
    kept = torch.cumprod(1 - scheduler.betas.double(), dim=0)[list(steps)]
    return kept.sqrt().float(), (1 - kept).sqrt().float()


def shared_noise(seed: int, draws: int, size: tuple[int, int], channels: int = 3) -> Tensor:
    """(draws, channels, H, W) standard normal float32, the same on every device for a seed and a size."""
    return torch.randn(draws, channels, *size, generator=torch.Generator().manual_seed(seed))
