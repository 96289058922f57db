"""What a training tells while it runs: loss, learning rate and speed, and that its loss is no longer a number."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from frugalseg.support.errors import InputError, WorkError
from frugalseg.support.progress import Progress, note
from frugalseg.training.gradients import averaged

FIRST_LINE, FIRST_SECONDS = 10, 20.0
"""The first line comes after so many steps, or with the first step after so many seconds: a rate is soon known."""
NOTED_SECONDS = 10.0
"""Between two notes beside the progress bar, where lines of the log are further apart."""


@dataclass(frozen=True)
class Reading:
    """How a training went since the reading before.

    Attributes:
        step, steps: the step that was reached, of how many.
        loss: mean over the steps since the last line that was due, and over the processes.
        learning_rate: of the next step.
        images_per_second: over all processes.
        seconds_left: until the last step, at that speed.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    images_per_second: float
    seconds_left: float

    def metrics(self) -> dict[str, float]:
        """What TensorBoard shows."""
        return {name: getattr(self, name) for name in ("loss", "learning_rate", "images_per_second")}

    def line(self, further: str = "") -> str:
        """A line of the log; `further` stands behind the loss."""
        return (
            f"step {self.step}/{self.steps}  loss {self.loss:.5f}  {further}lr {self.learning_rate:.2e}  "
            f"{self.images_per_second:.1f} images/s  {duration(self.seconds_left)} left"
        )

    def note(self) -> str:
        """What stands beside the progress bar."""
        return noted(self.images_per_second, self.loss)


def noted(images_per_second: float, loss: float) -> str:
    """What stands beside the progress bar."""
    return f"{images_per_second:.1f} images/s, loss {loss:.4f}"


class TrainingLog(Callback):
    """Loss, learning rate and speed: to a log, to TensorBoard, and to whoever shows the progress.

    Args:
        stage: what the progress calls the training.
        batch_size: images of a step, over all processes.
        due: whether a line is due after so many steps; there is one after the last step, and an early first one.
        say: takes a line of the log.
        progress: told of each step.

    Attributes:
        reading: the last one; None before the first.
    """

    def __init__(
        self,
        stage: str,
        batch_size: int,
        due: Callable[[int], object],
        say: Callable[[str], None],
        progress: Progress,
    ) -> None:
        self.stage = stage
        self.batch_size = batch_size
        self.due = due
        self.say = say
        self.progress = progress
        self.reading: Reading | None = None
        self._losses: list[Tensor] = []
        self._taken_up: list[float] = []

    def state_dict(self) -> dict[str, Any]:
        """The losses since the last line that was due, so that those of a continued training tell of the same steps."""
        return {"losses": averaged(torch.stack(self._losses)).tolist()} if self._losses else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`; raises `InputError` where it holds something else."""
        losses = state_dict["losses"]
        if not all(type(each) is float and math.isfinite(each) for each in losses):
            raise InputError("losses that are no numbers")
        self._taken_up = losses

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks."""
        self._losses = [torch.tensor(each, device=pl_module.device) for each in self._taken_up]
        # That of `time.monotonic` ticks 64 times a second on Windows, where many steps would take no time at all.
        self.start = self._line_time = self._noted = time.perf_counter()
        self.first_step = self._line_step = trainer.global_step
        if trainer.is_global_zero:
            self.say(f"begin at step {trainer.global_step} of {trainer.max_steps}, {trainer.world_size} process(es)")

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Take the loss in, unless the module says that it `skipped` the step; write a line where one is due."""
        if not getattr(pl_module, "skipped", False):
            self._losses.append(outputs["loss"].detach().float())
        step = trainer.global_step
        if self.due(step) or step >= trainer.max_steps or self._first_due(trainer):
            self._write(trainer)
        elif step - self.first_step == 1:
            # The first step also sets things up: it would make the first rate too low.
            self._line_time, self._line_step = time.perf_counter(), step
        if trainer.is_global_zero:
            self._note(step)
            self.progress(self.stage, step, trainer.max_steps)

    def _first_due(self, trainer: Trainer) -> bool:
        """Whether it is time for the first line, the same answer in all processes."""
        done = trainer.global_step - self.first_step
        if self.reading is not None or done >= FIRST_LINE:
            return self.reading is None
        late = time.perf_counter() - self.start >= FIRST_SECONDS
        return bool(trainer.strategy.broadcast(late)) if trainer.world_size > 1 else late

    def require_finite(self, trainer: Trainer) -> None:
        """Raise `WorkError` where a loss since the last line is infinite or not a number.

        It is raised in all processes, because each would wait for ever for one that stops alone.
        """
        finite = not self._losses or bool(torch.stack(self._losses).isfinite().all())
        if not trainer.strategy.reduce_boolean_decision(finite):
            raise WorkError(
                f"the loss is no longer finite at step {trainer.global_step}; "
                "begin again with a lower learning rate, or with bf16 or fp32 instead of fp16"
            )

    def _note(self, step: int) -> None:
        """Note the speed and the loss of this process since the last line, now and then."""
        now, done = time.perf_counter(), step - self._line_step
        if now - max(self._noted, self._line_time) < NOTED_SECONDS or done < 1 or not self._losses:
            return
        self._noted = now
        loss = float(torch.stack(self._losses).mean())
        note(self.progress, self.stage, noted(self.batch_size * done / (now - self._line_time), loss))

    def _write(self, trainer: Trainer) -> None:
        self.require_finite(trainer)
        if not self._losses:
            if trainer.is_global_zero:
                self.say(
                    f"step {trainer.global_step}/{trainer.max_steps}  all steps since the line before were skipped"
                )
            return
        reading = self.reading = self._read(trainer)
        if trainer.is_global_zero:
            trainer.logger.log_metrics(reading.metrics(), trainer.global_step)
            # What the module itself logs, such as how evenly SwAV's assignments are spread.
            of_module = "".join(f"{name} {float(value):.4f}  " for name, value in trainer.callback_metrics.items())
            self.say(reading.line(of_module))
            note(self.progress, self.stage, reading.note())

    def _read(self, trainer: Trainer) -> Reading:
        """A reading from all processes; losses are kept until a line is due, in continued trainings, too."""
        step, now = trainer.global_step, time.perf_counter()
        loss = trainer.strategy.reduce(torch.stack(self._losses).mean(), reduce_op="mean")
        if self.due(step):
            self._losses.clear()
        pace = (now - self._line_time) / max(step - self._line_step, 1)
        self._line_time, self._line_step = now, step
        return Reading(
            step=step,
            steps=trainer.max_steps,
            loss=float(loss),
            learning_rate=trainer.optimizers[0].param_groups[0]["lr"],
            images_per_second=self.batch_size / pace,
            seconds_left=(trainer.max_steps - step) * pace,
        )


def duration(seconds: float) -> str:
    """``2 h 05 min``, ``7 min`` or ``40 s``."""
    minutes = int(seconds // 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"
