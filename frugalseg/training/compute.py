"""How much arithmetic a training step costs, so that runs of different families can be given equal amounts."""

from contextlib import ExitStack
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from frugalseg.support.flops import flop_counter


class FlopCount(Callback):
    """Counts the floating-point operations of a run's first step, forward and backward, in all processes together.

    What is counted, `frugalseg.support.flops.flop_counter` says.

    Attributes:
        step_flops: operations of a step; None before the first one, or where counting is off.
    """

    def __init__(self, known: int | None = None, enabled: bool = True) -> None:
        """Take over what an earlier part of the run has counted; `enabled`: whether to count otherwise."""
        self.step_flops = known
        self.enabled = enabled
        self._counter: Any = None
        self._counting = ExitStack()

    def on_train_batch_start(self, *_: Any) -> None:
        """Begin to count in the first step."""
        if self.enabled and self.step_flops is None:
            self._counter = self._counting.enter_context(flop_counter())

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """End it."""
        if self._counter is not None:
            self._counting.close()
            self.step_flops = int(self._counter.get_total_flops()) * trainer.world_size
            self._counter = None

    def on_exception(self, *_: Any) -> None:
        """Stop counting where the first step fails."""
        self._counting.close()
        self._counter = None
