"""Trains all members of the ensemble at once: one batched computation, every member as if it were alone."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from frugalseg.classifier.batches import PixelSource
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.history import TrainingHistory, TrainingProgress
from frugalseg.classifier.preparation import set_standardisation
from frugalseg.classifier.protocol import PROTOCOLS, TrainingProtocol, training_protocol
from frugalseg.classifier.training_run import TrainingRun
from frugalseg.classifier.training_state import identity_of, load_state, save_state
from frugalseg.support.errors import InputError

__all__ = [
    "PROTOCOLS",
    "PixelSource",
    "TrainingHistory",
    "TrainingProgress",
    "TrainingProtocol",
    "train_ensemble",
    "training_protocol",
]


@torch.inference_mode(False)
@torch.enable_grad()
def train_ensemble(
    pixels: PixelSource,
    num_classes: int,
    protocol: TrainingProtocol,
    *,
    members: int = 10,
    seed: int = 0,
    device: torch.device | str = "cpu",
    precision: torch.dtype = torch.float32,
    progress: Callable[[TrainingProgress], None] | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    validation: PixelSource | None = None,
    which_members: Sequence[int] | None = None,
) -> tuple[PixelClassifier, TrainingHistory]:
    """Train the ensemble on labelled pixels.

    Each member has its own initial weights, batches, batch normalisation and early stop, all from (`seed`, its number):
    trained alone or beside others it ends the same, up to rounding. A member that stops leaves the computation. The
    caller may have turned gradients off.

    Args:
        pixels: labelled pixels, at least 2.
        num_classes: K.
        protocol: how.
        members: M.
        seed: of everything random.
        device: where to train.
        precision: float32 or float64 throughout; bfloat16 computes matrix products in it on float32 weights.
        progress: called after every batch.
        checkpoint: file that holds the run's state, rewritten at intervals; where it exists, the run goes on from it
            and ends as if it had never been interrupted. The caller deletes it once the classifier is saved.
        checkpoint_seconds: the interval.
        validation: held-out labelled pixels, for protocols that watch them.
        which_members: train only these members of the ensemble.

    Returns:
        The classifier of the trained members, in evaluation mode, and what happened.

    Raises:
        InputError: fewer than 2 labelled pixels, or `checkpoint` belongs to another training.
    """
    if len(pixels) < 2:
        raise InputError(f"training needs at least 2 annotated pixels, found {len(pixels)}; annotate more")
    begun = time.monotonic()
    numbers = tuple(range(members) if which_members is None else which_members)
    classifier = initial(pixels, num_classes, protocol, numbers, seed)
    classifier.to(device, torch.float64 if precision == torch.float64 else torch.float32)
    run = TrainingRun(classifier.train(), numbers, protocol, pixels, validation, seed, precision)
    state = None
    if checkpoint is not None:
        identity = identity_of(pixels, num_classes, protocol, numbers, seed, precision)
        state = Checkpoint(checkpoint, identity, checkpoint_seconds)
    carry_out(run, begun, state, progress)
    return run.classifier.eval(), run.history


def initial(
    pixels: PixelSource, num_classes: int, protocol: TrainingProtocol, numbers: tuple[int, ...], seed: int
) -> PixelClassifier:
    """The members `numbers` before their first batch, standardised where the protocol says so."""
    classifier = PixelClassifier(pixels.channels, num_classes, len(numbers))
    classifier.reset(seed, numbers)
    if protocol.standardise:
        set_standardisation(classifier, pixels, seed)
    return classifier


@dataclass(frozen=True)
class Checkpoint:
    """Where the state of a training is kept.

    Attributes:
        path: of the file.
        identity: of the training, from `identity_of`.
        seconds: between two writings.
    """

    path: Path
    identity: dict[str, Any]
    seconds: float


def carry_out(
    run: TrainingRun,
    begun: float,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[TrainingProgress], None] | None = None,
) -> None:
    """Advance a run to its end.

    Args:
        run: new; its state is taken up where there is a checkpoint.
        begun: when it began, by `time.monotonic`.
        checkpoint: where to keep the state.
        progress: called after every batch.
    """
    if checkpoint is not None and checkpoint.path.exists():
        load_state(run, checkpoint.identity, checkpoint.path)
    saved, begun = begun, begun - run.history.seconds
    while not run.done:
        report = run.advance()
        run.history.seconds = time.monotonic() - begun
        if checkpoint is not None and time.monotonic() - saved >= checkpoint.seconds:
            save_state(run, checkpoint.identity, checkpoint.path)
            saved = time.monotonic()
        if progress is not None:
            progress(report)
