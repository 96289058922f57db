"""Carries out a pretraining run: the Lightning trainer, fed by the batch stream, watched by the callbacks."""

import logging
import math
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from frugalseg.pretraining.images import TrainingImages
from frugalseg.pretraining.settings import RunOptions, TrainingSettings
from frugalseg.support.errors import InputError
from frugalseg.training.averaging import AveragedWeights
from frugalseg.training.callbacks import Alarm, Checkpoints, Pictures, RunLog
from frugalseg.training.compute import FlopCount
from frugalseg.training.run_folder import RunFolder
from frugalseg.training.stream import BatchStream, batch_loader

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
EXAMPLES = 64
"""Images, spread evenly over the folder, from which pictures are drawn."""
FINAL_RATE = 1e-3
"""The learning rate of the last step as a share of the highest."""


class PretrainingModule(pl.LightningModule):
    """What a family defines: its loss (`training_step`), its file layout (`export`), its pictures (`draw`).

    The loss may use only the batch, `global_step` and generators seeded from them, so that a continued run repeats
    what an uninterrupted one does.
    """

    settings: TrainingSettings

    def __init__(self, settings: TrainingSettings, channels_last: bool = False) -> None:
        """Take complete settings (`TrainingSettings.chosen_for`).

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
            examples: (N, 3, H, W) float32 in [0, 1], up to `EXAMPLES` training images at their stored size.
        """

    def compile_network(self) -> None:
        """Compile the network in place; nothing by default."""

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine decay; betas as in EDM2 (Karras et al. 2024): short memory for short runs."""
        weights = (p for p in self.parameters() if p.requires_grad)
        # Not fused: Lightning cannot clip the gradients of fused optimizers under mixed precision. Many tensors at once
        # on any device.
        optimizer = torch.optim.AdamW(
            weights, lr=self.settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, foreach=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_factor(step, self.settings.steps, self.settings.warmup_steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rate_factor(step: int, steps: int, warmup: int) -> float:
    """The learning rate of a step as a share of the highest: a linear rise, then half a cosine down to `FINAL_RATE`."""
    warmup = min(warmup, steps // 10)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min((step - warmup) / max(steps - 1 - warmup, 1), 1.0)
    return FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * done)) / 2


class Batches(pl.LightningDataModule):
    """The batch stream from wherever the trainer stands, for whichever process it is."""

    def __init__(self, images: TrainingImages, settings: TrainingSettings, workers: int) -> None:
        super().__init__()
        self.images = images
        self.settings = settings
        self.workers = workers

    def train_dataloader(self) -> Any:
        """Batches from the trainer's step on."""
        stream = BatchStream(
            self.images,
            self.settings.batch_size,
            self.settings.seed,
            start=self.trainer.global_step,
            stop=self.settings.steps,
            flip=self.settings.flip,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )
        return batch_loader(stream, self.workers)


def fit(module: PretrainingModule, images: TrainingImages, run: RunFolder, options: RunOptions) -> bool:
    """Train `module` from the run's last checkpoint, or from the beginning, to its last step or the end of the time.

    Returns:
        Whether the last step was reached.
    """
    settings = module.settings
    averaging = AveragedWeights(settings.ema_decay)
    # A compiled network shows no single operations to count.
    compute = FlopCount(run, enabled=not options.compile)
    assert settings.image_size is not None
    about = f"{images.describe()}; trained on at {settings.image_size[0]}x{settings.image_size[1]}"
    log = RunLog(run, settings.batch_size, options.log_steps, options.bar, about, compute)
    examples = example_images(images)
    saver = Checkpoints(
        run, averaging, log, Alarm(options.checkpoint_steps, options.checkpoint_minutes), options.max_minutes
    )
    artist = Pictures(
        averaging,
        Alarm(options.picture_steps, options.picture_minutes),
        lambda average, step: average.draw(run, step, examples),
    )
    with quiet_lightning():
        trainer = _trainer(settings, options, run, [averaging, compute, log, artist, saver])
        if options.compile:
            module.compile_network()
        checkpoint = run.checkpoint if run.checkpoint.is_file() else None
        batches = Batches(images, settings, options.workers)
        try:
            trainer.fit(module, datamodule=batches, ckpt_path=checkpoint, weights_only=True)
        except SystemExit:
            # Lightning's answer to Ctrl-C; the caller is to hear what really happened.
            if trainer.interrupted:
                raise KeyboardInterrupt from None
            raise
    return bool(trainer.global_step >= settings.steps)


def _trainer(settings: TrainingSettings, options: RunOptions, run: RunFolder, callbacks: list[Any]) -> pl.Trainer:
    return pl.Trainer(
        **hardware(options),
        strategy="ddp" if options.devices > 1 else "auto",
        precision=PRECISIONS[settings.precision],
        max_steps=settings.steps,
        max_epochs=-1,
        gradient_clip_val=settings.gradient_clip,
        callbacks=callbacks,
        logger=TensorBoardLogger(run.training, name="", version="tensorboard", default_hp_metric=False),
        default_root_dir=run.training,
        log_every_n_steps=1,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def check_hardware(settings: TrainingSettings, options: RunOptions) -> None:
    """Raise `InputError` where this machine cannot carry out a run as asked."""
    gpus = torch.cuda.device_count()
    kind, _, number = options.device.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdigit())):
        raise InputError(f"device {options.device!r} is unknown; give auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda" and gpus <= int(number or 0):
        raise InputError(f"device {options.device!r} is not there ({gpus} CUDA devices found); give another, or auto")
    if options.devices < 1 or settings.batch_size % options.devices:
        raise InputError(
            f"a batch of {settings.batch_size} images cannot be split over {options.devices} devices; "
            "give a number of devices that divides it"
        )
    on_gpu = kind == "cuda" or (kind == "auto" and gpus > 0)
    if on_gpu and options.devices > (1 if number else gpus):
        raise InputError(f"{options.devices} devices were asked for, {1 if number else gpus} are there; give fewer")
    if settings.precision == "fp16" and not on_gpu:
        raise InputError("precision fp16 trains on CUDA devices only; give bf16 or fp32")


def hardware(options: RunOptions) -> dict[str, Any]:
    """The arguments of the Lightning trainer that say where it runs."""
    kind, _, number = options.device.partition(":")
    accelerator = "gpu" if kind == "cuda" else kind
    return {"accelerator": accelerator, "devices": [int(number)] if number else options.devices}


def example_images(images: TrainingImages, count: int = EXAMPLES) -> Tensor:
    """(N, 3, H, W) float32 in [0, 1]: images spread evenly over the folder."""
    count = min(count, len(images))
    chosen = [images[i * len(images) // count] for i in range(count)]
    return torch.stack([torch.tensor(image).permute(2, 0, 1).float() / 255 for image in chosen])


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keeps Lightning from advertising, and from warning of what this module takes care of."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # The stream starts at the trainer's step by itself, and needs no workers when the images are in memory.
        warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
        # Lightning's own use of a deprecated name; nothing a user could mend.
        warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
        try:
            yield
        finally:
            logger.setLevel(level)
