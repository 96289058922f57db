"""Work split over threads of which each computes alone: one long parallel region in place of many short ones.

Where a library splits every operation over all cores, its threads meet after each, and those that come first spin until
the last is there. On a busy machine one of them is always late. Here nobody waits for anybody but at the very end.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Items that are begun before their turn, for each thread."""


class Workers:
    """Threads of which each runs torch's operations by itself. A context manager."""

    def __init__(self, threads: int | None = None) -> None:
        """
        Args:
            threads: how many; a single one is the thread that asks. Without it, as many as torch would use here.
        """
        self._threads = threads or torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._threads, initializer=_alone) if self._threads > 1 else None

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """What `work` gives for each item, in the order of the items; what it raises is raised here.

        Modes such as `torch.inference_mode` belong to a thread, so `work` has to enter them itself.
        """
        if self._pool is None:
            yield from map(work, items)
            return
        begun: deque[Future[Result]] = deque()
        for item in items:
            begun.append(self._pool.submit(work, item))
            if len(begun) > AHEAD * self._threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            # The workers' own number is also what torch gives to threads that start later. This takes it back.
            torch.set_num_threads(self._threads)


def _alone() -> None:
    """Let this thread compute by itself; the others keep their numbers."""
    torch.set_num_threads(1)
