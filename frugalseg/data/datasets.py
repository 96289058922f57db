"""What a dataset of examples tells beside them: its class table, and its targets without the images."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.support.errors import InputError


@runtime_checkable
class SeparateTargets(Protocol):
    """A dataset that gives targets without images."""

    def target(self, index: int) -> NDArray[np.uint8]:
        """(H, W) uint8 class positions, 255 where not annotated: `Example.target` of the example at `index`."""


def target_of(dataset: Sequence[Example], index: int) -> NDArray[np.uint8]:
    """(H, W) uint8: the target of one example; its image is not decoded for it where the dataset allows that."""
    return dataset.target(index) if isinstance(dataset, SeparateTargets) else dataset[index].target


def targets_of(dataset: Sequence[Example]) -> Iterator[NDArray[np.uint8]]:
    """The target of each example, one at a time."""
    for index in range(len(dataset)):
        yield target_of(dataset, index)


def classes_of(dataset: Sequence[Example]) -> ClassTable:
    """A dataset's own class table, as a `SegmentationFolder` has it.

    Raises:
        InputError: it has none, as a plain list of examples.
    """
    found = getattr(dataset, "classes", None)
    if not isinstance(found, ClassTable):
        raise InputError("the examples have no class table of their own; give it as fit(..., classes=...)")
    return found
