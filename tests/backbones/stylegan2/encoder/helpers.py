"""Encoders of a few thousand weights, and files as e4e publishes them."""

import argparse

import torch

from frugalseg.backbones.stylegan2.encoder.network import Encoder, random_network
from frugalseg.backbones.stylegan2.encoder.shape import HeadShape, TrunkShape

TRUNK = TrunkShape(stem=4, widths=(4, 6, 8, 10), units=(1, 2, 3, 1))
HEADS = HeadShape(codes=8, width=5, halvings=1)
"""For images of 32 pixels, and a generator of 32 pixels."""


def encoder(trunk=TRUNK, heads=HEADS, seed=0):
    """A random encoder, whose norms have seen something."""
    network = random_network(Encoder, trunk, heads, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, values in network.state_dict().items():
        if name.endswith(("running_mean", "norm.bias")):
            values.copy_(0.1 * torch.randn(values.shape, generator=generator))
        if name.endswith("running_var"):
            values.copy_(0.5 + torch.rand(values.shape, generator=generator))
    return network


def published(network=None, **beside):
    """The content of an e4e file without a decoder; `beside` replaces entries, and None removes them."""
    tensors = (network or encoder()).state_dict()
    options = {"encoder_type": "Encoder4Editing", "stylegan_size": 32, "start_from_latent_avg": True, "lr": None}
    average = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
    content = {
        "state_dict": {f"encoder.{name}": value for name, value in tensors.items()},
        "latent_avg": average,
        "opts": argparse.Namespace(**options),
        **beside,
    }
    return {name: value for name, value in content.items() if value is not None}
