"""The images of a folder, decoded in threads before their turn."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.channels import ChannelSpec, read_pixels
from frugalseg.data.images import claimed_pixels
from frugalseg.support.files import FileError

State = tuple[int, ...] | None
"""Of a file: what changes with its content; None where it is not there."""
PIXELS = 2**25
"""Of all images in memory, where there is more than one: two of 16 megapixels, but not two of 24."""


@dataclass(frozen=True)
class Source:
    """A file to be read.

    Attributes:
        path: of the file.
        state: its size and its times before it was read.
        pixels: that it claims to have.
    """

    path: Path
    state: State
    pixels: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """A file as it is now."""
        return cls(path, state_of(path), claimed_pixels(path))

    @property
    def changed(self) -> bool:
        """Whether the file is another one by now; one that is gone has not changed."""
        return state_of(self.path) not in (self.state, None)


def state_of(path: Path) -> State:
    """The size of a file and its times, of its content and of its entry, in nanoseconds."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


class ReadAhead:
    """Reads images in their order, and remembers those that could not be read. A context manager.

    Args:
        paths: of the images.
        threads: that decode.
        batch_size: images that are asked for at once.
        strict: raise for the first that cannot be read.
        channels: of the model.

    Attributes:
        failures: what is wrong with each that was asked for.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        threads: int,
        batch_size: int,
        *,
        strict: bool,
        channels: ChannelSpec | None = None,
    ) -> None:
        self.failures: list[FileError] = []
        self._paths, self._strict, self._channels = paths, strict, channels
        self._most = 2 * (threads + batch_size)
        self._pool = ThreadPoolExecutor(threads)
        self._under_way: deque[tuple[Source, NDArray[np.uint8]]] = deque()
        self._pixels = 0  # of the images that are begun and were not handed over by `next_one`

    def images(self) -> Iterator[NDArray[np.uint8]]:
        """(H, W, C) uint8 of each file that is an image; it is kept until `next_one` asks for it."""
        for source, decoded in self._begun():
            try:
                image = decoded.result()
            except FileError as error:
                if self._strict:
                    raise
                self.failures.append(error)
                self._pixels -= source.pixels
            else:
                self._under_way.append((source, image))
                yield image

    def next_one(self) -> tuple[Source, NDArray[np.uint8]]:
        """The first of `images` that was not asked for yet."""
        source, image = self._under_way.popleft()
        self._pixels -= source.pixels
        return source, image

    def _begun(self) -> Iterator[tuple[Source, Future[NDArray[np.uint8]]]]:
        """Every file and its image; when one is asked for, those after it are begun as far as memory allows."""
        ahead: deque[tuple[Source, Future[NDArray[np.uint8]]]] = deque()
        for path in self._paths:
            source = Source.of(path)
            while ahead and (len(ahead) == self._most or self._pixels + source.pixels > PIXELS):
                yield ahead.popleft()
            self._pixels += source.pixels
            ahead.append((source, self._pool.submit(read_pixels, path, self._channels)))
        yield from ahead

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
