"""Saved states of trainings: read without running anything, and compared with what a new training would save."""

import copy
import math
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frugalseg.support.errors import InputError
from frugalseg.support.text import brief, quoted
from frugalseg.support.torch_files import require_bounded, require_stored

LARGEST = 2**63
"""Beyond all counts."""
MOVING = {
    **dict.fromkeys(("betas", "momentum"), 1.0),
    **dict.fromkeys(("lr", "_last_lr"), math.inf),
    **dict.fromkeys(("last_epoch", "_step_count"), LARGEST),
    **dict.fromkeys(("_is_initial", "_get_lr_called_within_step"), LARGEST),
}
"""What changes in a schedule and in an optimizer as they go, and what it always stays below; all else is settings."""


def read_state(path: Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """The dictionary that `torch.save` wrote to a file, every byte of it compared with the checksums in the file.

    Raises:
        InputError: no such file of torch, a damaged one, or another value; many other errors where the file was made
            to deceive.
    """
    _require_sound(path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*sparse tensor invariants.*")
        state = torch.load(path, map_location=device, weights_only=True)
    if not isinstance(state, dict):
        raise InputError(f"holds a {type(state).__name__}")
    return state


def _require_sound(path: Path) -> None:
    """Raise where the bytes are no longer those that were written, or would be more in memory than in the file."""
    require_stored(path)
    with path.open("rb") as file:
        require_bounded(file)
    with zipfile.ZipFile(path) as archive:
        if (damaged := archive.testzip()) is not None:
            raise InputError(f"the part {brief(damaged, 40)} was changed")


def require_alike(found: Any, fresh: Any, name: str) -> None:
    """Raise `InputError` where a part of a saved state has another form than that of a new training.

    Compared are the types of all values, lengths of lists, shapes and dtypes of tensors, but no values: of numbers only
    that whole ones are not negative. Keys that one of them lacks are not compared: versions of libraries differ there.

    Args:
        found: in the file.
        fresh: of a new training.
        name: of the part, for the error.
    """
    if isinstance(fresh, Mapping) and isinstance(found, Mapping):
        for key in fresh.keys() & found.keys():
            require_alike(found[key], fresh[key], f"{name}.{key}")
    elif isinstance(fresh, list | tuple) and isinstance(found, list | tuple) and len(fresh) == len(found):
        for number, (one, other) in enumerate(zip(found, fresh, strict=True)):
            require_alike(one, other, f"{name}.{number}")
    elif not _alike(found, fresh):
        raise InputError(f"{brief(name, 80)} is {_form(found)}, not {_form(fresh)}")


def _alike(found: Any, fresh: Any) -> bool:
    if isinstance(fresh, Tensor):
        return isinstance(found, Tensor) and _form(found) == _form(fresh)
    if isinstance(fresh, float):
        return type(found) is float or (type(found) is int and 0 <= found < LARGEST)
    return type(found) is type(fresh) and (type(found) is not int or 0 <= found < LARGEST)


def _form(value: Any) -> str:
    """What is compared of a value, in words."""
    if isinstance(value, Tensor):
        strided = "" if value.layout is torch.strided else f"{value.layout} "
        return f"a tensor {strided}{value.dtype} of {brief(list(value.shape), 60)}".replace("torch.", "")
    if isinstance(value, list | tuple):
        return f"{len(value)} values"
    return "no whole number from 0 on" if type(value) is int and value < 0 else f"of the type {type(value).__name__}"


def require_schedule(found: Any, fresh: Mapping[str, Any], name: str) -> None:
    """Raise `InputError` where the saved state of a schedule, or a group of an optimizer, is not one of these settings.

    Args:
        found: in the file.
        fresh: of a new training with the same settings.
        name: of the state, for the error.
    """
    require_alike(found, fresh, name)
    # Flags may be missing: versions of torch add some. Numbers may not.
    missing = [k for k, v in fresh.items() if k not in found and type(v) in (int, float, tuple, list)]
    if missing:
        raise InputError(f"{name} has no {missing[0]}")
    for key in fresh.keys() & found.keys():
        several = found[key] if isinstance(found[key], list | tuple) else [found[key]]
        if key in MOVING and not all(0 <= each < MOVING[key] for each in several):
            raise InputError(f"{name}.{key} is {quoted(found[key], 40)}")
        if key not in MOVING and found[key] != fresh[key]:
            raise InputError(f"{name}.{key} is of other settings")


def require_optimizer(found: Any, optimizer: torch.optim.Optimizer, name: str) -> None:
    """Raise `InputError` where the saved state of an optimizer is not one of this optimizer.

    Args:
        found: what ``state_dict`` gave, once.
        optimizer: a new one, of the same parameters.
        name: of the state, for the error.
    """
    groups = optimizer.state_dict()["param_groups"]
    require_alike(found, {"state": {}, "param_groups": groups}, name)
    for number, group in enumerate(groups):
        require_schedule(found["param_groups"][number], group, f"{name}.param_groups.{number}")
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    kept = _kept(optimizer)
    for place, values in found["state"].items():
        if place not in range(len(parameters)) or not isinstance(values, Mapping) or values.keys() != kept.keys():
            raise InputError(f"{name} is of other parameters or of another optimizer")
        # What has one value for each of a parameter's has its shape; else it is a single number.
        wanted = {key: parameters[place].detach() if value.ndim else value for key, value in kept.items()}
        require_alike(values, wanted, f"{name}.{place}")


def _kept(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimizer keeps of a parameter: its state after a step on a parameter of two values."""
    group = optimizer.param_groups[0]
    twin = copy.copy(optimizer)  # shares nothing that the next lines leave in it
    parameter = torch.zeros(2, device=group["params"][0].device, requires_grad=True)
    parameter.grad = torch.ones_like(parameter)
    twin.state, twin.param_groups = defaultdict(dict), [{**group, "params": [parameter]}]
    twin.step()
    return dict(twin.state[parameter])
