"""Which pixels each member of the ensemble sees, and when: streams of batches that depend on the step alone.

Nothing here has a state that matters: batch `step` of member `member` follows from the seed, so a run resumes anywhere,
and a member sees the same batches whichever members train beside it.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frugalseg.classifier.ensemble import member_generator

# Shapes: N pixels in all, D feature length, A members that still train, P pixels of a pool, b pixels of a batch.


class PixelSource(Protocol):
    """Labelled pixels of many images and their features."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64 class positions."""

    @property
    def dim(self) -> int:
        """D, length of a pixel's feature vector."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each feature map; their sum is D."""

    def __len__(self) -> int:
        """N."""

    def features(self, index: Tensor) -> Tensor:
        """(n, D) float32 features of the pixels `index` (n,) int64: a new tensor, which the caller may overwrite."""


class Gathered:
    """All pixels of a source with their features in memory: for whoever reads each of them many times.

    Args:
        pixels: whose features are read once, here.
    """

    def __init__(self, pixels: PixelSource) -> None:
        self.labels, self.dim, self.channels = pixels.labels, pixels.dim, pixels.channels
        self._features = pixels.features(torch.arange(len(pixels)))

    def __len__(self) -> int:
        return len(self.labels)

    def features(self, index: Tensor) -> Tensor:
        """See `PixelSource.features`."""
        return self._features[index]


class Batches(Protocol):
    """A stream of batches."""

    steps_per_epoch: int

    def batch(self, step: int, members: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Batch `step` (0, 1, ...) of some members: prepared features (A, b, D) and labels (A, b) int64."""


class Orders:
    """Each member's shuffled order of `length` rows, another one for each walk over them."""

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed = length, seed
        self._known: dict[int, tuple[int, Tensor]] = {}

    def __call__(self, member: int, walk: int) -> Tensor:
        """(length,) int64; only a member's latest order is kept."""
        known = self._known.get(member)
        if known is None or known[0] != walk:
            known = walk, torch.randperm(self.length, generator=member_generator(self.seed, member, 1, walk))
            self._known[member] = known
        return known[1]


class OwnPermutations:
    """As published: every member walks all pixels in its own order, another each epoch; an epoch's rest is dropped."""

    def __init__(self, pixels: PixelSource, batch_size: int, seed: int, prepare: Callable[[Tensor], Tensor]) -> None:
        """
        Args:
            pixels: all of them.
            batch_size: b, no larger than the pixels there are.
            seed: of the run.
            prepare: applied to gathered features (n, D): where they train, in which dtype, standardised or not.
        """
        self.pixels, self.prepare = pixels, prepare
        self.batch_size = min(batch_size, len(pixels))
        self.steps_per_epoch = len(pixels) // self.batch_size
        self.orders = Orders(len(pixels), seed)

    def batch(self, step: int, members: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See `Batches.batch`."""
        epoch, place = divmod(step, self.steps_per_epoch)
        rows = slice(place * self.batch_size, (place + 1) * self.batch_size)
        index = torch.stack([self.orders(member, epoch)[rows] for member in members])
        features = self.prepare(self.pixels.features(index.flatten()))
        return features.unflatten(0, index.shape), self.pixels.labels[index].to(features.device)


class SharedPools:
    """Pools of pixels gathered once for all members; every member draws its own shuffled batches from each pool.

    Gathering features is what a small network waits for, so a pool of P pixels is gathered once, serves all members,
    and is walked `passes` times by each.
    """

    def __init__(
        self,
        pixels: PixelSource,
        batch_size: int,
        seed: int,
        prepare: Callable[[Tensor], Tensor],
        *,
        size: int,
        passes: int,
        class_balance: float,
    ) -> None:
        """
        Args:
            pixels: where to draw from.
            batch_size: b, no larger than a pool.
            seed: of the run.
            prepare: applied to gathered features (P, D): where they train, in which dtype, standardised or not.
            size: P, no larger than the pixels there are.
            passes: how often a member walks a pool.
            class_balance: 0 draws every pixel with equal chance, 1 every class; between, a pixel of a class of n pixels
                has weight ``n ** -class_balance``.
        """
        self.pixels, self.seed, self.prepare = pixels, seed, prepare
        self.passes, self.class_balance = passes, class_balance
        self.size = min(size, len(pixels))
        self.batch_size = min(batch_size, self.size)
        self.steps_per_epoch = self.size // self.batch_size
        self.orders = Orders(self.size, seed)
        by_class = torch.argsort(pixels.labels.to(torch.uint8), stable=True).numpy().astype(np.int32)
        counts = torch.bincount(pixels.labels).numpy()
        self._rows_of_class = [rows for rows in np.split(by_class, np.cumsum(counts)[:-1]) if len(rows)]
        self._pool: tuple[int, Tensor, Tensor] | None = None

    def batch(self, step: int, members: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See `Batches.batch`."""
        walk, place = divmod(step, self.steps_per_epoch)
        features, labels = self.pool(walk // self.passes)
        rows = slice(place * self.batch_size, (place + 1) * self.batch_size)
        index = torch.stack([self.orders(member, walk)[rows] for member in members]).to(features.device)
        return features.index_select(0, index.flatten()).unflatten(0, index.shape), labels[index]

    def pool(self, number: int) -> tuple[Tensor, Tensor]:
        """Prepared features (P, D) and labels (P,) of pool 0, 1, ..."""
        if self._pool is None or self._pool[0] != number:
            self._pool = None  # let go of the old one before the new one is gathered
            index = torch.from_numpy(self.draw(number))
            features = self.prepare(self.pixels.features(index))
            self._pool = number, features, self.pixels.labels[index].to(features.device)
        return self._pool[1], self._pool[2]

    def draw(self, number: int) -> NDArray[np.int64]:
        """(P,) which pixels pool `number` holds; a pixel occurs twice only where its class has too few."""
        rng = np.random.default_rng((self.seed, 2, number))
        if self.class_balance == 0:
            return rng.choice(len(self.pixels), self.size, replace=False, shuffle=False)
        sizes = np.array([len(rows) for rows in self._rows_of_class], np.float64)
        share = sizes ** (1 - self.class_balance)
        quota = rng.multinomial(self.size, share / share.sum())
        drawn = [
            rows[rng.choice(len(rows), n, replace=bool(n > len(rows)), shuffle=False)]
            for rows, n in zip(self._rows_of_class, quota, strict=True)
        ]
        return np.concatenate(drawn).astype(np.int64)
