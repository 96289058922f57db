"""Work that several processes share: split by number, or claimed unit by unit through lock files.

The processes need no connection, only a folder that all of them see.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from frugalseg.support.errors import InputError
from frugalseg.support.locks import holding


@dataclass(frozen=True)
class Share:
    """Which part of the work is this process's: of every `processes` units the one at `rank`.

    Attributes:
        rank: of this process among all of them, on all machines, from 0.
        processes: how many there are.
    """

    rank: int = 0
    processes: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.processes:
            raise InputError(f"process {self.rank} of {self.processes}: RANK is from 0 to below WORLD_SIZE")

    @property
    def first(self) -> bool:
        """Whether this process speaks for all of them: shows progress, writes what is written once."""
        return self.rank == 0

    def of(self, units: int) -> range:
        """The numbers of this process's units, of 0 to `units` - 1."""
        return range(self.rank, units, self.processes)


def share_of_environment() -> Share:
    """This process's share as torchrun says it in ``RANK`` and ``WORLD_SIZE``; everything without them.

    Raises:
        InputError: they are not numbers, or do not go together.
    """
    try:
        return Share(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
    except ValueError:
        raise InputError("the environment's RANK and WORLD_SIZE are not numbers; unset them, or use torchrun") from None


def own_device(device: str) -> str:
    """``cuda`` as the GPU that torchrun gave to this process; anything else as it is."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" and "LOCAL_RANK" in os.environ else device


@contextmanager
def claimed(lock: Path, done: Callable[[], bool]) -> Iterator[bool]:
    """Whether a unit of work is this process's to do while the block runs: nobody else is at it, and it is not done.

    Args:
        lock: the unit's lock file, in a folder that exists; of no meaning once its process has ended.
        done: whether the unit is done; asked once the lock is had.
    """
    with holding(lock) as ours:
        yield ours and not done()
