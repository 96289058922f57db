"""What a family of backbones defines so that it can be trained from scratch."""

from abc import abstractmethod
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from frugalseg.pretraining.settings import CommonSettings, TrainingSettings
from frugalseg.training.averaging import Decay, rising_decay
from frugalseg.training.run_folder import RunFolder
from frugalseg.training.schedules import rate_factor


class PretrainingModule(pl.LightningModule):
    """What a family defines: its loss (`training_step`), its file layout (`export`), its pictures (`draw`).

    The loss may use only the batch, `global_step` and generators seeded from them, so that a continued run repeats
    what an uninterrupted one does.
    """

    settings: CommonSettings
    not_averaged: tuple[str, ...] = ()
    """Attributes that hold networks without averaged weights: the averaged copy has the networks themselves there."""
    skipped = False
    """Whether the last step has changed no weights, and the averages are not to follow either."""

    def __init__(self, settings: CommonSettings, channels_last: bool = False) -> None:
        """Take complete settings (`CommonSettings.chosen_for`).

        Args:
            settings: what is trained.
            channels_last: keep images and weights channels-last in memory.
        """
        super().__init__()
        self.settings = settings
        self.format = torch.channels_last if channels_last else torch.contiguous_format

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the network to the new folder `folder`, as the family's backbone reads it."""

    @abstractmethod
    def draw(self, run: RunFolder, step: int, examples: Tensor) -> None:
        """Save pictures of what the network has learnt.

        Args:
            run: its `pictures` is the place.
            step: of the training; goes into the name.
            examples: (N, 3, H, W) float32 in [0, 1], some of the training images at their stored size.
        """

    def compile_network(self) -> None:
        """Compile the network in place; nothing by default."""

    def step_kind(self, step: int) -> Hashable:
        """What tells steps apart that do different work; steps of one kind do as many operations. Alike by default."""
        return None

    def averaging_decay(self) -> Decay:
        """The decay of the averaged weights."""
        return rising_decay(self.one_optimizer.ema_decay)

    def gradient_clip(self) -> float | None:
        """The largest norm of all gradients together, to which the trainer clips them."""
        return self.one_optimizer.gradient_clip

    @property
    def one_optimizer(self) -> TrainingSettings:
        """The settings, of a training with one optimizer."""
        assert isinstance(self.settings, TrainingSettings)
        return self.settings

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine decay; betas as in EDM2 (Karras et al. 2024): short memory for short runs."""
        settings = self.one_optimizer
        weights = (p for p in self.parameters() if p.requires_grad)
        # Not fused: Lightning cannot clip the gradients of fused optimizers under mixed precision. Many tensors at once
        # on any device.
        optimizer = torch.optim.AdamW(
            weights, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, foreach=True
        )
        return self.with_warm_up(optimizer)

    def with_warm_up(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """What Lightning takes for an optimizer whose learning rate warms up and then decays as a cosine."""
        settings = self.one_optimizer
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_factor(step, settings.steps, settings.warmup_steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
