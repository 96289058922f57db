"""Which file or folder holds which networks: told by what is in it, not by its name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from frugalseg.backbones import saved
from frugalseg.backbones.registry import CONFIG
from frugalseg.backbones.stylegan2.checkpoints.networks import discriminator_of, generator_of
from frugalseg.backbones.stylegan2.checkpoints.official import TORCH, official_discriminator, official_generator
from frugalseg.backbones.stylegan2.checkpoints.rosinality import GIVEN, SIGNS, given_mean, rosinality_generator
from frugalseg.backbones.stylegan2.network.discriminator import Discriminator
from frugalseg.backbones.stylegan2.network.generator import Generator
from frugalseg.backbones.weights import read_content, tensors_in
from frugalseg.support.files import FileError
from frugalseg.support.paths import as_path
from frugalseg.support.ranges import BATCH, POSITIVE
from frugalseg.support.text import quoted

FAMILY = "stylegan2"
DISCRIMINATOR = "discriminator"
"""The folder of the discriminator in a folder of ours."""
PICKLE = b"\x80"
"""How pickles begin."""
AVERAGED = "g_ema"
"""Where rosinality's files have the generator."""


def load_generator(path: str | Path) -> Generator:
    """The generator of a folder of ours, of an official pickle, or of a file in rosinality's or our own layout.

    Returns:
        It, in float32 on the CPU, in training mode.

    Raises:
        InputError: nothing there, a damaged file, or the checkpoint of another network.
    """
    path = as_path(path, "checkpoint")
    if path.is_dir():
        config = saved.read_config(path, FAMILY)
        return generator_of(saved.read_weights(path), path, clamp_in(config, path))
    if is_pickle(path):
        return official_generator(path)
    content = read_content(path)
    tensors, mean = _averaged(content, path)
    return rosinality_generator(tensors, path, mean) if _is_rosinality(tensors) else generator_of(tensors, path)


def load_discriminator(path: str | Path) -> Discriminator:
    """The discriminator of a folder of ours or of an official pickle; see `load_generator`."""
    path = as_path(path, "checkpoint")
    if path.is_dir():
        path = path / DISCRIMINATOR
        config = saved.read_config(path, FAMILY)
        group = config.get("group")
        if not isinstance(group, int) or not BATCH.holds(group):
            raise FileError(path / CONFIG, f"group is {quoted(group)}", "is it damaged?")
        return discriminator_of(saved.read_weights(path), path, group, clamp_in(config, path))
    if is_pickle(path):
        return official_discriminator(path)
    return discriminator_of(tensors_in(read_content(path), path), path)


def save_generator(generator: Generator, folder: Path) -> None:
    """Write a generator as ``config.json`` and ``model.safetensors``, its tensors under their published names."""
    facts = {"size": generator.shape.resolution, "clamp": generator.shape.clamp}
    saved.save_network(generator, folder, {"family": FAMILY, **facts})


def save_discriminator(discriminator: Discriminator, folder: Path) -> None:
    """Write a discriminator into the folder of its generator, in a folder of its own."""
    shape = discriminator.shape
    facts = {"size": shape.resolution, "clamp": shape.clamp, "group": shape.group}
    saved.save_network(discriminator, folder / DISCRIMINATOR, {"family": FAMILY, "part": DISCRIMINATOR, **facts})


def is_pickle(path: Path) -> bool:
    """Whether a file is a pickle that torch did not write; raises `FileError` where there is no file."""
    if not path.is_file():
        raise FileError(path, "no such checkpoint file or folder", "check the path")
    with path.open("rb") as file:
        begin = file.read(len(TORCH))
    return begin.startswith(PICKLE) and begin != TORCH


def clamp_in(config: Mapping[str, Any], folder: Path) -> float | None:
    """Where activations are cut off, from the ``config.json`` of a folder of ours."""
    clamp = config.get("clamp")
    if clamp is not None and (isinstance(clamp, list) or not POSITIVE.holds(clamp)):
        raise FileError(folder / CONFIG, f"clamp is {quoted(clamp)}", "is it damaged?")
    return None if clamp is None else float(clamp)


def _averaged(content: object, path: Path) -> tuple[dict[str, Tensor], Tensor | None]:
    """The tensors of the averaged generator in a file of torch, and the mean of its latents, where the file has it."""
    if not isinstance(content, Mapping):
        return tensors_in(content, path), None
    return tensors_in(content.get(AVERAGED, content), path), given_mean(content.get(GIVEN), path)


def _is_rosinality(tensors: Mapping[str, Tensor]) -> bool:
    return all(name in tensors for name in SIGNS)
