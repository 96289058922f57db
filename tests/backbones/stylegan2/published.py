"""The golden checkpoints of StyleGAN2, as tensors and as networks."""

import torch

from frugalseg.backbones.stylegan2.checkpoints.networks import discriminator_of, generator_of
from frugalseg.backbones.stylegan2.network.shape import CLAMP
from tests.golden import golden

GENERATOR, DISCRIMINATOR = "G_ema.", "D."


def tensors(expected, prefix):
    """The tensors of a part of a golden checkpoint, by the names that they have in that part."""
    wanted = {**expected, "tensors": [entry for entry in expected["tensors"] if entry[0].startswith(prefix)]}
    return {key.removeprefix(prefix): torch.from_numpy(v) for key, v in golden.tensors(wanted).items()}


def inputs(expected):
    return {k: torch.from_numpy(v) for k, v in golden.inputs(expected).items()}


def generator(expected, clamp=CLAMP):
    return generator_of(tensors(expected, GENERATOR), "golden", clamp).eval()


def discriminator(expected, clamp=CLAMP):
    return discriminator_of(tensors(expected, DISCRIMINATOR), "golden", clamp=clamp).eval()
