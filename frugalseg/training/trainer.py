"""Runs a training: the Lightning trainer as every training of ours sets it up, quiet, and stopped by Ctrl-C."""

import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import lightning.pytorch as pl

from frugalseg.support.precision import Precision
from frugalseg.training.event_log import EventLog
from frugalseg.training.hardware import LIGHTNING_PRECISIONS, Hardware
from frugalseg.training.state import SavedState, StateFiles
from frugalseg.training.state_check import StateCheck


def train(
    module: pl.LightningModule,
    batches: pl.LightningDataModule,
    *,
    folder: Path,
    hardware: Hardware,
    precision: Precision,
    steps: int,
    callbacks: Sequence[pl.Callback],
    gradient_clip: float | None = None,
    state: SavedState | None = None,
) -> pl.Trainer:
    """Train a module from a saved state, or from the beginning, until its last step or until a callback stops it.

    Args:
        module: its loss and its optimizer.
        batches: begin at the trainer's step, such as `StepBatches`.
        folder: for TensorBoard, below ``tensorboard/``.
        hardware: where to train.
        precision: arithmetic of the forward pass; the weights are float32.
        steps: the last step.
        callbacks: called in this order after each step.
        gradient_clip: largest norm of all gradients together; None leaves them as they are.
        state: what to go on from, where there is something.

    Returns:
        The trainer, which knows the step that was reached.

    Raises:
        DamagedError: the saved state is not one of such a training.
        KeyboardInterrupt: the training was stopped by Ctrl-C.
    """
    check = None if state is None else StateCheck(state)
    with quiet_lightning():
        every = callbacks if check is None else [check, *callbacks]
        trainer = new_trainer(folder, hardware, precision, steps, every, gradient_clip)
        with interruptible(trainer), nullcontext() if check is None else check.watching():
            trainer.fit(module, datamodule=batches, ckpt_path=state and state.path, weights_only=True)
    return trainer


def new_trainer(
    folder: Path,
    hardware: Hardware,
    precision: Precision,
    steps: int,
    callbacks: Sequence[pl.Callback],
    gradient_clip: float | None,
) -> pl.Trainer:
    """A trainer that does nothing by itself but optimise: what else happens is up to the callbacks; see `train`."""
    return pl.Trainer(
        **hardware.trainer_arguments(),
        precision=LIGHTNING_PRECISIONS[precision],
        max_steps=steps,
        max_epochs=-1,
        gradient_clip_val=gradient_clip,
        callbacks=list(callbacks),
        plugins=[StateFiles()],
        logger=EventLog(folder / "tensorboard"),
        default_root_dir=folder,
        log_every_n_steps=1,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@contextmanager
def interruptible(trainer: pl.Trainer) -> Iterator[None]:
    """Within the block Ctrl-C ends in `KeyboardInterrupt`, and it works again afterwards.

    Lightning would exit the process instead, and leave every later Ctrl-C ignored.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler or signal.default_int_handler)
        raise KeyboardInterrupt from None


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keeps Lightning from advertising, and from warning of what is taken care of here."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # The batches begin at the trainer's step by themselves, and need no workers when the images are in memory.
        warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
        # Of a damaged state, which is refused.
        warnings.filterwarnings("ignore", message=".*sparse tensor invariants.*")
        # Lightning's own use of a deprecated name, about which users can do nothing.
        warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
        try:
            yield
        finally:
            logger.setLevel(level)
