"""The exponential moving average of the weights that every pretraining hands out as its result."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from frugalseg.support.errors import InputError


class AveragedWeights(WeightAveraging):
    """An exponential moving average whose memory grows from nothing to 1 / (1 - decay) steps.

    After n updates the decay is ``min(decay, (1 + n) / (10 + n))``, so that the random weights of the beginning are
    forgotten at once, also in runs that are short for the decay.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(use_buffers=False, multi_avg_fn=ema_update(decay))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make the copy where the training will be.

        Lightning calls this before it moves the module to its GPU: a copy beside the module would stay on the CPU, and
        cost a transfer of all weights in every step and pictures drawn there.
        """
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take up a saved average; where there is none, Lightning would go on with another one in silence."""
        missing = [key for key in ("current_model_state", "averaging_state") if key not in checkpoint]
        if missing:
            raise InputError(f"no {missing[0]}")
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
        if self._average_model is not None and int(self._average_model.n_averaged) < 0:
            raise InputError("a negative number of averaged weights")

    @property
    def average(self) -> Any:
        """The averaged copy of the LightningModule; exists while `Trainer.fit` runs."""
        if self._average_model is None:
            raise RuntimeError("there is no average before the training begins")
        return self._average_model.module


def ema_update(decay: float) -> Any:
    """The update of all averaged weights, as `torch.optim.swa_utils.AveragedModel` calls it.

    Args:
        decay: of the average, once it is warm; 0 keeps the current weights, 1 the first.
    """

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], updates: Tensor | int) -> None:
        n = int(updates)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update
