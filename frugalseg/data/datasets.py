"""What a dataset of examples tells beside them: its class table, and its targets without the images."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.data.view import View
from frugalseg.support.errors import InputError

RENAME = "rename them as the model does, or take them out"


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


class Translated(View):
    """The examples of a dataset in the class positions of another table; classes go by their names.

    Args:
        dataset: with a class table of its own.
        classes: the table whose positions are wanted.

    Raises:
        InputError: the dataset has a class that `classes` lacks.
    """

    def __init__(self, dataset: Sequence[Example], classes: ClassTable) -> None:
        self.dataset, self.classes = dataset, classes
        try:
            self._table = classes_of(dataset).positions_in(classes)
        except ValueError as error:
            raise InputError(f"the dataset {error}; {RENAME}") from None

    def __len__(self) -> int:
        return len(self.dataset)

    def example(self, index: int) -> Example:
        """See `View`."""
        example = self.dataset[index]
        return replace(example, target=self._table[example.target])

    def target(self, index: int) -> NDArray[np.uint8]:
        """(H, W) uint8: the target of the example at `index` alone."""
        found: NDArray[np.uint8] = self._table[target_of(self.dataset, index)]
        return found


@runtime_checkable
class OtherClasses(Protocol):
    """A dataset that can give its targets in other classes."""

    def in_classes(self, classes: ClassTable) -> Sequence[Example]:
        """The same examples in the class positions of another table."""


def in_classes(dataset: Sequence[Example], classes: ClassTable) -> Sequence[Example]:
    """A dataset in the class positions of a table; one without a table of its own is taken to be in them already.

    Raises:
        InputError: the dataset has a class that `classes` lacks.
    """
    own = getattr(dataset, "classes", None)
    if not isinstance(own, ClassTable) or own.names == classes.names:
        return dataset
    return dataset.in_classes(classes) if isinstance(dataset, OtherClasses) else Translated(dataset, classes)


def classes_of(dataset: Sequence[Example]) -> ClassTable:
    """A dataset's own class table, as a `SegmentationFolder` has it.

    Raises:
        InputError: it has none, as a plain list of examples.
    """
    found = getattr(dataset, "classes", None)
    if not isinstance(found, ClassTable):
        raise InputError(
            "the examples have no class table of their own; give a data folder, or the table as fit(..., classes=...)"
        )
    return found
