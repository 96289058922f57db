"""The state of a training on the disk: everything that continuing from a step needs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch import Trainer

from frugalseg.support.damage import refused_where_damaged
from frugalseg.support.errors import InputError
from frugalseg.support.saved_states import read_state

PARTS = ("global_step", "state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks")
"""What continuing takes from the file."""


def save_state(trainer: Trainer, path: Path) -> None:
    """Write the state of a training to `path`, which is replaced whole; to be called in all its processes."""
    temporary = path.with_suffix(".tmp")
    trainer.save_checkpoint(temporary)
    if trainer.is_global_zero:
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())  # else a power failure may leave the new name on half a file
        temporary.replace(path)


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
