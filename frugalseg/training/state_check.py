"""Whether a saved state is one of the training that takes it up: compared before anything is trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from frugalseg.support.errors import InputError
from frugalseg.support.saved_states import require_alike, require_optimizer, require_schedule
from frugalseg.training.state import SavedState

NO_DAMAGE = (OSError, MemoryError, torch.OutOfMemoryError)
"""Errors that say nothing of the state: a disk or a device that fails or is full."""


class StateCheck(Callback):
    """Compares the state that a training takes up with its own; must stand first in the trainer's list.

    Lightning compares the names and shapes of the weights alone, and other damage would end in a traceback.

    Args:
        state: what is taken up.
    """

    def __init__(self, state: SavedState) -> None:
        self.state = state
        self.reading = False
        self._content: dict[str, Any] = {}
        self._step = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within the block, which trains, what fails while the state is read is `DamagedError`."""
        try:
            yield
        except NO_DAMAGE:
            raise
        except Exception:
            if not self.reading:
                raise
            with self.state.read():
                raise

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """From here on the state is read."""
        self.reading = True

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Compare what the callbacks will take up; the weights have been taken up."""
        self._content = checkpoint
        require_alike(self._content["global_step"], 0, "global_step")
        self._step = self._content["global_step"]
        for callback in trainer.callbacks:
            fresh = callback.state_dict()
            if fresh:
                require_alike(self._content["callbacks"].get(callback.state_key), fresh, callback.state_key)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare what the optimizers, schedules and loops will take up."""
        content, self._content = self._content, {}
        optimizers, schedules = content["optimizer_states"], content["lr_schedulers"]
        if (len(optimizers), len(schedules)) != (len(trainer.optimizers), len(trainer.lr_scheduler_configs)):
            raise InputError("other optimizers")
        for found, optimizer in zip(optimizers, trainer.optimizers, strict=True):
            require_optimizer(found, optimizer, "optimizer")
        for found, config in zip(schedules, trainer.lr_scheduler_configs, strict=True):
            require_schedule(found, config.scheduler.state_dict(), "schedule")
        require_alike(content["loops"]["fit_loop"], trainer.fit_loop.state_dict(), "loops")
        plugin = trainer.precision_plugin
        require_alike(content.get(type(plugin).__qualname__, {}), plugin.state_dict(), "precision")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The state has been taken up."""
        self._end(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """It has been, too, where no step was left."""
        self._end(trainer)

    def _end(self, trainer: Trainer) -> None:
        if self.reading and trainer.global_step != self._step:
            raise InputError(f"of step {self._step} by one of its parts, of {trainer.global_step} by another one")
        self.reading = False
