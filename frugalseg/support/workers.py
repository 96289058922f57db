"""Work split over threads of which each computes alone: one long parallel region in place of many short ones.

Where a library splits every operation over all cores, its threads meet after each, and those that come first spin until
the last is there. On a busy machine one of them is always late. Here nobody waits for anybody but at the very end.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import torch

from frugalseg.support.threads import bound_cpus

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Items that are begun before their turn, for each thread."""
PER_PROCESSOR = 2
"""Threads for each processor, where this process may use all of them. They never wait for each other, so the second one
costs nothing; and beside other busy processes, threads get equal shares of a processor's time."""


class Workers:
    """Threads of which each runs torch's operations by itself, or with a share of its threads. A context manager."""

    def __init__(self, threads: int | None = None, share: int = 1) -> None:
        """
        Args:
            threads: how many; a single one is the thread that asks. Without it, see `threads_here`.
            share: of torch's threads for each of several.
        """
        self._of_torch = torch.get_num_threads()
        self._threads = threads or threads_here(self._of_torch, bound_cpus())
        self._pool = ThreadPoolExecutor(self._threads, initializer=partial(_use, share)) if self._threads > 1 else None

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
            torch.set_num_threads(self._of_torch)


def threads_here(of_torch: int, bound: int) -> int:
    """How many threads shall work: those that torch would use, and more only where these may use all processors anyway.

    Whoever allows fewer, by ``OMP_NUM_THREADS`` or by a container's quota, gets no more.

    Args:
        of_torch: threads that torch would use in this place; one, and it stays at one.
        bound: processors that this process is bound to.
    """
    return of_torch * PER_PROCESSOR if 1 < of_torch == bound else of_torch


def _use(threads: int) -> None:
    """Let this thread compute with so many; the others keep their numbers."""
    torch.set_num_threads(threads)
    torch.get_num_threads()  # makes it final: else the first operation takes over what others have set by then
