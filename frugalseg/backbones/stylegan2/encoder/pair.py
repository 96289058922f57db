"""Encoders with their generators: from published e4e files, and from the folders that we write."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frugalseg.backbones import saved
from frugalseg.backbones.stylegan2.checkpoints.networks import discriminator_of, generator_of
from frugalseg.backbones.stylegan2.checkpoints.rosinality import rosinality_generator
from frugalseg.backbones.stylegan2.checkpoints.source import DISCRIMINATOR as OF_FOLDER
from frugalseg.backbones.stylegan2.checkpoints.source import is_pickle, load_discriminator
from frugalseg.backbones.stylegan2.encoder.checkpoint import FAMILY, EncoderConfig, encoder_config
from frugalseg.backbones.stylegan2.encoder.inverter import Inverter, per_layer
from frugalseg.backbones.stylegan2.encoder.network import Encoder, random_network
from frugalseg.backbones.stylegan2.encoder.published import AVERAGE, ENCODER, Published, part, read_published
from frugalseg.backbones.stylegan2.encoder.shape import head_shape, trunk_shape
from frugalseg.backbones.stylegan2.network import initial
from frugalseg.backbones.stylegan2.network.discriminator import Discriminator
from frugalseg.backbones.stylegan2.network.generator import Generator
from frugalseg.backbones.weights import network_with
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from frugalseg.support.paths import as_path
from frugalseg.support.ranges import POSITIVE

GENERATOR, DISCRIMINATOR = "generator.", "discriminator."
ANOTHER = "is it the checkpoint of another network?"


@dataclass(frozen=True)
class PairConfig:
    """What a ``config.json`` says of the networks beside the encoder; the tensors tell the rest.

    Attributes:
        clamp: of the generator, see `GeneratorShape`.
        discriminator_clamp, group: of the discriminator, see `DiscriminatorShape`.
    """

    clamp: float | None = None
    discriminator_clamp: float | None = None
    group: int = 4

    def __post_init__(self) -> None:
        for name in ("clamp", "discriminator_clamp"):
            value = getattr(self, name)
            if value is not None and not POSITIVE.holds(value):
                raise InputError(f"{name} is {value:g}; give {POSITIVE}")
        if not 1 <= self.group <= 2**16:
            raise InputError(f"group is {self.group}; give a number of images")


def load_inverter(checkpoint: str | Path) -> Inverter:
    """Encoder and generator of a checkpoint, in float32 on the CPU.

    Args:
        checkpoint: a published file, or a folder that `frugalseg pretrain e4e` or `save_inverter` wrote.

    Raises:
        InputError: nothing there, a damaged file, the checkpoint of another network, or one without a generator.
    """
    path = as_path(checkpoint, "checkpoint")
    return _of_folder(path) if path.is_dir() else _of_published(read_published(path), path)


def save_inverter(network: Inverter, folder: Path) -> None:
    """Write encoder, generator and discriminator; the inverse of `load_inverter`."""
    discriminator = network.discriminator
    config: dict[str, Any] = {
        "family": FAMILY,
        "image_size": list(network.image_size),
        "first_stride": network.encoder.shape.first_stride,
        "clamp": network.generator.shape.clamp,
    }
    if discriminator is not None:
        config |= {"discriminator_clamp": discriminator.shape.clamp, "group": discriminator.shape.group}
    saved.save_network(network, folder, config)


def encoder_with(tensors: Mapping[str, Tensor], first_stride: int, source: Path) -> Encoder:
    """The encoder with these tensors, by their names without ``encoder.``; raises `FileError` if they are of none."""
    try:
        trunk, heads = trunk_shape(tensors, first_stride), head_shape(tensors)
    except InputError as error:
        raise FileError(source, f"not an e4e encoder ({error})", ANOTHER) from None
    return network_with(lambda: Encoder(trunk, heads), tensors, source)


def _of_folder(folder: Path) -> Inverter:
    config, pair = encoder_config(folder), _pair_config(folder)
    tensors, source = saved.read_weights(folder), folder / saved.WEIGHTS
    ours, theirs = part(tensors, GENERATOR), part(tensors, DISCRIMINATOR)
    if not ours or AVERAGE not in tensors:
        what = "no generator in this folder, but an encoder alone, which --backbone gan_encoder reads"
        raise FileError(folder, what, "give the folder of `frugalseg pretrain e4e`")
    generator = generator_of(ours, source, pair.clamp)
    discriminator = discriminator_of(theirs, source, pair.group, pair.discriminator_clamp) if theirs else None
    return _joined(part(tensors, ENCODER), config, generator, discriminator, tensors[AVERAGE], source)


def _pair_config(folder: Path) -> PairConfig:
    return saved.read_said(folder, FAMILY, PairConfig, ("clamp", "discriminator_clamp", "group"))


def _of_published(found: Published, path: Path) -> Inverter:
    if not found.decoder:
        what = "an e4e file without its decoder, the generator; --backbone gan_encoder reads such files"
        raise FileError(path, what, "give the whole file")
    if found.average is None and found.from_average:
        raise FileError(path, f"no {AVERAGE}, which is added to the codes", "give the whole file")
    generator = rosinality_generator(found.decoder, path, found.average)
    average = found.average if found.from_average else None
    if average is None:
        average = torch.zeros(generator.shape.w_width)
    config = EncoderConfig(found.image_size, 2)
    return _joined(found.encoder, config, generator, None, average, path)


def _joined(
    tensors: Mapping[str, Tensor],
    config: EncoderConfig,
    generator: Generator,
    discriminator: Discriminator | None,
    average: Tensor,
    source: Path,
) -> Inverter:
    """All parts as one network; raises `FileError` where they do not fit one another."""
    encoder = encoder_with(tensors, config.first_stride, source)
    try:
        mean = per_layer(average, encoder.heads.codes)
        return Inverter(encoder, generator, discriminator, mean, config.image_size)
    except InputError as error:
        raise FileError(source, f"its parts do not fit together: {error}", "is it damaged?") from None


def discriminator_beside(checkpoint: Path) -> Discriminator | None:
    """The discriminator of a StyleGAN2's checkpoint; None where it holds the generator alone."""
    if (checkpoint / OF_FOLDER).is_dir() or (checkpoint.is_file() and is_pickle(checkpoint)):
        return load_discriminator(checkpoint)
    return None


def random_inverter(network: Inverter, seed: int) -> Inverter:
    """The same networks with random weights."""
    encoder = random_network(Encoder, network.encoder.shape, network.encoder.heads, seed=seed)
    generator = initial.random_network(Generator, network.generator.shape, seed)
    discriminator = network.discriminator and initial.random_network(Discriminator, network.discriminator.shape, seed)
    average = torch.zeros(network.latent_avg.shape)
    return Inverter(encoder, generator, discriminator, average, network.image_size)
