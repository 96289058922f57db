"""How much arithmetic a training step costs, so that runs of different families can be given equal amounts."""

from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from frugalseg.support.flops import flop_counter


class FlopCount(Callback):
    """Counts the floating-point operations of a run's steps, forward and backward, in all processes together.

    One step of each kind is counted, the first one, and the others are taken to be like it. What is counted,
    `frugalseg.support.flops.flop_counter` says.

    Attributes:
        step_flops: operations of a step, the mean over all steps so far; None before the first one, or where counting
            is off.
        planned_flops: operations of the whole training; None until steps of all kinds that are left were seen.
    """

    def __init__(
        self,
        kind: Callable[[int], Hashable],
        known: int | None = None,
        *,
        steps_before: int = 0,
        enabled: bool = True,
    ) -> None:
        """Take over what an earlier part of the run has counted.

        Args:
            kind: tells steps apart that do different work; None for all where they are alike.
            known: `step_flops` of an earlier part.
            steps_before: the steps of that part.
            enabled: whether to count what is not known.
        """
        self.kind = kind
        self.step_flops = known
        self.planned_flops: int | None = None
        self.enabled = enabled
        self._of_kind: dict[Hashable, int] = {} if known is None else {None: known}
        self._steps, self._total = (0, 0) if known is None else (steps_before, known * steps_before)
        self._before = self._total
        self._planned: Counter[Hashable] = Counter()
        self._ahead: set[Hashable] = set()
        self._seen: set[Hashable] = set()
        self._counter: Any = None
        self._counting = ExitStack()

    @property
    def others_ahead(self) -> bool:
        """Whether steps of a kind that has not come yet are planned, so that the time of a step will change."""
        return not self._ahead <= self._seen

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look ahead at the kinds of all steps, but for those that were counted in an earlier part."""
        self._planned = Counter(map(self.kind, range(self._steps, trainer.max_steps)))
        self._ahead = set(map(self.kind, range(trainer.global_step, trainer.max_steps)))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Begin to count in the first step of a kind."""
        self._current = self.kind(trainer.global_step)
        self._seen.add(self._current)
        if self.enabled and self._current not in self._of_kind:
            self._counter = self._counting.enter_context(flop_counter())

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """End it."""
        if self._counter is not None:
            self._counting.close()
            self._of_kind[self._current] = int(self._counter.get_total_flops()) * trainer.world_size
            self._counter = None
        if self._current in self._of_kind:
            self._steps += 1
            self._total += self._of_kind[self._current]
            self.step_flops = round(self._total / self._steps)
        if self.planned_flops is None and self._planned.keys() <= self._of_kind.keys():
            ahead = sum(self._of_kind[kind] * steps for kind, steps in self._planned.items())
            self.planned_flops = self._before + ahead

    def on_exception(self, *_: Any) -> None:
        """Stop counting where a step fails."""
        self._counting.close()
        self._counter = None
