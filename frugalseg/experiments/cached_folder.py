"""Data folders whose decoded images stay in memory, as long as they are not too many."""

from collections.abc import Sequence
from pathlib import Path
from typing import overload

from frugalseg.data.channels import Channels
from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.data.folder import SegmentationFolder


class Memory:
    """How many bytes several folders may still keep together.

    Args:
        size: in bytes.
    """

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, example: Example) -> bool:
        """Whether an example still fits; then its size is taken off."""
        size = example.image.nbytes + example.target.nbytes
        if size > self.left:
            return False
        self.left -= size
        return True


class CachedFolder(SegmentationFolder):
    """A `SegmentationFolder` that decodes an image once, where the memory is enough to keep it.

    The arrays of an example are handed out again and again: nobody may write into them.

    Args:
        path, classes, channels: see `SegmentationFolder`.
        memory: shared with other folders.
    """

    def __init__(
        self, path: str | Path, classes: ClassTable | None = None, channels: Channels | None = None, *, memory: Memory
    ) -> None:
        super().__init__(path, classes, channels)
        self.memory = memory
        # By name, because slices share it.
        self.kept: dict[str, Example] = {}

    def in_classes(self, classes: ClassTable) -> Sequence[Example]:
        """See `SegmentationFolder.in_classes`; nothing that is kept is in the other classes."""
        part = super().in_classes(classes)
        if isinstance(part, CachedFolder):
            part.kept = {}
        return part

    def in_channels(self, channels: Channels) -> Sequence[Example]:
        """See `SegmentationFolder.in_channels`; nothing that is kept is in the other channels."""
        part = super().in_channels(channels)
        assert isinstance(part, CachedFolder)
        part.kept = {}
        return part

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> SegmentationFolder: ...
    def __getitem__(self, index: int | slice) -> Example | SegmentationFolder:
        if isinstance(index, slice):
            return super().__getitem__(index)
        name = self.names[index]
        if name in self.kept:
            return self.kept[name]
        example = super().__getitem__(index)
        if self.memory.take(example):
            self.kept[name] = example
        return example
