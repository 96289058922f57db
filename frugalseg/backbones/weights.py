"""Checkpoints as data: reading tensors from files that strangers made, and fitting them into our networks."""

import argparse
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from frugalseg.support.errors import InputError

CONTAINERS = ("state_dict", "model", "ema", "teacher")
LISTED = 10
HARMLESS: list[Any] = [argparse.Namespace]
"""Classes, beside tensors and plain data, that a torch file may hold: the settings beside published weights; unused."""


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The named tensors of a ``.safetensors`` file or of a torch file, on the CPU; nothing in the file is executed.

    A torch file may hold the tensors at top level or under one of the usual keys (`CONTAINERS`);
    its other entries, among them the settings of a training as an `argparse.Namespace`, are left out.

    Raises:
        InputError: no such file, a damaged file, or one that holds anything but plain data.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = _read_torch(path)
    for key in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    if not tensors:
        raise InputError(f"{path}: no tensors by name in this checkpoint; give the file that holds the state dict")
    return tensors


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: damaged or truncated safetensors file ({_line(error)}); download it again") from None
    return tensors


def _read_torch(path: Path) -> object:
    try:
        with torch.serialization.safe_globals(HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except pickle.UnpicklingError as error:
        if "Weights only load failed" in str(error) and "GLOBAL" in str(error):
            raise InputError(
                f"{path}: holds Python objects beside tensors, which are never executed; save its state dict alone"
            ) from None
        raise InputError(f"{path}: not a torch checkpoint, or a damaged one; download it again") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: damaged or truncated checkpoint ({_line(error)}); download it again") from None


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], source: str | Path) -> None:
    """Copy `tensors` into `network`: every parameter and buffer must be given, with its shape, and nothing else.

    Raises:
        InputError: keys are missing, unknown or of another shape; at most ten of each are listed.
    """
    own = network.state_dict()
    complain(source, "lacks", own.keys() - tensors.keys())
    complain(source, "has unknown", tensors.keys() - own.keys())
    wrong = [
        f"{k} {tuple(tensors[k].shape)} for {tuple(own[k].shape)}" for k in own if tensors[k].shape != own[k].shape
    ]
    complain(source, "has tensors of another shape:", wrong)
    network.load_state_dict(dict(tensors), assign=False)


def complain(source: str | Path, verb: str, keys: Iterable[str]) -> None:
    """Raise `InputError` when there are `keys`, listing at most ten of them."""
    found = sorted(keys)
    if found:
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        listed = ", ".join(found[:LISTED]) + more
        raise InputError(f"{source}: {verb} {listed}; is it the checkpoint of another network?")
