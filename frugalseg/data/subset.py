"""Some of the examples of a dataset, as a dataset."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.datasets import target_of
from frugalseg.data.example import Example
from frugalseg.data.view import View


class Subset(View):
    """The examples of a dataset at some positions, read from it when they are asked for.

    Args:
        dataset: all of them.
        chosen: the positions, in the order of the subset.
    """

    def __init__(self, dataset: Sequence[Example], chosen: Sequence[int]) -> None:
        self.dataset, self.chosen = dataset, tuple(chosen)

    def __len__(self) -> int:
        return len(self.chosen)

    def example(self, index: int) -> Example:
        """See `View`."""
        return self.dataset[self.chosen[index]]

    def target(self, index: int) -> NDArray[np.uint8]:
        """(H, W) uint8: the target of the example at `index` alone."""
        return target_of(self.dataset, self.chosen[index])
