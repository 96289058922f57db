"""Several datasets as one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.datasets import target_of
from frugalseg.data.example import Example
from frugalseg.data.origins import Origins, origins_of
from frugalseg.data.view import View
from frugalseg.support import digests


class Chain(View):
    """The examples of datasets in the same classes, one dataset after another.

    Args:
        datasets: at least one.
    """

    def __init__(self, *datasets: Sequence[Example]) -> None:
        self.datasets = datasets

    @property
    def origins(self) -> Origins | None:
        """What is known of all images, where one network has drawn them all in one way; each knows its own seed."""
        every = [origins_of(dataset) for dataset in self.datasets]
        alike = {None if one is None else digests.values([one.family, one.network, one.settings]) for one in every}
        return None if len(alike) > 1 or every[0] is None else replace(every[0], images={})

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
