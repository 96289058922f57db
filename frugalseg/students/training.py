"""A student's training, run by Lightning: each step a function of seed and number; the best round's network stays."""

import logging
import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.pretraining.settings import RunOptions
from frugalseg.students.augmentation import Augmentation, augment
from frugalseg.students.batches import SampleStream, chosen_size, most_frequent_size, sample_loader
from frugalseg.students.loss import segmentation_loss
from frugalseg.students.network import (
    NetworkSpec,
    StudentNetwork,
    chosen_depth,
    new_network,
    reason_of,
    require_size,
)
from frugalseg.students.settings import Schedule, StudentSettings, one_cycle
from frugalseg.students.student import Student, View
from frugalseg.support.errors import InputError, WorkError
from frugalseg.support.precision import Precision
from frugalseg.support.progress import Progress, silent
from frugalseg.training.callbacks import Alarm, duration
from frugalseg.training.stream import STEP, random_numbers
from frugalseg.training.trainer import PRECISIONS, hardware, quiet_lightning

log = logging.getLogger("frugalseg")

LOG_STEPS = 50
STATE = "student.ckpt"
MILD = Augmentation(scale=(0.8, 1.25), stretch=0.1, rotation=10.0, shift=0.1, flip=False, color=0.25)
"""Labelled samples are many: changes that make new images of them need not be strong."""


@dataclass(frozen=True)
class Round:
    """One part of a training, and what the student could do after it.

    Attributes:
        step: that closed it.
        loss: mean over its steps in this process.
        miou: on the validation images, usual convention.
    """

    step: int
    loss: float
    miou: float


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
        student: of the best round.
        settings: complete: nothing left to be chosen.
        rounds: all of them.
    """

    student: Student
    settings: StudentSettings
    rounds: tuple[Round, ...]

    @property
    def best(self) -> Round:
        """The first of the rounds with the highest mIoU."""
        return max(self.rounds, key=lambda each: each.miou)


def train_student(
    samples: Sequence[Example],
    validation: Sequence[Example],
    classes: ClassTable,
    settings: StudentSettings | None = None,
    *,
    work: Path | None = None,
    device: str = "cpu",
    workers: int = 0,
    checkpoint_minutes: float = 5.0,
    progress: Progress = silent,
) -> Trained:
    """Train a student from scratch and keep the network of its best round.

    Args:
        samples: labelled images of any sizes, such as a `SyntheticSet` or a `SegmentationFolder`; read at random.
        validation: annotated images that choose the round, in the same class positions.
        classes: of both.
        settings: see `StudentSettings`.
        work: gets the state, after each round and every few minutes, and ``tensorboard/``. A training with the same
            arguments goes on from there, and ends with the same bits on a CPU.
        device: where it runs.
        workers: processes that read and resize samples.
        checkpoint_minutes: how often the state is saved within a round.
        progress: told of each step.

    Raises:
        InputError: no samples, an unknown name, an impossible setting, or a state in `work` that cannot be read.
        WorkError: the loss is no longer finite.
    """
    if not len(samples) or not len(validation):
        raise InputError(f"{len(samples)} samples and {len(validation)} validation images; give at least one of each")
    settings, network = prepared(samples, classes, settings or StudentSettings(), device)
    schedule = Schedule.of(settings, len(samples))
    assert settings.size is not None
    student = Student(network, classes, View(settings.size, settings.tile), device=device)
    log.info("%s samples, %s steps in %s passes, %s", len(samples), schedule.steps, schedule.epochs, settings)
    with TemporaryDirectory() if work is None else nullcontext(work) as place:
        rounds = _Rounds(student, validation, schedule, settings.batch_size)
        watch = _Watch(schedule, settings.batch_size, progress)
        state = _State(Path(place) / STATE, schedule, checkpoint_minutes)
        _run(student, samples, settings, schedule, [watch, rounds, state], Path(place), device, workers)
    network.load_state_dict(rounds.best)
    return Trained(Student(network, classes, student.view, device=device), settings, tuple(rounds.done))


def prepared(
    samples: Sequence[Example], classes: ClassTable, settings: StudentSettings, device: str
) -> tuple[StudentSettings, StudentNetwork]:
    """The settings with everything chosen that was left open, and the untrained network.

    Raises:
        InputError: an unknown name, parts that do not go together, or images that the network cannot take.
    """
    wanted = settings.size or most_frequent_size(samples)
    depth = settings.depth or chosen_depth(settings.architecture, wanted)
    spec = NetworkSpec(settings.architecture, settings.encoder, depth, len(classes))
    network = new_network(spec, settings.seed)
    precision = chosen_precision(settings, device)
    if precision == "fp16" and not device.startswith("cuda"):
        raise InputError("precision fp16 trains on CUDA devices only; give bf16 or fp32")
    size = chosen_size(samples, network.stride, settings.size)
    require_size(network, size)
    return replace(settings, depth=depth, size=size, precision=precision), network


def chosen_precision(settings: StudentSettings, device: str) -> Precision:
    """The number format of a training: the given one, or that of the device."""
    return settings.precision or ("bf16" if device.startswith("cuda") else "fp32")


class _Lesson(pl.LightningModule):
    """The loss of a batch and the optimiser. All randomness comes from the seed and the number of the step."""

    def __init__(self, network: StudentNetwork, settings: StudentSettings, steps: int) -> None:
        super().__init__()
        self.network = network
        self.settings = settings
        self.steps = steps

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        """The loss of a batch; see `SampleStream`."""
        seed = int(random_numbers(self.settings.seed, STEP, batch["step"]).integers(2**63))
        images, targets = batch["images"], batch["targets"]
        if self.settings.augment or self.settings.mirror:
            images, targets = augment(images, targets, self._changes(), torch.Generator().manual_seed(seed))
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)  # of dropout
            logits = self.network(images.contiguous(memory_format=self.memory_format))
        return segmentation_loss(logits.float(), targets, self.settings.dice)

    @property
    def memory_format(self) -> torch.memory_format:
        """Of images and weights: channels last on GPUs, which like it."""
        return torch.channels_last if self.device.type == "cuda" else torch.contiguous_format

    def _changes(self) -> Augmentation:
        if self.settings.augment:
            return replace(MILD, flip=self.settings.mirror)
        return Augmentation(scale=(1, 1), stretch=0, rotation=0, shift=0, flip=True, color=0)

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


class _Samples(pl.LightningDataModule):
    """The sample stream from wherever the trainer stands."""

    def __init__(self, stream: SampleStream, workers: int) -> None:
        super().__init__()
        self.stream = stream
        self.workers = workers

    def train_dataloader(self) -> Any:
        """Batches from the trainer's step on."""
        self.stream.start = self.trainer.global_step
        return sample_loader(self.stream, self.workers)


class _Watch(pl.Callback):
    """Tells of loss, learning rate and speed; ends a training whose loss is no longer finite."""

    def __init__(self, schedule: Schedule, batch_size: int, progress: Progress) -> None:
        self.schedule = schedule
        self.batch_size = batch_size
        self.progress = progress
        self.losses: list[Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.since, self.step = time.monotonic(), trainer.global_step
        log.info("begin at step %s of %s", self.step, self.schedule.steps)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        """Take the loss in; a line where one is due."""
        step, steps = trainer.global_step, self.schedule.steps
        self.losses.append(outputs["loss"].detach())
        if step % LOG_STEPS == 0 or self.schedule.round_ended(step):
            loss = float(torch.stack(self.losses).mean())
            self.losses.clear()
            if not loss < float("inf"):
                raise WorkError(f"the loss is no longer finite at step {step}; lower the learning rate, or fp32")
            now = time.monotonic()
            pace = (now - self.since) / max(1, step - self.step)
            self.since, self.step = now, step
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            values = {"loss": loss, "learning_rate": rate, "images_per_second": self.batch_size / pace}
            trainer.logger.log_metrics(values, step)
            speed, left = f"{self.batch_size / pace:.1f} images/s", duration((steps - step) * pace)
            log.info("step %s/%s  loss %.5f  lr %.2e  %s  %s left", step, steps, loss, rate, speed, left)
        self.progress("train", step, steps)


class _Rounds(pl.Callback):
    """Meets the validation images after each round, and keeps the weights of the best. Part of the saved state."""

    def __init__(self, student: Student, validation: Sequence[Example], schedule: Schedule, batch_size: int) -> None:
        self.student = student
        self.validation = validation
        self.schedule = schedule
        self.batch_size = batch_size if student.device.type == "cuda" else 1
        self.done: list[Round] = []
        self.best: dict[str, Tensor] = {}
        self.losses: list[Tensor] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        """Evaluate where a round ends."""
        self.losses.append(outputs["loss"].detach())
        if self.schedule.round_ended(trainer.global_step) is None:
            return
        self.student.network.eval()
        miou = self.student.evaluate(self.validation, batch_size=self.batch_size).confusion.miou()
        self.student.network.train()
        loss = float(torch.stack(self.losses).mean())
        self.losses.clear()
        if not self.done or miou > max(each.miou for each in self.done):
            weights = self.student.network.state_dict()
            self.best = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in weights.items()}
        self.done.append(Round(trainer.global_step, loss, miou))
        trainer.logger.log_metrics({"validation_miou": miou}, trainer.global_step)
        log.info("round %s of %s  validation mIoU %.4f", len(self.done), self.schedule.rounds, miou)

    def state_dict(self) -> dict[str, Any]:
        """What a continued training needs."""
        return {"done": [vars(each) for each in self.done], "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.done = [Round(**each) for each in state_dict["done"]]
        self.best = state_dict["best"]


class _State(pl.Callback):
    """Saves everything after each round and every few minutes; must stand last, to save what the others did."""

    def __init__(self, path: Path, schedule: Schedule, minutes: float) -> None:
        self.path = path
        self.schedule = schedule
        self.alarm = Alarm(None, minutes)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Save where it is due."""
        if self.alarm.due(trainer) or self.schedule.round_ended(trainer.global_step):
            temporary = self.path.with_suffix(".tmp")
            trainer.save_checkpoint(temporary)
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())  # else a power failure may leave the new name on half a file
            temporary.replace(self.path)


def saved_state(path: Path) -> Path | None:
    """`path` where a state has been saved there; `InputError` where it can no longer be read."""
    if not path.is_file():
        return None
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly anything on broken bytes
        reason = reason_of(error)[:60]
        raise InputError(
            f"{path}: cannot be read ({reason}); delete {path.parent} to begin the training anew"
        ) from None
    return path


def _run(
    student: Student,
    samples: Sequence[Example],
    settings: StudentSettings,
    schedule: Schedule,
    callbacks: list[Any],
    work: Path,
    device: str,
    workers: int,
) -> None:
    """Train from the `saved_state`, or from the beginning, to the last step."""
    state = saved_state(work / STATE)
    stream = SampleStream(
        samples,
        student.view.size,
        student.network.stride,
        batch_size=settings.batch_size,
        seed=settings.seed,
        tile=settings.tile,
        stop=schedule.steps,
    )
    with quiet_lightning():
        trainer = pl.Trainer(
            **hardware(RunOptions(device=device)),
            precision=PRECISIONS[settings.precision or "fp32"],
            max_steps=schedule.steps,
            max_epochs=-1,
            callbacks=callbacks,
            logger=TensorBoardLogger(work, name="", version="tensorboard", default_hp_metric=False),
            default_root_dir=work,
            log_every_n_steps=1,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        lesson = _Lesson(student.network, settings, schedule.steps)
        batches = _Samples(stream, workers)
        trainer.fit(lesson, datamodule=batches, ckpt_path=state, weights_only=True)
