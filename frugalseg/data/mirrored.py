"""A dataset seen in a mirror as well."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.datasets import target_of
from frugalseg.data.example import Example
from frugalseg.data.view import View


class Mirrored(View):
    """The examples of a dataset, then the same mirrored left to right."""

    def __init__(self, dataset: Sequence[Example]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return 2 * len(self.dataset)

    def example(self, index: int) -> Example:
        """See `View`."""
        number, mirrored = self._place(index)
        example = self.dataset[number]
        if not mirrored:
            return example
        return Example(f"{example.name} mirrored", flipped(example.image), flipped(example.target))

    def target(self, index: int) -> NDArray[np.uint8]:
        """(H, W) uint8: the target of the example at `index` alone."""
        number, mirrored = self._place(index)
        target = target_of(self.dataset, number)
        return flipped(target) if mirrored else target

    def _place(self, index: int) -> tuple[int, bool]:
        """Which example of the dataset stands at `index`, and whether it is mirrored there."""
        number = range(len(self))[index]
        return number % len(self.dataset), number >= len(self.dataset)


def flipped(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, ...) with left and right exchanged."""
    return np.ascontiguousarray(values[:, ::-1])
