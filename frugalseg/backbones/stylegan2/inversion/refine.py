"""Codes that are improved: gradient steps from those of the encoder towards an image that looks more alike."""

import math

import torch
from torch import Tensor

from frugalseg.backbones.stylegan2.encoder.inverter import Inverter
from frugalseg.backbones.stylegan2.encoder.losses import image_distance

RATE = 0.1
"""The learning rate of the first step; codes have a deviation of about 1. It falls to zero along half a cosine."""


def refined(network: Inverter, images: Tensor, codes: Tensor, steps: int) -> Tensor:
    """Codes from which the generator draws images nearer to the given ones.

    Each image has its own loss and its own steps of Adam, so its codes do not depend on the others of the batch.

    Args:
        network: its weights must not require gradients.
        images: (B, 3, H, W) in [-1, 1], of the network's `frame`.
        codes: (B, N, W) float32 to begin with.
        steps: how many; gradients must be enabled.

    Returns:
        (B, N, W) without gradients.
    """
    sought = codes.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([sought], lr=RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * step / steps)) / 2
        loss = image_distance(network, network.drawn(sought), images).sum()
        (sought.grad,) = torch.autograd.grad(loss, [sought])
        optimizer.step()
    return sought.detach()
