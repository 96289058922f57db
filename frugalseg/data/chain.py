"""Several datasets as one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.datasets import target_of
from frugalseg.data.example import Example
from frugalseg.data.view import View


class Chain(View):
    """The examples of datasets in the same classes, one dataset after another.

    Args:
        datasets: at least one.
    """

    def __init__(self, *datasets: Sequence[Example]) -> None:
        self.datasets = datasets

    def __len__(self) -> int:
        return sum(map(len, self.datasets))

    def example(self, index: int) -> Example:
        """See `View`."""
        dataset, place = self._place(index)
        return dataset[place]

    def target(self, index: int) -> NDArray[np.uint8]:
        """(H, W) uint8: the target of the example at `index` alone."""
        return target_of(*self._place(index))

    def _place(self, index: int) -> tuple[Sequence[Example], int]:
        """The dataset of an example, and its number there."""
        place = range(len(self))[index]
        for dataset in self.datasets:
            if place < len(dataset):
                return dataset, place
            place -= len(dataset)
        raise IndexError(index)
