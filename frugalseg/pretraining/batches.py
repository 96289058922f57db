"""The batches of a pretraining: images and seeds, the same however many processes share them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from frugalseg.pretraining.images import TrainingImages
from frugalseg.training.stream import SAMPLE, Order, StepStream, random_numbers


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
        image = self.images.drawn(self.order[step * self.batch_size + place], draws)
        if self.flip and draws.random() < 0.5:
            image = image[:, ::-1]
        return image, int(draws.integers(2**63))
