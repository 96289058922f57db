"""What happens beside the optimisation steps of a pretraining: its log, its checkpoints, its pictures."""

import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from frugalseg.support.files import write_json
from frugalseg.support.progress import Progress, line
from frugalseg.training.alarm import Alarm
from frugalseg.training.averaging import AveragedWeights
from frugalseg.training.compute import FlopCount
from frugalseg.training.log import Reading, TrainingLog
from frugalseg.training.run_folder import RunFolder
from frugalseg.training.state import save_state

UNLIKE = "Later steps do other work than these, so the rate will change."


class RunLog(TrainingLog):
    """The log of a run: in its folder, with what it trains on and how much arithmetic a step is.

    Args:
        run: its log is written.
        batch_size: images of a step, over all processes.
        every_steps: steps between two lines.
        about: the first lines, on what is trained with.
        foresee: says what the first reading means for the time that the training takes.
        compute: counts the operations of a step; must stand before the log in the trainer's list.
        progress: told of each step; also shown the first lines, the first reading and what it means.
    """

    def __init__(
        self,
        run: RunFolder,
        batch_size: int,
        every_steps: int,
        about: Sequence[str],
        foresee: Callable[[Reading], str],
        compute: FlopCount,
        progress: Progress,
    ) -> None:
        super().__init__("pretrain", batch_size, lambda step: step % every_steps == 0, run.say, progress)
        self.run = run
        self.about = about
        self.foresee = foresee
        self.compute = compute
        self.seconds_before = float(run.last_progress()["seconds"])
        self._told_flops = self._foreseen = False
        self.start = time.perf_counter()  # begins anew with the training, if there are steps left

    def totals(self, trainer: Trainer) -> dict[str, Any]:
        """What `RunFolder.progress` holds."""
        seconds = self.seconds_before + time.perf_counter() - self.start
        return {
            "step": trainer.global_step,
            "images": trainer.global_step * self.batch_size,
            "seconds": round(seconds, 1),
            "images_per_second": self.reading and self.reading.images_per_second,
            "loss": self.reading and self.reading.loss,
            "step_flops": self.compute.step_flops,
        }

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what is trained with, show the bar of the steps, and start the clocks."""
        if trainer.is_global_zero:
            for words in self.about:
                self.announce(words)
            self.progress(self.stage, trainer.global_step, trainer.max_steps)
        super().on_train_start(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *rest: Any) -> None:
        """Say once how much arithmetic a step is, and what the first reading means; the rest as `TrainingLog` does."""
        if not self._told_flops and self.compute.planned_flops and trainer.is_global_zero:
            self._told_flops = True
            total = self.compute.planned_flops
            self.say(f"{total / trainer.max_steps / 1e9:.2f} GFLOP a step, {total / 1e12:.1f} TFLOP in all")
        super().on_train_batch_end(trainer, pl_module, outputs, *rest)
        if not self._foreseen and self.reading and trainer.is_global_zero:
            self._foreseen = True
            line(self.progress, self.reading.line())
            if self.reading.step < self.reading.steps:
                unlike = f" {UNLIKE}" if self.compute.others_ahead else ""
                self.announce(self.foresee(self.reading) + unlike)

    def announce(self, words: str) -> None:
        """Write a line into the log, and show it to whoever is shown the progress."""
        self.say(words)
        line(self.progress, words)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Say from where the run would continue."""
        if trainer.is_global_zero:
            saved = self.run.last_progress()["step"]
            self.say(f"ended by {type(exception).__name__} in step {trainer.global_step}; continues from step {saved}")


class Checkpoints(Callback):
    """Saves the training state and the averaged network: at intervals, at the end, and when the time is up.

    The averaged module's ``export(folder)`` writes the network in the layout of its family. Must stand after the
    averaging and the log in the trainer's list, so that it saves what they did in the same step.

    Args:
        run: where to.
        averaging: holds the averaged module.
        run_log: knows loss and speed.
        alarm: when.
        max_minutes: after how long the training stops, to be continued later.
    """

    def __init__(
        self, run: RunFolder, averaging: AveragedWeights, run_log: RunLog, alarm: Alarm, max_minutes: float | None
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
                self.run.say(f"the time is up; stopped after step {trainer.global_step}, to be continued")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make good what a kill or a hand has taken from a run of which no step was left to be done.

        That is the note of its last step, where the kill came between its state and the note; and the network.
        """
        if trainer.is_global_zero and not self.run.published():
            self._export()
        if trainer.is_global_zero and trainer.global_step > self.run.last_progress()["step"]:
            write_json(self.run.progress, self.run_log.totals(trainer))

    def save(self, trainer: Trainer) -> None:
        """Write the network, then the state that continues from here; a kill in between costs the interval, no more."""
        self.run_log.require_finite(trainer)
        if trainer.is_global_zero:
            self._export()
        save_state(trainer, self.run.checkpoint)
        if trainer.is_global_zero:
            write_json(self.run.progress, self.run_log.totals(trainer))

    def _export(self) -> None:
        """Write the averaged network."""
        fresh = self.run.training / "export.tmp"
        shutil.rmtree(fresh, ignore_errors=True)
        self.averaging.average.export(fresh)
        self.run.publish(fresh)


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
