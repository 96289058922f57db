"""Small networks of StyleGAN2, and files of them as other codes write them."""

import re

import torch

from frugalseg.backbones.stylegan2.network.discriminator import Discriminator
from frugalseg.backbones.stylegan2.network.generator import Generator
from frugalseg.backbones.stylegan2.network.initial import random_network
from frugalseg.backbones.stylegan2.network.shape import DiscriminatorShape, GeneratorShape

SHAPE = GeneratorShape((12, 8, 6), z_width=8, w_width=10, mapping_layers=3, mapping_width=10)
JUDGE = DiscriminatorShape((12, 8, 6), group=2)


def small_generator(seed=0, shape=SHAPE):
    """Random weights, with noise and a mean that are not zero."""
    network = random_network(Generator, shape, seed=seed).eval().requires_grad_(False)
    for number, layer in enumerate(network.synthesis.convolutions.values()):
        layer.noise_strength.fill_(0.1 + 0.1 * number)
    network.mapping.mean.copy_(torch.linspace(-1, 1, shape.w_width))
    return network


def small_discriminator(seed=0):
    return random_network(Discriminator, JUDGE, seed=seed).eval().requires_grad_(False)


def rosinality_tensors(generator):
    """The tensors of a generator by the names of rosinality's layout."""
    found = {}
    for name, value in generator.state_dict().items():
        if name != "mapping.w_avg":
            their, change = rosinality_name(name)
            found[their] = change(value)
    return found


def rosinality_name(name):
    """Their name of a tensor of ours, and how they store it."""
    if match := re.fullmatch(r"mapping\.fc(\d+)\.(\w+)", name):
        return f"style.{int(match[1]) + 1}.{match[2]}", lambda v: v
    if name == "synthesis.b4.const":
        return "input.input", lambda v: v[None]
    block, rest = re.fullmatch(r"synthesis\.b(\d+)\.(.+)", name).groups()
    level = int(block).bit_length() - 3
    if rest == "resample_filter":
        return f"to_rgbs.{level - 1}.upsample.kernel", lambda v: v * 4
    layer, part = rest.split(".", 1)
    if layer == "torgb":
        stem = f"to_rgbs.{level - 1}" if level else "to_rgb1"
        if part == "bias":
            return f"{stem}.bias", lambda v: v[None, :, None, None]
    else:
        number = 2 * level - 1 + (layer == "conv1")
        stem = f"convs.{number - 1}" if number else "conv1"
        if part == "noise_const":
            return f"noises.noise_{number}", lambda v: v[None, None]
    return {
        "weight": (f"{stem}.conv.weight", lambda v: v[None]),
        "affine.weight": (f"{stem}.conv.modulation.weight", lambda v: v),
        "affine.bias": (f"{stem}.conv.modulation.bias", lambda v: v),
        "resample_filter": (f"{stem}.conv.blur.kernel", lambda v: v * 4),
        "noise_strength": (f"{stem}.noise.weight", lambda v: v[None]),
        "bias": (f"{stem}.activate.bias", lambda v: v),
    }[part]
