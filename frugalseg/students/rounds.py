"""The rounds of a student's training: after each it meets the validation images, and everything is saved."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from frugalseg.data.example import Example
from frugalseg.students.settings import Schedule
from frugalseg.students.student import Student
from frugalseg.support.errors import InputError
from frugalseg.support.saved_states import require_alike
from frugalseg.training.alarm import Alarm
from frugalseg.training.log import TrainingLog
from frugalseg.training.state import save_state

log = logging.getLogger("frugalseg")


@dataclass(frozen=True)
class Round:
    """One part of a training, and what the student could do after it.

    Attributes:
        step: that closed it.
        loss: mean over its steps.
        miou: on the validation images, usual convention.
    """

    step: int
    loss: float
    miou: float


class Rounds(pl.Callback):
    """Meets the validation images after each round, and keeps the weights of the best. Part of the saved state.

    Args:
        student: is trained, and evaluated as it is.
        validation: annotated images in the student's class positions.
        schedule: says where rounds end.
        batch_size: images that are segmented at a time on a GPU.

    Attributes:
        done: the rounds so far.
        best: weights after the first of the rounds with the highest mIoU, on the CPU.
    """

    def __init__(self, student: Student, validation: Sequence[Example], schedule: Schedule, batch_size: int) -> None:
        self.student = student
        self.validation = validation
        self.schedule = schedule
        self.batch_size = batch_size if student.device.type == "cuda" else 1
        self.done: list[Round] = []
        self.best: dict[str, Tensor] = {}
        self._losses: list[Tensor] = []

    @property
    def state_key(self) -> str:
        """Its name in saved states."""
        # As earlier versions wrote it: their trainings go on.
        return "_Rounds"

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        """Evaluate where a round ends."""
        self._losses.append(outputs["loss"].detach())
        if self.schedule.round_ended(trainer.global_step) is None:
            return
        loss = float(torch.stack(self._losses).mean())
        self._losses.clear()
        miou = self._evaluate()
        if not self.done or miou > max(each.miou for each in self.done):
            weights = self.student.network.state_dict()
            self.best = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in weights.items()}
        self.done.append(Round(trainer.global_step, loss, miou))
        trainer.logger.log_metrics({"validation_miou": miou}, trainer.global_step)
        log.info("round %s of %s  validation mIoU %.4f", len(self.done), self.schedule.rounds, miou)

    def _evaluate(self) -> float:
        """The student's mIoU on the validation images."""
        self.student.network.eval()
        evaluation = self.student.evaluate(self.validation, batch_size=self.batch_size)
        self.student.network.train()
        return evaluation.confusion.miou()

    def state_dict(self) -> dict[str, Any]:
        """What a continued training needs."""
        losses = torch.stack(self._losses).tolist() if self._losses else []
        return {"done": [vars(each) for each in self.done], "best": self.best, "losses": losses}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`; raises `InputError` where it is none of this network."""
        own = self.student.network.state_dict()
        require_alike(state_dict["done"], [vars(Round(0, 0.0, 0.0))] * len(state_dict["done"]), "rounds")
        require_alike(state_dict["best"], own, "best")
        if state_dict["done"] and state_dict["best"].keys() != own.keys():
            raise InputError("best is of another network")
        losses = state_dict.get("losses", [])  # earlier versions kept none
        require_alike(losses, [0.0] * len(losses), "losses")
        self.done = [Round(**each) for each in state_dict["done"]]
        self.best = state_dict["best"]
        self._losses = [torch.tensor(each, device=self.student.device) for each in losses]


class StateKeeper(pl.Callback):
    """Saves everything after each round and every few minutes; must stand last, to save what the others did.

    Args:
        path: of the state.
        schedule: says where rounds end.
        minutes: how often the state is saved within a round.
        training_log: knows whether the loss is still finite.
    """

    def __init__(self, path: Path, schedule: Schedule, minutes: float, training_log: TrainingLog) -> None:
        self.path = path
        self.schedule = schedule
        self.alarm = Alarm(None, minutes)
        self.training_log = training_log

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Save where it is due."""
        if self.alarm.due(trainer) or self.schedule.round_ended(trainer.global_step):
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Write the state; raises `WorkError` where the loss is no longer finite."""
        self.training_log.require_finite(trainer)
        save_state(trainer, self.path)
