"""Several small trainings at once: each is too small for all threads of a processor."""

from collections.abc import Callable, Generator, Sequence
from threading import Event
from typing import TypeVar

import torch

from frugalseg.support.errors import WorkError
from frugalseg.support.workers import Workers

Item = TypeVar("Item")
Result = TypeVar("Result")


def several(
    work: Callable[[Item, Event], Result], items: Sequence[Item], device: torch.device, most: int | None = None
) -> Generator[Result]:
    """What `work` gives for each of several items, in their order.

    On a CPU, several are under way at once, with a share of torch's threads each. Close it, and those that nobody waits
    for any more are stopped.

    Args:
        work: of an item; the event is set once its result is not needed, see `require_needed`.
        items: to be worked on.
        device: where it runs.
        most: how many may be under way at once, for each takes memory; None: all.
    """
    threads, stop = torch.get_num_threads() if device.type == "cpu" else 1, Event()
    at_once = max(1, min(len(items), threads, most or threads))
    with Workers(at_once, threads // at_once) as workers:
        try:
            yield from workers.each(lambda item: work(item, stop), items)
        finally:
            stop.set()


def require_needed(stop: Event | None) -> None:
    """`WorkError` where nobody waits for the result of some work any more."""
    if stop is not None and stop.is_set():
        raise WorkError("this was stopped")
