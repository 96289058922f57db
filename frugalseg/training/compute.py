"""How much arithmetic a training step costs, so that runs of different families can be given equal amounts."""

from contextlib import ExitStack
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class FlopCount(Callback):
    """Counts the floating-point operations of a run's first step, forward and backward, in all processes together.

    Counted are matrix products, convolutions and attention (two operations a multiply-add, as
    `torch.utils.flop_counter.FlopCounterMode` has it), whatever the number format; not what is done to every element.

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
            from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

            # torch 2.11 leaves out the attention of CPUs; newer versions count it just so.
            attention = "_scaled_dot_product_flash_attention_for_cpu"
            mapping = {
                getattr(torch.ops.aten, attention): lambda *s, **_: sdpa_flop_count(*s[:3]),
                getattr(torch.ops.aten, f"{attention}_backward"): lambda *s, **_: sdpa_backward_flop_count(*s[:4]),
            }
            self._counter = self._counting.enter_context(FlopCounterMode(display=False, custom_mapping=mapping))

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
