"""Body and pyramid of an encoder: from published e4e files, and from the folders that we write."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from frugalseg.backbones import saved
from frugalseg.backbones.stylegan2.encoder.network import Trunk
from frugalseg.backbones.stylegan2.encoder.published import ENCODER, part, read_published
from frugalseg.backbones.stylegan2.encoder.shape import trunk_shape
from frugalseg.backbones.weights import network_with
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError

FAMILY = "gan_encoder"
HEADS = "styles."


@dataclass(frozen=True)
class SavedTrunk:
    """An encoder without its heads, and the (height, width) of the images that it was trained on."""

    trunk: Trunk
    image_size: tuple[int, int]


@dataclass(frozen=True)
class EncoderConfig:
    """The part of a ``config.json`` that all folders with an encoder have: what its tensors do not tell.

    Attributes:
        image_size: (height, width) of the training images.
        first_stride: see `TrunkShape`.
    """

    image_size: tuple[int, int]
    first_stride: int

    def __post_init__(self) -> None:
        if min(self.image_size) < 1 or max(self.image_size) > 2**14:
            raise InputError(f"image_size is {self.image_size[0]}x{self.image_size[1]}; give height and width")


def load_trunk(checkpoint: str | Path) -> SavedTrunk:
    """Body and pyramid of a checkpoint.

    Args:
        checkpoint: a published file, or a folder that `frugalseg pretrain e4e` or `save_trunk` wrote.

    Raises:
        InputError: nothing there, a damaged file, or the checkpoint of another network.
    """
    path = Path(checkpoint)
    if path.is_dir():
        config = encoder_config(path)
        tensors, source = part(saved.read_weights(path), ENCODER), path / saved.WEIGHTS
        return SavedTrunk(trunk_with(tensors, config.first_stride, source), config.image_size)
    found = read_published(path)
    return SavedTrunk(trunk_with(found.encoder, 2, path), found.image_size)


def encoder_config(folder: Path) -> EncoderConfig:
    """What the ``config.json`` of a folder says of the encoder in it; raises `InputError` where it does not."""
    return saved.read_said(folder, FAMILY, EncoderConfig, ("image_size", "first_stride"))


def trunk_with(tensors: Mapping[str, Tensor], first_stride: int, source: Path) -> Trunk:
    """Body and pyramid with the tensors of an encoder, by their names without ``encoder.``; the heads are left out.

    Raises:
        FileError: they are not those of such an encoder.
    """
    kept = {name: value for name, value in tensors.items() if not name.startswith(HEADS)}
    try:
        shape = trunk_shape(kept, first_stride)
    except InputError as error:
        raise FileError(source, f"not an e4e encoder ({error})", "is it the checkpoint of another network?") from None
    return network_with(lambda: Trunk(shape), kept, source)


def save_trunk(found: SavedTrunk, folder: Path) -> None:
    """Write body and pyramid; the inverse of `load_trunk`."""
    config: dict[str, Any] = {
        "family": FAMILY,
        "image_size": list(found.image_size),
        "first_stride": found.trunk.shape.first_stride,
    }
    saved.save_network(nn.ModuleDict({ENCODER[:-1]: found.trunk}), folder, config)
