"""The files of a map store: one file a tap, and a record of what they were made from and how far they are filled."""

import ctypes
import errno
import json
import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from frugalseg.features.taps import Tap
from frugalseg.support.files import read_json, write_json
from frugalseg.support.paths import nameable

VALUE_BYTES = 2  # of a float16


class MapFiles:
    """A folder with ``NNN-TAP.f16`` for each tap, the raw float16 rows, and ``progress.json``.

    Args:
        folder: made where it is missing.
        taps: one file each, in this order.
        networks: the (h, w) that the network sees of each image.
        made_from: digest of the network and the images that the maps come from; "" where the caller answers for it
            that the folder holds no other ones.
    """

    def __init__(self, folder: Path, taps: Sequence[Tap], networks: Sequence[Sequence[int]], made_from: str) -> None:
        self.record = folder / "progress.json"
        self.paths = [folder / f"{number:03d}-{tap.name}.f16" for number, tap in enumerate(taps)]
        layout = json.dumps([[(t.name, t.channels, t.stride) for t in taps], [list(size) for size in networks]])
        self.images = len(networks)
        self.rows: list[Tensor] = []
        self.key = {"key": layout} | ({"made_from": made_from} if made_from else {})

    def open(self, shapes: Sequence[tuple[int, int]]) -> tuple[list[Tensor], int]:
        """Map the files into memory. Those of an interrupted run are taken up, those of anything else deleted.

        Args:
            shapes: (rows, channels) of each tap.

        Returns:
            A float16 tensor for each tap, which writes through to its file, and for how many images they hold maps.

        Raises:
            OSError: the disk is full; its `filename` is the file that does not fit.
        """
        self.record.parent.mkdir(parents=True, exist_ok=True)
        sizes = [VALUE_BYTES * rows * channels for rows, channels in shapes]
        done = self._done(sizes)
        if not done:
            self._clear()
        try:
            for path, size in zip(self.paths, sizes, strict=True):
                reserve(path, size)
        except OSError:
            if not done:
                self._clear()
            raise
        self.rows = [mapped(path, shape) for path, shape in zip(self.paths, shapes, strict=True)]
        return self.rows, done

    def release(self) -> None:
        """Give the memory back that holds what was written and read so far; the files, and so the tensors, keep it.

        Otherwise all that was ever touched counts as this process's memory, although the system may take it away.
        """
        for values in self.rows:
            give_back(values)

    def note(self, done: int) -> None:
        """Write down that the maps of the first `done` images are there."""
        write_json(self.record, {**self.key, "done": done})

    def _done(self, sizes: Sequence[int]) -> int:
        """For how many images an interrupted run of the same work has stored the maps."""
        if not self.record.is_file():
            return 0
        noted = read_json(self.record)
        done = noted.pop("done", 0) if isinstance(noted, dict) else 0
        whole = all(
            path.is_file() and path.stat().st_size == size for path, size in zip(self.paths, sizes, strict=True)
        )
        known = type(done) is int and 0 <= done <= self.images
        return done if known and noted == self.key and whole else 0

    def _clear(self) -> None:
        """Delete all maps in the folder. The record goes first: without it they are nobody's."""
        self.record.unlink(missing_ok=True)
        for path in self.record.parent.glob("*.f16"):
            path.unlink()


def reserve(path: Path, size: int) -> None:
    """Make `path` a file of `size` bytes whose space on the disk is its own; what it holds already stays.

    A file that merely has that size takes up space as it is written, and where a mapped file is written while the disk
    is full, the operating system kills the process (SIGBUS).

    Raises:
        OSError: the disk is full.
    """
    with path.open("ab") as file:
        file.truncate(size)
        if not hasattr(os, "posix_fallocate"):
            return
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise OSError(error.errno, os.strerror(error.errno), str(path)) from None
            # Anything else: this file system cannot reserve space.


def mapped(path: Path, shape: tuple[int, int]) -> Tensor:
    """A file as a float16 tensor of `shape`; writing to it writes to the file."""
    with nameable(path, "r+b") as place:
        return torch.from_file(str(place), shared=True, size=shape[0] * shape[1], dtype=torch.float16).view(shape)


def give_back(values: Tensor) -> None:
    """Take the memory of a mapped file away from this process until it is touched again, where the system can do that.

    Python's own `mmap` can do it as well, but holds each file open, and a process may open few.
    """
    if hasattr(mmap, "MADV_DONTNEED"):
        ctypes.CDLL(None).madvise(
            ctypes.c_void_p(values.data_ptr()), ctypes.c_size_t(values.nbytes), mmap.MADV_DONTNEED
        )
