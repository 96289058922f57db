"""The state of a training on the disk: everything that continuing from a step needs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.io import CheckpointIO

from frugalseg.support.damage import refused_where_damaged
from frugalseg.support.errors import InputError
from frugalseg.support.files import atomic_path, remove_leftovers_of
from frugalseg.support.saved_states import read_state

PARTS = ("global_step", "state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks")
"""What continuing takes from the file."""


class StateFiles(CheckpointIO):
    """Writes states to files and reads them, as `Trainer` wants it; to be given to the trainer.

    Lightning's own takes paths for URLs: one that begins with ``http`` is downloaded, and ``::`` stands between two of
    them. It also writes each state to the system's folder for temporary files first, where that of a killed training
    stays, and which may be too small for it.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a state to `path`, whole or not at all."""
        remove_leftovers_of(Path(path))
        # Through a file of Python's: torch's own says of a full disk only that it is at an unexpected position.
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())  # else a power failure may leave the new name on half a file

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The state at `path`, in memory of the CPU; nothing in the file is executed."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete the state at `path`."""
        Path(path).unlink(missing_ok=True)


def save_state(trainer: Trainer, path: Path) -> None:
    """Write the state of a training with `StateFiles` to `path`; to be called in all its processes."""
    trainer.save_checkpoint(path)


@dataclass(frozen=True)
class SavedState:
    """The state of a training that `save_state` has written.

    Attributes:
        path: of the file.
        whole: what is to be deleted where the state is damaged.
    """

    path: Path
    whole: Path

    @contextmanager
    def read(self) -> Iterator[None]:
        """Within the block, where the state is read, every failure says that it is damaged."""
        with refused_where_damaged(self.path, "state of a training", f"delete {self.whole} to begin the training anew"):
            yield


def saved_state(path: Path, whole: Path) -> SavedState | None:
    """The state that has been saved at `path`, None where there is none.

    Args:
        path: of the state.
        whole: what is to be deleted where the state is damaged.

    Raises:
        InputError: the file is damaged, or holds something else.
    """
    if not path.exists():
        return None
    state = SavedState(path, whole)
    with state.read():
        content = read_state(path)
        missing = [key for key in PARTS if key not in content]
        if missing:
            raise InputError(f"no {missing[0]}")
    return state
