"""Encoders of masked autoencoders from published files, and from the folders that we write."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from frugalseg.backbones import saved
from frugalseg.backbones.mae.network import Encoder, EncoderShape, MaskedAutoencoder
from frugalseg.backbones.mae.settings import HEAD_WIDTH
from frugalseg.backbones.registry import CONFIG
from frugalseg.backbones.weights import foreign, network_with, read_tensors
from frugalseg.support.errors import InputError

DROPPED = ("decoder_", "mask_token")
"""How the names begin of tensors that features do without: those of the decoder."""
NEEDED = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight")
HUGE_WIDTH, HUGE_HEADS = 1280, 16
"""The published ViT-H is the one network whose heads are not 64 channels wide."""


def load_encoder(path: str | Path, heads: int | None = None) -> Encoder:
    """The encoder of a published file (``.pth``, with or without its decoder) or of a folder of `save_network`.

    Args:
        path: the file or folder.
        heads: attention heads, where the width of the network does not tell them.

    Raises:
        InputError: nothing there, a damaged file, or the checkpoint of another network.
    """
    path = Path(path)
    config: dict[str, Any] = {}
    if path.is_dir():
        config, path = size_and_heads(path), path / saved.WEIGHTS
    tensors = read_tensors(path)
    shape = read_shape(tensors, path, heads or config.get("heads"), config.get("image_size"))
    kept = {k: v for k, v in tensors.items() if not k.startswith(DROPPED)}
    return network_with(lambda: Encoder(shape), kept, path)


def save_network(network: Encoder, folder: Path) -> None:
    """Write a network whose tensors have their published names; see `frugalseg.backbones.saved`."""
    decoder = {"decoder": asdict(network.decoder_shape)} if isinstance(network, MaskedAutoencoder) else {}
    saved.save_network(network, folder, {"family": "mae", **asdict(network.shape), **decoder})


def size_and_heads(folder: Path) -> dict[str, Any]:
    """What the tensors do not tell, from the ``config.json`` of `save_network`: ``image_size`` and ``heads``.

    Raises:
        InputError: there is no such file, it is of another family, or what it says is impossible.
    """
    config = saved.read_config(folder, "mae")
    sizes = config.get("image_size")
    if not isinstance(sizes, list) or len(sizes) != 2 or not all(_positive(n) for n in [*sizes, config.get("heads")]):
        raise InputError(f"{folder / CONFIG}: must say image_size, as [height, width], and heads, all above 0")
    return {"image_size": (sizes[0], sizes[1]), "heads": config["heads"]}


def _positive(value: Any) -> bool:
    return type(value) is int and value > 0


def read_shape(
    tensors: Mapping[str, Tensor], source: Path, heads: int | None = None, image_size: tuple[int, int] | None = None
) -> EncoderShape:
    """The sizes of an encoder, read off the shapes of its tensors.

    Args:
        tensors: the checkpoint.
        source: where it is from, for errors.
        heads: attention heads; None: by the width.
        image_size: (height, width) of the training images; None: square.

    Raises:
        InputError: these are not the tensors of such an encoder, or `heads` or `image_size` do not fit them.
    """
    missing = [name for name in NEEDED if name not in tensors]
    if missing:
        raise foreign(source, f"not the vision transformer of a masked autoencoder (no {missing[0]})", NEEDED, tensors)
    kernel, places = tensors["patch_embed.proj.weight"].shape, tensors["pos_embed"].shape
    if len(kernel) != 4 or kernel[1] != 3 or kernel[2] != kernel[3] or len(places) != 3 or places[1] < 2:
        raise InputError(
            f"{source}: patches of shape {tuple(kernel)} in places {tuple(places)} are not those of images; "
            "give another checkpoint"
        )
    width, patch = int(kernel[0]), int(kernel[2])
    return EncoderShape(
        image_size=_image_size(int(places[1]) - 1, patch, image_size, source),
        patch=patch,
        width=width,
        depth=len({match[1] for name in tensors if (match := re.match(r"blocks\.(\d+)\.", name))}),
        heads=_heads(width, heads, source),
    )


def _image_size(patches: int, patch: int, said: tuple[int, int] | None, source: Path) -> tuple[int, int]:
    side = round(patches**0.5) * patch
    height, width = said or (side, side)
    if height % patch or width % patch or height * width != patches * patch**2:
        what = f"image_size {height}x{width} in {CONFIG} does not fit" if said else "no square image fits"
        raise InputError(
            f"{source}: {what} its {patches} patches of {patch} pixels; "
            f"give the folder that `frugalseg pretrain mae` wrote, whose {CONFIG} says the size"
        )
    return height, width


def _heads(width: int, heads: int | None, source: Path) -> int:
    heads = heads or (HUGE_HEADS if width == HUGE_WIDTH else width // HEAD_WIDTH)
    if heads < 1 or width % heads:
        raise InputError(f"{source}: {width} channels cannot be split over {heads} attention heads; give heads")
    return heads
