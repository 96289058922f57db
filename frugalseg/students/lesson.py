"""What a student learns from a batch: its loss and its optimizer. All randomness comes from the seed and the step."""

from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from frugalseg.students.augmentation import Augmentation, augment
from frugalseg.students.loss import segmentation_loss
from frugalseg.students.network import StudentNetwork
from frugalseg.students.settings import StudentSettings, one_cycle
from frugalseg.training.stream import STEP, random_numbers

MILD = Augmentation(scale=(0.8, 1.25), stretch=0.1, rotation=10.0, shift=0.1, flip=False, color=0.25)
"""Labelled samples are many: changes that make new images of them need not be strong."""
MIRRORED = Augmentation(scale=(1, 1), stretch=0, rotation=0, shift=0, flip=True, color=0)
"""Half of the images mirrored, and nothing else."""


def changes_of(settings: StudentSettings) -> Augmentation | None:
    """How the training images may be changed; None where they stay as they are."""
    if settings.augment:
        return replace(MILD, flip=settings.mirror)
    return MIRRORED if settings.mirror else None


class Lesson(pl.LightningModule):
    """The loss of a batch and the optimizer.

    Args:
        network: is trained.
        settings: of the training.
        steps: of the whole training, for the learning rate.
    """

    def __init__(self, network: StudentNetwork, settings: StudentSettings, steps: int) -> None:
        super().__init__()
        self.network = network
        self.settings = settings
        self.steps = steps
        self.changes = changes_of(settings)

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        """The loss of a batch; see `SampleStream`."""
        seed = int(random_numbers(self.settings.seed, STEP, batch["step"]).integers(2**63))
        images, targets = batch["images"], batch["targets"]
        if self.changes is not None:
            images, targets = augment(images, targets, self.changes, torch.Generator().manual_seed(seed))
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)  # of dropout
            logits = self.network(images.contiguous(memory_format=self.memory_format))
        return segmentation_loss(logits.float(), targets, self.settings.dice)

    @property
    def memory_format(self) -> torch.memory_format:
        """Of images and weights: channels last on GPUs, which like it."""
        return torch.channels_last if self.device.type == "cuda" else torch.contiguous_format

    def on_fit_start(self) -> None:
        """Weights in the memory format of the device."""
        self.network.train().to(memory_format=self.memory_format)

    def configure_optimizers(self) -> Any:
        """AdamW (Adam where nothing decays), with one cycle of the learning rate where it is asked for."""
        settings = self.settings
        optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        if not settings.one_cycle:
            return optimizer
        steps, rising = one_cycle(self.steps)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, settings.learning_rate, total_steps=steps, pct_start=rising
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
