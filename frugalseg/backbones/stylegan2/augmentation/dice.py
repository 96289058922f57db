"""The random numbers of a batch, handed out one column at a time."""

import torch
from torch import Tensor


class Dice:
    """Random numbers for each image of a batch.

    Args:
        numbers: (B, K) normal numbers, on the CPU: there are few of them, and other devices may lack float64.
    """

    def __init__(self, numbers: Tensor) -> None:
        self.columns = iter(numbers.double().unbind(1))

    def normal(self, deviation: float) -> Tensor:
        """(B,) float64 normal numbers."""
        return next(self.columns) * deviation

    def uniform(self, low: float, high: float) -> Tensor:
        """(B,) float64 numbers between the two."""
        share: Tensor = torch.special.ndtr(next(self.columns))
        return low + (high - low) * share

    def choice(self, count: int) -> Tensor:
        """(B,) whole numbers from 0 to below `count`, as float64."""
        return self.uniform(0, count).floor().clamp(max=count - 1)

    def happens(self, p: float) -> Tensor:
        """(B,) bool: true with a probability of `p`."""
        return self.uniform(0, 1) < p
