"""The file from which a killed training goes on."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from frugalseg.classifier.batches import PixelSource
from frugalseg.classifier.history import TrainingHistory
from frugalseg.classifier.protocol import TrainingProtocol
from frugalseg.classifier.training_run import TrainingRun
from frugalseg.support.errors import InputError
from frugalseg.support.files import atomic_path


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
        InputError: the file cannot be read, or is of a training with another identity.
    """
    state = _read(path, identity, run.classifier.device)
    run.step, run.best, run.misses = state["step"], state["best"], state["misses"]
    run.history = TrainingHistory.from_json(state["history"])
    run.classifier.load_state_dict(state["classifier"])
    run.members.take(state["active"])
    run.members.part.load_state_dict(state["part"])
    run.members.optimizer.load_state_dict(state["optimizer"])


def _read(path: Path, identity: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The content of a state file whose identity is `identity`."""
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        found = state["identity"]
    except Exception as error:
        raise InputError(f"{path} is not a readable state of training; delete it to start anew") from error
    differing = [key for key, value in identity.items() if found.get(key) != value]
    if differing:
        raise InputError(f"{path} belongs to a training with other {', '.join(differing)}; delete it to start anew")
    return state
