"""A network in a folder of its own: ``config.json`` says what it is, ``model.safetensors`` holds its weights."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from frugalseg.backbones.registry import CONFIG, training_of
from frugalseg.backbones.weights import read_tensors
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError, read_json, save_tensors, write_json
from frugalseg.support.text import brief

Said = TypeVar("Said")
WEIGHTS = "model.safetensors"
TORCH_FORMAT = {"format": "pt"}
"""What other libraries expect in the header of a safetensors file that torch wrote."""


def save_network(
    network: nn.Module, folder: Path, config: Mapping[str, Any], metadata: dict[str, str] | None = TORCH_FORMAT
) -> None:
    """Write a network and what `config` says of it; the inverse of `read_config` and `read_weights`.

    Args:
        network: of any dtype, memory layout and device.
        folder: where to; created where it is missing.
        config: JSON values, among them ``family``, by which `read_config` knows its own folders.
        metadata: for the header of the weights' file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(network, folder, metadata)
    write_json(folder / CONFIG, dict(config))


def save_weights(network: nn.Module, folder: Path, metadata: dict[str, str] | None = TORCH_FORMAT) -> None:
    """Write ``model.safetensors`` alone, for families whose ``backbone.json`` says the rest; see `save_network`."""
    # A copy, because safetensors refuses tensors that share memory, as tied weights do.
    tensors = {name: value.detach().clone().contiguous() for name, value in network.state_dict().items()}
    save_tensors(tensors, folder / WEIGHTS, metadata)


def read_config(folder: Path, family: str) -> dict[str, Any]:
    """The ``config.json`` of a folder that `save_network` wrote for `family`.

    Raises:
        InputError: there is no such file, or it is of another family.
    """
    path = folder / CONFIG
    if not path.is_file() and (folder / "training").is_dir():
        raise InputError(
            f"{folder}: this training has not saved a network yet; run the same frugalseg pretrain "
            f"{training_of(family)} again to go on"
        )
    if not path.is_file():
        raise InputError(
            f"{folder}: no {CONFIG} in this folder; give a folder of `frugalseg pretrain {training_of(family)}`, "
            "or a published file"
        )
    config = read_json(path)
    if not isinstance(config, dict) or config.get("family") != family:
        raise FileError(path, *_of_another_kind(folder, config, training_of(family)))
    return config


def _of_another_kind(folder: Path, config: Any, training: str) -> tuple[str, str]:
    """What a folder holds instead of a network of a training, by its ``config.json``, and what to give."""
    wanted = f"give a folder of `frugalseg pretrain {training}`, or a published file"
    said = config.get("family") if isinstance(config, dict) else None
    if isinstance(said, str):
        return f"a network of `frugalseg pretrain {brief(training_of(said), 40)}`", wanted
    if (folder / "backbone").is_dir():
        return "of a fitted model", f"{wanted}; the model's own network is in {folder / 'backbone'}"
    return f"not of a network that `frugalseg pretrain {training}` wrote", wanted


def read_said(folder: Path, family: str, kind: type[Said], names: Iterable[str] | None = None) -> Said:
    """What the ``config.json`` of a folder says, as a dataclass.

    Args:
        folder: that `save_network` wrote for `family`.
        family: see `read_config`.
        kind: the dataclass.
        names: of the values that it takes, where they are there; None: all but ``family``.

    Raises:
        InputError: see `read_config`; or the values are none of `kind`, and the file is named.
    """
    config = read_config(folder, family)
    wanted = config.keys() - {"family"} if names is None else config.keys() & set(names)
    try:
        return from_json(kind, {name: config[name] for name in config if name in wanted})
    except InputError as error:
        raise FileError(folder / CONFIG, brief(error, 120), "train the network again, or get the folder anew") from None


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of ``model.safetensors``, on the CPU; raises what `read_tensors` raises."""
    return read_tensors(folder / WEIGHTS)
