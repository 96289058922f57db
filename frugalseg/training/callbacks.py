"""What happens beside the optimisation steps: checkpoints, log, progress bar, pictures."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from frugalseg.support.errors import WorkError
from frugalseg.support.files import write_json
from frugalseg.training.averaging import AveragedWeights
from frugalseg.training.compute import FlopCount
from frugalseg.training.run_folder import RunFolder

CLOCK_STEPS = 10
"""With several processes, the first one's clock is consulted only every so many steps: asking it costs a message."""


class Alarm:
    """Says when something is due: every so many steps, or every so many minutes, whichever comes first."""

    def __init__(self, steps: int | None, minutes: float | None) -> None:
        self.steps = steps
        self.seconds = None if minutes is None else minutes * 60
        self._since = time.monotonic()

    def due(self, trainer: Trainer) -> bool:
        """Whether it is time, the same answer in all processes; asking again starts a new interval after a yes."""
        step = trainer.global_step
        due = bool(self.steps) and step % int(self.steps or 1) == 0
        if not due and self.seconds is not None and (trainer.world_size == 1 or step % CLOCK_STEPS == 0):
            due = time.monotonic() - self._since >= self.seconds
            if trainer.world_size > 1:
                due = bool(trainer.strategy.broadcast(due))
        if due:
            self._since = time.monotonic()
        return due


class Checkpoints(Callback):
    """Saves the training state and the averaged network: at intervals, at the end, and when the time is up.

    The averaged module's ``export(folder)`` writes the network in the layout of its family. Must stand after the
    averaging and the log in the trainer's list, so that it saves what they did in the same step.

    Args:
        run: where to.
        averaging: holds the averaged module.
        alarm: when.
        max_minutes: after how long the training stops, to be continued later.
    """

    def __init__(
        self, run: RunFolder, averaging: AveragedWeights, run_log: "RunLog", alarm: Alarm, max_minutes: float | None
    ) -> None:
        self.run = run
        self.averaging = averaging
        self.run_log = run_log
        self.alarm = alarm
        self.limit = Alarm(None, max_minutes)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Save where it is due."""
        finished = trainer.global_step >= trainer.max_steps
        expired = self.limit.due(trainer)
        if self.alarm.due(trainer) or finished or expired:
            self.save(trainer)
        if expired and not finished:
            trainer.should_stop = True
            if trainer.is_global_zero:
                self.run_log.say(f"the time is up; stopped after step {trainer.global_step}, to be continued")

    def save(self, trainer: Trainer) -> None:
        """Write the network, then the state that continues from here; a kill in between costs the interval, no more."""
        self.run_log.require_finite(trainer)
        if trainer.is_global_zero:
            fresh = self.run.training / "export.tmp"
            shutil.rmtree(fresh, ignore_errors=True)
            self.averaging.average.export(fresh)
            self.run.publish(fresh)
        temporary = self.run.checkpoint.with_suffix(".tmp")
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            temporary.replace(self.run.checkpoint)
            write_json(self.run.progress, self.run_log.progress(trainer))


class RunLog(Callback):
    """Loss, learning rate and speed: to the log file, to TensorBoard, and to a progress bar.

    Args:
        run: where to.
        batch_size: images of a global step.
        every_steps: steps between two lines.
        bar: whether to draw a progress bar.
        about: a first line, on what is trained with.
        compute: counts the operations of a step; must stand before the log in the trainer's list.
    """

    def __init__(
        self, run: RunFolder, batch_size: int, every_steps: int, bar: bool, about: str, compute: FlopCount
    ) -> None:
        self.run = run
        self.compute = compute
        self.about = about
        self.batch_size = batch_size
        self.every_steps = every_steps
        self.seconds_before = float(run.last_progress()["seconds"])
        self._bar = _Bar() if bar else None
        self._losses: list[torch.Tensor] = []
        self._told_flops = False

    def say(self, line: str) -> None:
        """One line in the log file."""
        self.run.training.mkdir(parents=True, exist_ok=True)
        with self.run.log.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")

    def progress(self, trainer: Trainer) -> dict[str, Any]:
        """What `RunFolder.progress` holds."""
        seconds = self.seconds_before + time.monotonic() - self._start
        return {
            "step": trainer.global_step,
            "images": trainer.global_step * self.batch_size,
            "seconds": round(seconds, 1),
            "images_per_second": self._rate,
            "loss": self._last_loss,
            "step_flops": self.compute.step_flops,
        }

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks."""
        self._start = self._line_time = time.monotonic()
        self._line_step = trainer.global_step
        self._last_loss: float | None = None
        self._rate: float | None = None
        if trainer.is_global_zero:
            if self.about:
                self.say(self.about)
            self.say(f"begin at step {trainer.global_step} of {trainer.max_steps}, {trainer.world_size} process(es)")
            if self._bar:
                self._bar.start(trainer.global_step, trainer.max_steps)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Take the loss in; write a line where one is due."""
        self._losses.append(outputs["loss"].detach())
        if not self._told_flops and self.compute.step_flops and trainer.is_global_zero:
            self._told_flops = True
            total = self.compute.step_flops * trainer.max_steps
            self.say(f"{self.compute.step_flops / 1e9:.2f} GFLOP a step, {total / 1e12:.1f} TFLOP in all")
        if trainer.global_step % self.every_steps == 0 or trainer.global_step >= trainer.max_steps:
            self._write(trainer)
        if self._bar and trainer.is_global_zero:
            self._bar.update(trainer.global_step, self._last_loss)

    def on_train_end(self, *_: Any) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take the bar away, and say from where the run would continue."""
        self.on_train_end()
        if trainer.is_global_zero:
            saved = self.run.last_progress()["step"]
            self.say(f"ended by {type(exception).__name__} in step {trainer.global_step}; continues from step {saved}")

    def require_finite(self, trainer: Trainer) -> None:
        """Raise `WorkError` where a loss since the last line of the log is infinite or not a number."""
        if self._losses and not bool(torch.stack(self._losses).isfinite().all()):
            raise WorkError(
                f"the loss is no longer finite at step {trainer.global_step}; "
                "begin again with a lower learning rate, or with bf16 or fp32 instead of fp16"
            )

    def _write(self, trainer: Trainer) -> None:
        self.require_finite(trainer)
        loss = trainer.strategy.reduce(torch.stack(self._losses).float().mean(), reduce_op="mean")
        self._losses.clear()
        self._last_loss = float(loss)
        now = time.monotonic()
        steps = trainer.global_step - self._line_step
        pace = (now - self._line_time) / max(steps, 1)
        self._line_time, self._line_step = now, trainer.global_step
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self._rate = self.batch_size / pace
        values = {"loss": self._last_loss, "learning_rate": rate, "images_per_second": self._rate}
        if trainer.is_global_zero:
            trainer.logger.log_metrics(values, trainer.global_step)
            # What the family itself logs, such as how evenly SwAV's assignments are spread.
            of_family = "".join(f"{name} {float(value):.4f}  " for name, value in trainer.callback_metrics.items())
            left = duration((trainer.max_steps - trainer.global_step) * pace)
            self.say(
                f"step {trainer.global_step}/{trainer.max_steps}  loss {self._last_loss:.5f}  {of_family}"
                f"lr {rate:.2e}  {self._rate:.1f} images/s  {left} left"
            )


class Pictures(Callback):
    """Draws pictures of the averaged network's progress, at intervals and at the end.

    Args:
        averaging: holds the averaged module.
        alarm: when.
        draw: called with the averaged module and the step; saves the pictures.
    """

    def __init__(self, averaging: AveragedWeights, alarm: Alarm, draw: Callable[[Any, int], None]) -> None:
        self.averaging = averaging
        self.alarm = alarm
        self.draw = draw

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Draw where it is due."""
        due = self.alarm.due(trainer) or trainer.global_step >= trainer.max_steps
        if due and trainer.is_global_zero:
            self.draw(self.averaging.average, trainer.global_step)


class _Bar:
    """A progress bar with the speed and the time left."""

    def start(self, step: int, steps: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("pretrain"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
        )
        self._task = self._progress.add_task("", total=steps, completed=step, speed="", loss="")
        self._progress.start()

    def update(self, step: int, loss: float | None) -> None:
        speed = self._progress.tasks[0].speed
        self._progress.update(
            self._task,
            completed=step,
            speed=f"{speed:.2f} steps/s" if speed else "",
            loss="" if loss is None else f"loss {loss:.4f}",
        )

    def stop(self) -> None:
        if hasattr(self, "_progress"):
            self._progress.stop()


def duration(seconds: float) -> str:
    """``2 h 05 min``, ``7 min`` or ``40 s``."""
    minutes = int(seconds // 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"


def picture_path(run: RunFolder, name: str, step: int) -> Path:
    """Where the picture `name` of a step goes; sorts by step."""
    return run.pictures / f"{name}_{step:07d}.png"
