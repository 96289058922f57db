"""The exponential moving average of the weights that every pretraining hands out as its result."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from frugalseg.support.errors import InputError

Decay = Callable[[int], float]
"""The decay of an average after so many updates."""

EMA_RAMP = 0.05
"""The half-life of an average by images is at most this share of the images seen so far (StyleGAN2-ADA)."""


class AveragedWeights(WeightAveraging):
    """An exponential moving average of the weights of a module; its buffers are copied.

    A module may name networks as `not_averaged`: the copy has the very same networks there. It may also say that a
    step was `skipped`, which the average then leaves out.
    """

    def __init__(self, decay: Decay) -> None:
        """`decay`: such as `rising_decay` or `half_life_decay` gives."""
        super().__init__(use_buffers=False, multi_avg_fn=ema_update(decay))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make the copy where the training will be.

        Lightning calls this before it moves the module to its GPU: a copy beside the module would stay on the CPU, and
        cost a transfer of all weights in every step and pictures drawn there.
        """
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)
        for name in getattr(pl_module, "not_averaged", ()):
            setattr(self.average, name, getattr(pl_module, name))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        """Follow the weights of a step that was not skipped."""
        if not getattr(pl_module, "skipped", False):
            super().on_train_batch_end(trainer, pl_module, *rest)

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


def rising_decay(decay: float) -> Decay:
    """After n updates ``min(decay, (1 + n) / (10 + n))``: the memory grows from nothing to 1 / (1 - decay) steps.

    The random weights of the beginning are forgotten at once, also in runs that are short for the decay.

    Args:
        decay: of the average, once it is warm; 0 keeps the current weights, 1 the first.
    """
    return lambda updates: min(decay, (1 + updates) / (10 + updates))


def half_life_decay(images: int, batch_size: int) -> Decay:
    """A decay that halves the share of weights after so many `images`, at first after fewer (`EMA_RAMP`).

    Args:
        images: the half-life.
        batch_size: images of an update.
    """

    def decay(updates: int) -> float:
        half_life = min(images, EMA_RAMP * (updates + 1) * batch_size)
        return float(0.5 ** (batch_size / half_life))

    return decay


def ema_update(decay: Decay) -> Any:
    """The update of all averaged weights, as `torch.optim.swa_utils.AveragedModel` calls it."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], updates: Tensor | int) -> None:
        torch._foreach_lerp_(averaged, current, 1 - decay(int(updates)))

    return update
