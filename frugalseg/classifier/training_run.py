"""One joint training: which member learns which batch, and when each of them stops."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from frugalseg.classifier.batches import PixelSource
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.history import TrainingHistory, TrainingProgress
from frugalseg.classifier.members import ActiveMembers
from frugalseg.classifier.preparation import batches_of, preparation, sample
from frugalseg.classifier.protocol import TrainingProtocol

# Shapes: A members that still train.


class TrainingRun:
    """The state of one joint training.

    Args:
        classifier: all members with their initial weights, in training mode.
        numbers: of its members in the whole ensemble.
        protocol: how they train.
        pixels: what they learn.
        validation: held-out pixels, for protocols that watch them.
        seed: of everything random.
        precision: see `train_ensemble`.

    Attributes:
        members: those that still train.
        best, misses: (A,) each active member's best watched loss, and how often in a row it was missed.
        step, steps: batches done, and batches at most.
        history: what has happened so far.
    """

    def __init__(
        self,
        classifier: PixelClassifier,
        numbers: tuple[int, ...],
        protocol: TrainingProtocol,
        pixels: PixelSource,
        validation: PixelSource | None,
        seed: int,
        precision: torch.dtype,
    ) -> None:
        self.classifier, self.numbers, self.protocol = classifier, numbers, protocol
        prepare = preparation(classifier, protocol)
        self.batches = batches_of(pixels, protocol, seed, prepare)
        self.held_out = None
        if validation is not None and protocol.watch == "validation":
            index = sample(validation, seed)
            self.held_out = prepare(validation.features(index)), validation.labels[index].to(classifier.device)
        self.step, self.steps = 0, protocol.steps or (protocol.epochs or 0) * self.batches.steps_per_epoch
        self.history = TrainingHistory([0] * len(numbers))
        self.best = torch.full((len(numbers),), math.inf, dtype=torch.float32, device=classifier.device)
        self.misses = torch.zeros_like(self.best, dtype=torch.int64)
        self.members = ActiveMembers(classifier, protocol, precision if precision.itemsize < 4 else None)

    @property
    def done(self) -> bool:
        """Whether no member trains any more."""
        return len(self.members) == 0

    def advance(self) -> TrainingProgress:
        """One batch of every active member."""
        numbers = tuple(self.numbers[place] for place in self.members.places)
        rate = self.protocol.rate(self.step, self.steps)
        losses = self.members.learn(*self.batches.batch(self.step, numbers), rate)
        self.step += 1
        self._stop_where_patience_ends(losses)
        if self.step == self.steps:
            self._retire(range(len(self.members)))
        loss = float(losses.mean())
        if self.step % max(1, self.steps // 200) == 0 or self.done:
            self.history.losses.append((self.step, loss))
        return TrainingProgress(self.step, self.steps, numbers, loss)

    def _stop_where_patience_ends(self, losses: Tensor) -> None:
        """Compare each member's watched loss with its best, and retire the members whose patience ends.

        Args:
            losses: (A,) of the batch just learnt.
        """
        watched = self._watched(losses)
        if watched is None or self.protocol.patience is None:
            return
        better = watched < self.best
        self.best = torch.where(better, watched, self.best)
        self.misses = torch.where(better, 0, self.misses + 1)
        if self.held_out is not None:
            self.members.keep(better.nonzero().flatten().tolist())
        stopping = (self.misses > self.protocol.patience).nonzero().flatten().tolist()
        if stopping:
            self._retire(stopping)

    def _watched(self, losses: Tensor) -> Tensor | None:
        """The losses (A,) that patience looks at after this batch; None where it does not look."""
        protocol, epoch = self.protocol, (self.step - 1) // self.batches.steps_per_epoch
        if protocol.patience is None or epoch < protocol.patience_from_epoch:
            return None
        if protocol.watch == "batch":
            return losses
        if self.held_out is None or self.step % protocol.watch_every:
            return None
        return self.members.validate(*self.held_out)

    def _retire(self, which: Iterable[int]) -> None:
        """Some active members (numbers from 0 to below A) leave the computation; the others go on."""
        leaving = list(which)
        self.members.keep([i for i in leaving if self.held_out is None or self.best[i].isinf()])
        for i in leaving:
            self.history.stopped_at[self.members.places[i]] = self.step
        staying = [i for i in range(len(self.members)) if i not in set(leaving)]
        self.members.go_on_with(staying)
        self.best, self.misses = self.best[staying], self.misses[staying]
