"""Files that are encoded in threads while the next images are computed, and written in the order of the images."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from frugalseg.jobs.read_ahead import Source
from frugalseg.support.files import atomic_path

Encoded = Iterable[tuple[Path, bytes]]
"""The files of an image; the last of them marks it as done."""

PIXELS = 2**24
"""Of the images whose files are not written yet."""
SLOW = 0.5
"""Seconds for an image from which on nothing is gained by writing its files later than at once."""


class WriteBehind:
    """Encodes in threads and writes in this one, so that files appear in one order, whole. A context manager.

    The files of all images that were put here are written when the block ends, also where it ends by an error, unless
    the disk caused that.

    Args:
        threads: that encode.
        batch_size: images that are put here at about the same time.
    """

    def __init__(self, threads: int, batch_size: int) -> None:
        self._most = 2 * (threads + batch_size)
        self._pool = ThreadPoolExecutor(threads)
        self._waiting: deque[tuple[Source, Future[Encoded]]] = deque()
        self._last = time.monotonic()

    def put(self, encode: Callable[[], Encoded], source: Source) -> None:
        """Take over the files of an image; those of earlier ones are written where they are encoded.

        Args:
            encode: gives the files.
            source: of the image.
        """
        self._waiting.append((source, self._pool.submit(encode)))
        begun, self._last = self._last, time.monotonic()
        slow = self._last - begun > SLOW
        while self._waiting and (slow or self._waiting[0][1].done() or self._too_many()):
            self._write_next()

    def _too_many(self) -> bool:
        return len(self._waiting) > self._most or sum(source.pixels for source, _ in self._waiting) > PIXELS

    def _write_next(self) -> None:
        source, encoded = self._waiting.popleft()
        last = None
        for last, content in encoded.result():
            with atomic_path(last) as temporary:
                temporary.write_bytes(content)
        if last is not None and source.changed:
            os.utime(last, ns=(0, 0))  # older than the image, so that the next run looks at it again

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while self._waiting and not isinstance(error, OSError):
                self._write_next()
        finally:
            self._pool.shutdown(cancel_futures=True)
