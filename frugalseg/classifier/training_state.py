"""The file from which a killed training goes on."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from frugalseg.classifier.batches import PixelSource
from frugalseg.classifier.history import TrainingHistory
from frugalseg.classifier.protocol import TrainingProtocol
from frugalseg.classifier.training_run import TrainingRun
from frugalseg.support.damage import refused_where_damaged
from frugalseg.support.errors import InputError
from frugalseg.support.files import atomic_path
from frugalseg.support.saved_states import read_state, require_alike, require_optimizer

AFRESH = "delete it to start anew"


def identity_of(
    pixels: PixelSource,
    num_classes: int,
    protocol: TrainingProtocol,
    numbers: tuple[int, ...],
    seed: int,
    precision: torch.dtype,
) -> dict[str, Any]:
    """What must agree before a training goes on from a file."""
    settings = {f"protocol {name}": value for name, value in asdict(protocol).items()}
    labels = int(torch.dot(pixels.labels, torch.arange(1, len(pixels) + 1)))
    data = {"pixels": len(pixels), "labels": labels, "channels": list(pixels.channels), "classes": num_classes}
    return settings | data | {"members": list(numbers), "seed": seed, "precision": str(precision)}


def save_state(run: TrainingRun, identity: dict[str, Any], path: Path) -> None:
    """Write the state of a training to `path`, whole or not at all."""
    state = {
        "identity": identity,
        "step": run.step,
        "active": run.members.places,
        "best": run.best,
        "misses": run.misses,
        "history": run.history.to_json(),
        "classifier": run.classifier.state_dict(),
        "part": run.members.part.state_dict(),
        "optimizer": run.members.optimizer.state_dict(),
    }
    # Through a file of Python's: torch's own says of a full disk only that it is at an unexpected position.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)


def load_state(run: TrainingRun, identity: dict[str, Any], path: Path) -> None:
    """Take up the state that `save_state` wrote.

    Raises:
        InputError: the file is damaged, or is of a training with another identity.
    """
    with refused_where_damaged(path, "state of a training", AFRESH):
        state = read_state(path, run.classifier.device)
        found = state["identity"]
        differing = [key for key, value in identity.items() if found.get(key) != value]
    if differing:
        raise InputError(f"{path} belongs to a training with other {', '.join(differing)}; {AFRESH}")
    with refused_where_damaged(path, "state of a training", AFRESH):
        _take(run, state)


def _take(run: TrainingRun, state: dict[str, Any]) -> None:
    """Put what a file holds into a new run; it raises nearly anything where it does not fit."""
    active = state["active"]
    history = {**run.history.to_json(), "losses": [[0, 0.0]] * len(state["history"]["losses"])}
    fresh = {"step": run.step, "history": history, "active": [0] * len(active), "misses": run.misses[: len(active)]}
    require_alike(state, fresh, "state")
    require_alike(state["best"].float(), run.best[: len(active)], "best")  # of a training in float64 it is in that
    if not state["step"] <= run.steps or sorted({*active} & {*range(run.classifier.members)}) != active:
        raise InputError("of other members or steps")
    run.step, run.best, run.misses = state["step"], state["best"], state["misses"]
    run.history = TrainingHistory.from_json(state["history"])
    run.classifier.load_state_dict(state["classifier"])
    run.members.take(active)
    run.members.part.load_state_dict(state["part"])
    require_optimizer(state["optimizer"], run.members.optimizer, "optimizer")
    run.members.optimizer.load_state_dict(state["optimizer"])
