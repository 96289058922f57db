"""The state of a training on the disk: everything that continuing from a step needs."""

import os
from pathlib import Path

import torch
from lightning.pytorch import Trainer

from frugalseg.support.errors import InputError

PARTS = ("global_step", "state_dict", "optimizer_states", "lr_schedulers", "loops")
"""What continuing takes from the file."""


def save_state(trainer: Trainer, path: Path) -> None:
    """Write the state of a training to `path`, which is replaced whole; to be called in all its processes."""
    temporary = path.with_suffix(".tmp")
    trainer.save_checkpoint(temporary)
    if trainer.is_global_zero:
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())  # else a power failure may leave the new name on half a file
        temporary.replace(path)


def saved_state(path: Path, whole: Path) -> Path | None:
    """`path` where a state has been saved there, None where there is none.

    Args:
        path: of the state.
        whole: what is to be deleted where the state is damaged.

    Raises:
        InputError: the state can no longer be read.
    """
    if not path.is_file():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        missing = [key for key in PARTS if key not in content]
    except Exception as error:  # torch raises nearly anything on broken bytes
        reason = " ".join(str(error).split())[:60] or type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason}); delete {whole} to begin the training anew") from None
    if missing:
        raise InputError(
            f"{path}: not the state of a training (no {missing[0]}); delete {whole} to begin the training anew"
        )
    return path
