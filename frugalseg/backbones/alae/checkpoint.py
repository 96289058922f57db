"""Autoencoders from published files (``.pth``), and from the folders that we write."""

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from frugalseg.backbones import saved
from frugalseg.backbones.alae.network import ALAE
from frugalseg.backbones.alae.shape import Shape
from frugalseg.backbones.registry import CONFIG
from frugalseg.backbones.weights import (
    ANOTHER,
    foreign,
    names,
    network_with,
    read_content,
    require_backed,
)
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from frugalseg.support.paths import as_path
from frugalseg.support.text import brief

log = logging.getLogger(__name__)

NETWORKS = ("discriminator", "generator", "mapping_tl", "mapping_fl")
MEAN = "dlatent_avg"
AVERAGED = "_s"
"""How the names of networks with averaged weights end."""
COUNTED = re.compile(
    r"((?:discriminator\.(?:from_rgb|encode_block)|generator\.(?:to_rgb|decode_block))\.)(\d{1,6})(\..+)"
)
"""Tensors of the parts that there are one of for each resolution."""
MEAN_CODES = f"{MEAN}.buff"
FIRST_COLORS = "discriminator.from_rgb.0.from_rgb.weight"
FIRST_MAPPING = "mapping_fl.map_blocks.0.fc.weight"
LAST_WIDTH = "discriminator.encode_block.{}.conv_2.weight"


class StandIn:
    """Takes the place of an object that is of no use to us, and forgets all that it is given."""

    def __new__(cls, *_: object) -> "StandIn":
        """An empty object."""
        return super().__new__(cls)

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


STAND_INS = [(StandIn, f"tracker.{name}") for name in ("RunningMeanTorch", "RunningMean")]
"""Classes of the published training code, whose instances lie beside the weights in its files."""


def load_network(path: str | Path) -> ALAE:
    """The autoencoder of a published file or of a folder of `save_network`.

    Args:
        path: of the file or folder. Of a published file the averaged networks are read, where it has them.

    Raises:
        FileError: nothing there, a damaged file, or the checkpoint of another network.
    """
    path = as_path(path, "checkpoint")
    if path.is_dir():
        return _from_folder(path)
    return network_of(published(read_content(path, STAND_INS), path), path)


def save_network(network: ALAE, folder: Path) -> None:
    """Write a network under its published names; see `frugalseg.backbones.saved`."""
    saved.save_network(network, folder, {"family": "alae", **asdict(network.shape)})


def _from_folder(folder: Path) -> ALAE:
    shape = saved.read_said(folder, "alae", Shape)
    network = network_of(saved.read_weights(folder), folder / saved.WEIGHTS)
    # No tensor tells of a largest width that no layer reaches.
    if network.shape != replace(shape, most=shape.channels(-1)):
        raise FileError(folder / CONFIG, f"says {shape}, but the weights are of {network.shape}", "copy both again")
    return network


def network_of(tensors: Mapping[str, Tensor], source: Path) -> ALAE:
    """The network that has these tensors, by their published names without those of averages."""
    shape = read_shape(tensors, source)
    return network_with(lambda: ALAE(shape), _of_this_size(tensors, shape, source), source)


def published(content: object, path: Path) -> dict[str, Tensor]:
    """The tensors in what a file holds: those of the averaged networks, as if they were the networks themselves.

    Raises:
        FileError: see `load_network`.
    """
    models = content.get("models") if isinstance(content, Mapping) else None
    if not isinstance(models, Mapping):
        raise foreign(path, "not the file of an adversarial latent autoencoder", ["models"], _keys(content))
    ending = AVERAGED if all(name + AVERAGED in models for name in NETWORKS) else ""
    wanted = {**{name + ending: name for name in NETWORKS}, MEAN: MEAN}
    known = {*NETWORKS, MEAN, *(name + AVERAGED for name in NETWORKS)}
    if not wanted.keys() <= models.keys() <= known:
        odd = [str(name) for name in models if name not in known]
        raise foreign(path, "not the networks of an adversarial latent autoencoder", wanted, odd or map(str, models))
    tensors = {f"{ours}.{key}": value for name, ours in wanted.items() for key, value in _named(models[name]).items()}
    require_backed(tensors, path)
    return tensors


def _keys(content: object) -> list[str]:
    """The keys in a file, then those one level below: one of them may tell of which family it is."""
    parts = [content, *content.values()] if isinstance(content, Mapping) else []
    return [str(key) for part in parts if isinstance(part, Mapping) for key in part]


def _named(network: Any) -> dict[str, Tensor]:
    entries = network.items() if isinstance(network, Mapping) else ()
    return {str(key): value for key, value in entries if isinstance(value, Tensor)}


def read_shape(tensors: Mapping[str, Tensor], source: Path) -> Shape:
    """The sizes of an autoencoder, read off the shapes of its tensors.

    Raises:
        FileError: these are not the tensors of one.
    """
    mean, colors, first = (tensors.get(name) for name in (MEAN_CODES, FIRST_COLORS, FIRST_MAPPING))
    layers = len(mean) // 2 if mean is not None and mean.ndim == 2 else 0
    last = tensors.get(LAST_WIDTH.format(layers - 1))
    if mean is None or colors is None or first is None or last is None or 0 in (colors.ndim, last.ndim):
        wanted = (MEAN_CODES, FIRST_COLORS, FIRST_MAPPING, LAST_WIDTH.format(max(layers - 1, 0)))
        raise foreign(source, "not an adversarial latent autoencoder", wanted, tensors)
    mapping = sum(name.startswith("mapping_fl.") and name.endswith(".weight") for name in tensors)
    try:
        return Shape(layers, mean.shape[1], colors.shape[0], last.shape[0], mapping)
    except InputError as error:
        raise FileError(source, f"the tensors of no autoencoder ({brief(error)})", ANOTHER) from None


def _of_this_size(tensors: Mapping[str, Tensor], shape: Shape, source: Path) -> dict[str, Tensor]:
    """The tensors without those of further resolutions, which files have that were cut from larger networks."""
    parts = {name: COUNTED.fullmatch(name) for name in tensors}
    known = {match[1] + match[3] for match in parts.values() if match and int(match[2]) == 1}
    beyond = {n: None for n, m in parts.items() if m and int(m[2]) >= shape.layers and m[1] + m[3] in known}
    if beyond:
        log.info("%s: left out %d tensors of a larger network: %s", source, len(beyond), names(beyond))
    return {name: value for name, value in tensors.items() if name not in beyond}
