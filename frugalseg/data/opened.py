"""A data folder that is opened once: its files are searched once, and its images and annotations decoded once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.annotation import Annotation
from frugalseg.data.channels import ChannelChoice, Channels, ChannelSpec, read_pixels, size_of
from frugalseg.data.classes import ClassTable
from frugalseg.data.formats import find_layout
from frugalseg.data.layout import Layout

KEPT = 2**28
"""Bytes of decoded images and annotations that a command keeps: some 800 images of 256x256."""

Key = tuple[Path, str | ClassTable]


class Decoder:
    """Decodes images and annotations, and keeps what it has decoded until `keep` bytes are spent.

    The first ones stay rather than the latest: a folder is read in order, several times, and of one that is too large
    the latest would each be thrown away before they are asked for again.

    Args:
        keep: bytes; 0 keeps nothing.
        channels: of the images that are read; None reads all as RGB.
    """

    def __init__(self, keep: int = 0, channels: ChannelSpec | None = None) -> None:
        self.keep, self.channels = keep, channels
        self._kept: dict[Key, NDArray[Any]] = {}
        self._bytes = 0

    def __getstate__(self) -> dict[str, Any]:
        """A copy in another process begins with nothing kept."""
        return {**vars(self), "_kept": {}, "_bytes": 0}

    def image(self, path: Path) -> NDArray[np.uint8]:
        """(H, W, C) uint8, see `read_pixels`; read-only where it is kept."""
        found: NDArray[np.uint8] = self._once((path, "image"), partial(read_pixels, path, self.channels))
        return found

    def size(self, path: Path) -> tuple[int, int]:
        """(H, W) of an image, from its header where it is not decoded yet."""
        kept = self._kept.get((path, "image"))
        return size_of(path, self.channels) if kept is None else (kept.shape[0], kept.shape[1])

    def ids(self, image: Path, annotation: Annotation, size: tuple[int, int], classes: ClassTable) -> NDArray[np.int64]:
        """(H, W) int64, see `Annotation.ids`.

        Args:
            image: path of the image that is annotated.
            annotation: its annotation.
            size: (H, W) of the upright image.
            classes: whose ids are wanted.
        """
        return self._once((image, classes), lambda: compact(annotation.ids(size, classes))).astype(np.int64)

    def _once(self, key: Key, decode: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """What is kept under `key`, or else decoded now, and kept if there is room."""
        if key in self._kept:
            return self._kept[key]
        values = decode()
        if self._bytes + values.nbytes <= self.keep:
            values.flags.writeable = False
            self._kept[key] = values
            self._bytes += values.nbytes
        return values


def compact(ids: NDArray[np.int64]) -> NDArray[Any]:
    """The same ids in the smallest type that holds them."""
    return ids.astype(np.min_scalar_type(int(ids.max(initial=0))))


@dataclass(frozen=True)
class OpenedFolder:
    """A data folder whose files are known.

    Attributes:
        layout: its files; what is wrong with them is in `Layout.problems`.
        decoder: reads them.
    """

    layout: Layout
    decoder: Decoder

    @classmethod
    def of(cls, path: "str | Path | OpenedFolder", keep: int = 0, channels: Channels | None = None) -> "OpenedFolder":
        """Search a folder; one that is opened already is given back as it is.

        Args:
            path: see `find_layout`.
            keep: bytes of decoded images and annotations to keep.
            channels: which channels of the images are read. The ranges of a choice are found on all images that are
                annotated, which are read for this. None reads them as RGB.

        Raises:
            FileError: there is no such folder, or it is not a data folder at all; or the channels of an image are not
                those of the others, or lack a chosen one.
        """
        if isinstance(path, OpenedFolder):
            return path
        layout = find_layout(path)
        if isinstance(channels, ChannelChoice):
            # Without a pair there is nothing to find, and the layout's problems say so.
            paths = [image for _, image, _ in layout.pairs]
            channels = channels.found_in_files(paths) if paths else None
        return cls(layout, Decoder(keep, channels))
