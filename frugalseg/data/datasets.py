"""What a dataset of examples tells beside them: its class table, and its targets without the images."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.channels import ChannelChoice, Channels, ChannelSpec, raw_array
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
    own = own_classes(dataset)
    if own is None or own.names == classes.names:
        return dataset
    return dataset.in_classes(classes) if isinstance(dataset, OtherClasses) else Translated(dataset, classes)


class InChannels(View):
    """The examples of a dataset whose images are arrays (H, W, C) of any numbers, scaled as a model sees them.

    Args:
        dataset: of such examples.
        channels: which channels, and how they are scaled.
    """

    def __init__(self, dataset: Sequence[Example], channels: ChannelSpec) -> None:
        self.dataset, self.channels = dataset, channels

    def __len__(self) -> int:
        return len(self.dataset)

    def example(self, index: int) -> Example:
        """See `View`."""
        example = self.dataset[index]
        return replace(example, image=self.channels.scaled(raw_array(example.image), example.name))

    def target(self, index: int) -> NDArray[np.uint8]:
        """(H, W) uint8: the target of the example at `index` alone."""
        return target_of(self.dataset, index)


@runtime_checkable
class OtherChannels(Protocol):
    """A dataset that can read its images in other channels."""

    def in_channels(self, channels: Channels) -> Sequence[Example]:
        """The same examples in other channels."""


def in_channels(dataset: Sequence[Example], channels: Channels | None) -> Sequence[Example]:
    """A dataset whose images have the channels that a model sees.

    Args:
        dataset: one that is in these channels already; or one of files, which are read anew; or examples whose images
            are arrays (H, W, C) as they came.
        channels: None leaves everything as it is. The ranges of a choice are found on the images of the dataset.

    Raises:
        InputError: the dataset is in other channels, or its images lack some; or it is made in an unknown way of
            another that has read them as RGB already.
    """
    own = channels_of(dataset)
    if own is None and channels is not None:
        if isinstance(dataset, OtherChannels):
            return dataset.in_channels(channels)
        if isinstance(getattr(dataset, "dataset", None), OtherChannels):
            name = type(dataset).__name__
            raise InputError(
                f"the images that this {name} gives have been read as RGB; open the data folder with channels=..., and "
                f"make the {name} of that"
            )
        if isinstance(channels, ChannelChoice):
            channels = channels.found_in([dataset[index].image for index in range(len(dataset))])
        return InChannels(dataset, channels)
    same = own is None or own == channels or (isinstance(channels, ChannelChoice) and own.of(channels))
    if not same:
        raise InputError("the dataset has been opened with channels other than these; open it without, or with these")
    return dataset


def channels_of(dataset: object) -> ChannelSpec | None:
    """The channels that a dataset's images are in already; None where they are RGB or as they came."""
    found = getattr(dataset, "channels", None)
    inner = getattr(dataset, "dataset", None)  # of a view
    if isinstance(found, ChannelSpec):
        return found
    return None if inner is None else channels_of(inner)


def own_classes(dataset: object) -> ClassTable | None:
    """The class table that a dataset has, or the dataset that it is made of, as a subset; None where there is none."""
    found, inner = getattr(dataset, "classes", None), getattr(dataset, "dataset", None)
    if isinstance(found, ClassTable):
        return found
    return None if inner is None else own_classes(inner)


def classes_of(dataset: Sequence[Example]) -> ClassTable:
    """A dataset's own class table, as a `SegmentationFolder` has it, and subsets of one.

    Raises:
        InputError: it has none, as a plain list of examples.
    """
    found = own_classes(dataset)
    if found is None:
        raise InputError(
            "the examples have no class table of their own; give a data folder, or the table as fit(..., classes=...)"
        )
    return found
