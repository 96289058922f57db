"""Encoders with generators of a few thousand weights."""

import torch

from frugalseg.backbones.stylegan2.encoder.inverter import Inverter
from frugalseg.backbones.stylegan2.network.discriminator import Discriminator
from frugalseg.backbones.stylegan2.network.generator import Generator
from frugalseg.backbones.stylegan2.network.initial import random_network
from frugalseg.backbones.stylegan2.network.shape import DiscriminatorShape, GeneratorShape
from tests.backbones.stylegan2.encoder.helpers import encoder, published
from tests.backbones.stylegan2.layouts import rosinality_tensors

GENERATOR = GeneratorShape((6, 5, 4, 3), z_width=5, w_width=5, mapping_layers=2, mapping_width=5, clamp=None)
DISCRIMINATOR = DiscriminatorShape((6, 5, 4, 3), group=2)


def generator(seed=0):
    network = random_network(Generator, GENERATOR, seed)
    for layer in network.synthesis.convolutions.values():
        layer.noise_strength.data.fill_(0.3)
    return network


def discriminator(seed=0):
    return random_network(Discriminator, DISCRIMINATOR, seed)


def with_decoder(changes=None, **beside):
    """The content of an e4e file, with `changes` of its tensors; None removes a tensor, or what lies `beside` them."""
    content = {**published(), **beside}
    decoder = {f"decoder.{name}": value for name, value in rosinality_tensors(generator()).items()}
    tensors = {**content["state_dict"], **decoder, **(changes or {})}
    content["state_dict"] = {name: value for name, value in tensors.items() if value is not None}
    return {name: value for name, value in content.items() if value is not None}


def inverter(image_size=(32, 32), judged=True):
    """For images of 32 pixels."""
    average = torch.randn(8, 5, generator=torch.Generator().manual_seed(2))
    critic = discriminator() if judged else None
    return Inverter(encoder(), generator(), critic, average, image_size).eval().requires_grad_(False)
