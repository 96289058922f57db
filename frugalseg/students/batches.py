"""Which samples belong to a training step, and how they come to one size: a function of the seed and the step alone."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from frugalseg.data.classes import NOT_ANNOTATED
from frugalseg.data.example import Example
from frugalseg.features.sizes import Size
from frugalseg.features.windows import Window, cut, fitted_size
from frugalseg.training.stream import SAMPLE, Order, StepStream, random_numbers

PROBED = 64
LONGEST_SIDE = 512
"""A training image's longest side, where nobody asks for another."""


def chosen_size(samples: Sequence[Example], stride: int, wanted: Size | None) -> Size:
    """(h, w) of a training image: as wanted, or the most frequent among some samples, at most `LONGEST_SIDE`; each
    side rounded to a multiple of `stride`."""
    height, width = wanted or most_frequent_size(samples)
    shrink = 1.0 if wanted else min(1.0, LONGEST_SIDE / max(height, width))
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    return fitted_size(size, size, stride)  # the same size, in multiples of the stride


def most_frequent_size(samples: Sequence[Example]) -> Size:
    """(H, W) that most of some samples have, spread evenly; from their headers where the samples know how."""
    count = min(PROBED, len(samples))
    places = [i * len(samples) // count for i in range(count)]
    header = getattr(samples, "size", None)
    sizes = [header(i) if header else samples[i].target.shape for i in places]
    (height, width), _ = Counter(sizes).most_common(1)[0]
    return int(height), int(width)


class SampleStream(StepStream):
    """The batches of some steps: every sample once a pass, each pass in another order, batches always full.

    A batch is a dict of ``step`` (int), ``images`` (B, 3, h, w) float32 in [0, 1] and ``targets`` (B, h, w) int64 class
    positions, 255 = not annotated.

    Args:
        samples: annotated images of any sizes.
        size: (h, w) of the batches.
        stride: of the network.
        batch_size: images a batch.
        seed: of order and crops.
        tile: crop images at their own resolution rather than resizing them.
        start, stop: the steps to yield, `start` included, `stop` not.
    """

    def __init__(
        self,
        samples: Sequence[Example],
        size: Size,
        stride: int,
        *,
        batch_size: int,
        seed: int,
        tile: bool = False,
        start: int = 0,
        stop: int,
    ) -> None:
        self.samples = samples
        self.size = size
        self.stride = stride
        self.batch_size = batch_size
        self.seed = seed
        self.tile = tile
        self.start, self.stop = start, stop
        self.order = Order(len(samples), seed)

    def batch(self, step: int) -> dict[str, Any]:
        """The batch of a step."""
        images, targets = zip(*(self.sample(step, place) for place in range(self.batch_size)), strict=True)
        return {"step": step, "images": torch.stack(images), "targets": torch.stack(targets)}

    def sample(self, step: int, place: int) -> tuple[Tensor, Tensor]:
        """Image (3, h, w) and target (h, w) at a place of a batch."""
        example = self.samples[self.order[step * self.batch_size + place]]
        shape = (example.target.shape[0], example.target.shape[1])
        seen = shape if self.tile else fitted_size(shape, self.size, self.stride)
        image = cut(example.image, Window(0, 0, shape, seen))
        draws = random_numbers(self.seed, SAMPLE, step, place)
        return cropped(image, resized_target(example, seen), self.size, draws)


def resized_target(example: Example, size: Size) -> Tensor:
    """(h, w) int64, nearest values."""
    values = torch.from_numpy(np.ascontiguousarray(example.target))
    if values.shape == size:
        return values.long()
    return F.interpolate(values[None, None].float(), size, mode="nearest-exact")[0, 0].long()


def cropped(image: Tensor, target: Tensor, size: Size, draws: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A random part of an image (3, H, W) and its target (H, W) of `size`; what lies beyond is not annotated."""
    height, width = target.shape
    top, left = (int(draws.integers(0, max(0, have - want) + 1)) for have, want in zip(target.shape, size, strict=True))
    image, target = (values[..., top : top + size[0], left : left + size[1]] for values in (image, target))
    missing = (0, max(0, size[1] - width), 0, max(0, size[0] - height))
    if any(missing):
        image = F.pad(image[None], missing, mode="replicate")[0]
        target = F.pad(target, missing, value=NOT_ANNOTATED)
    return image, target
