"""A dataset seen in a mirror as well."""

from collections.abc import Sequence
from typing import overload

import numpy as np

from frugalseg.data.example import Example


class Mirrored(Sequence[Example]):
    """The examples of a dataset, then the same mirrored left to right."""

    def __init__(self, dataset: Sequence[Example]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return 2 * len(self.dataset)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        example = self.dataset[number % len(self.dataset)]
        if number < len(self.dataset):
            return example
        image, target = (np.ascontiguousarray(values[:, ::-1]) for values in (example.image, example.target))
        return Example(f"{example.name} mirrored", image, target)
