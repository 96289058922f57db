"""Which samples, and which random numbers, belong to a training step: a function of the seed and the step alone.

Nothing here remembers anything, so a training that was killed continues with the very batches it would have seen.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from frugalseg.support.errors import InputError

# Purposes of random numbers: keys that keep their streams apart.
SHUFFLE, STEP, SAMPLE = range(3)


def random_numbers(seed: int, *key: int) -> np.random.Generator:
    """The generator that belongs to a purpose: same `seed` and `key`, same numbers."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


class Order:
    """Every sample once an epoch, each epoch in another order.

    Args:
        samples: how many there are.
        seed: of the orders.
    """

    def __init__(self, samples: int, seed: int) -> None:
        self.samples = samples
        self.seed = seed
        self._epoch = -1
        self._permutation: NDArray[np.int64] = np.empty(0, np.int64)

    def __getitem__(self, position: int) -> int:
        """The sample at `position` of the endless sequence."""
        epoch, within = divmod(position, self.samples)
        if epoch != self._epoch:
            self._permutation = random_numbers(self.seed, SHUFFLE, epoch).permutation(self.samples)
            self._epoch = epoch
        return int(self._permutation[within])


class StepStream(IterableDataset[dict[str, Any]]):
    """The batches of the steps from `start` up to `stop`; workers take turns, and the order stays.

    Attributes:
        seed: of everything random in the batches.
        start, stop: the steps to yield, `start` included, `stop` not.
        rank, world_size: which process this is, of how many that share each batch.
    """

    seed: int
    start: int
    stop: int
    rank: int = 0
    world_size: int = 1

    @abstractmethod
    def batch(self, step: int) -> dict[str, Any]:
        """The batch of a step, or this process's part of it; the same whenever it is asked for."""

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for step in range(self.start + first, self.stop, stride):
            try:
                batch = self.batch(step)
            except InputError as error:
                if worker is None:
                    raise
                yield error  # see `frugalseg.training.batches.StepLoader`
                return
            yield batch


def seeded_noise(seeds: Sequence[int], shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
    """(b, \\*shape) float32 normal numbers, each row from its own one of the b `seeds`.

    They are drawn on `device`, where they are needed: the rows are the same on each device of a kind, not across kinds.
    """
    generator = torch.Generator(device)
    rows = [torch.randn(shape, generator=generator.manual_seed(seed), device=device) for seed in seeds]
    return torch.stack(rows)
