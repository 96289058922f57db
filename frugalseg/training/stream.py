"""Which images, and which random numbers, belong to a training step: a function of the seed and the step alone.

Nothing here remembers anything, so a run that was killed continues with the very batches it would have seen, and a
batch is the same however many processes share it.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from frugalseg.pretraining.images import TrainingImages

# Purposes of random numbers: keys that keep their streams apart.
SHUFFLE, STEP, SAMPLE = range(3)


def random_numbers(seed: int, *key: int) -> np.random.Generator:
    """The generator that belongs to a purpose: same `seed` and `key`, same numbers."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


class Order:
    """Every image once an epoch, each epoch in another order."""

    def __init__(self, images: int, seed: int) -> None:
        self.images = images
        self.seed = seed
        self._epoch = -1
        self._permutation: NDArray[np.int64] = np.empty(0, np.int64)

    def __getitem__(self, position: int) -> int:
        """The image at `position` of the endless sequence."""
        epoch, within = divmod(position, self.images)
        if epoch != self._epoch:
            self._permutation = random_numbers(self.seed, SHUFFLE, epoch).permutation(self.images)
            self._epoch = epoch
        return int(self._permutation[within])


class StepStream(IterableDataset[dict[str, Any]]):
    """The batches of steps `start` to `stop`, the latter left out; workers take turns, and the order stays."""

    start: int
    stop: int

    @abstractmethod
    def batch(self, step: int) -> dict[str, Any]:
        """The batch of a step; the same whenever it is asked for."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for step in range(self.start + first, self.stop, stride):
            yield self.batch(step)


class BatchStream(StepStream):
    """The batches of some steps, for one of several processes.

    Rank r of R gets the samples r, r + R, r + 2R, ... of each global batch: together the ranks see what one process
    alone would see. A batch is a dict of ``step`` (int), ``images`` (b, 3, H, W) uint8, flipped at random, and
    ``seeds``, b integers, one for each sample, from which a family draws what else it needs.

    Args:
        images: the training images.
        batch_size: images of a global batch; a multiple of `world_size`.
        seed: of the run.
        start, stop: the steps to yield, `start` included, `stop` not.
        flip: mirror each image left to right with probability 1/2.
        rank, world_size: which process this is, of how many.
    """

    def __init__(
        self,
        images: TrainingImages,
        batch_size: int,
        seed: int,
        *,
        start: int = 0,
        stop: int,
        flip: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self.start, self.stop = start, stop
        self.flip = flip
        self.rank, self.world_size = rank, world_size
        self.order = Order(len(images), seed)

    def batch(self, step: int) -> dict[str, Any]:
        """This rank's part of the batch of a step."""
        places = range(self.rank, self.batch_size, self.world_size)
        images, seeds = zip(*(self._sample(step, place) for place in places), strict=True)
        stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
        return {"step": step, "images": stacked, "seeds": list(seeds)}

    def _sample(self, step: int, place: int) -> tuple[NDArray[np.uint8], int]:
        """The image at a place of the global batch, and the seed of that sample."""
        draws = random_numbers(self.seed, SAMPLE, step, place)
        image = self.images[self.order[step * self.batch_size + place]]
        if self.flip and draws.random() < 0.5:
            image = image[:, ::-1]
        return image, int(draws.integers(2**63))


def batch_loader(stream: BatchStream, workers: int = 0) -> DataLoader[dict[str, Any]]:
    """A loader that yields the batches of `stream` in order, prepared by `workers` processes beside the training."""
    return DataLoader(
        stream, batch_size=None, num_workers=workers, persistent_workers=False, pin_memory=torch.cuda.is_available()
    )


def seeded_noise(seeds: Sequence[int], shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
    """(b, \\*shape) float32 normal numbers, each row from its own one of the b `seeds`.

    They are drawn on `device`, where they are needed: the rows are the same on each device of a kind, not across kinds.
    """
    generator = torch.Generator(device)
    rows = [torch.randn(shape, generator=generator.manual_seed(seed), device=device) for seed in seeds]
    return torch.stack(rows)
