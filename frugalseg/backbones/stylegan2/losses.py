"""The losses of StyleGAN2's training (Karras et al. 2020, sections 2 to 4)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

R1_INTERVAL, PATH_INTERVAL = 16, 4
"""Steps from one penalty to the next; each then counts as much as if it were taken in every step (section 3.1)."""
PATH_DECAY = 0.01
"""How far the mean length of paths moves towards that of a batch."""


def generator_loss(drawn: Tensor) -> Tensor:
    """How surely drawn images are known as such; `drawn`: (B, 1) logits of the discriminator."""
    return functional.softplus(-drawn.float()).mean()


def discriminator_loss(real: Tensor, drawn: Tensor) -> Tensor:
    """How badly photographs and drawn images are told apart; (B, 1) logits of both."""
    return functional.softplus(-real.float()).mean() + functional.softplus(drawn.float()).mean()


def r1_penalty(judge: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """R1: the squared norm of the gradient of the logits for the images, the mean over them (Mescheder et al. 2018).

    Args:
        judge: gives (B, 1) logits; what changes the images at random is part of it.
        images: (B, 3, H, W).
    """
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(judge(images).sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(images: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """(B,): how far images move with their latents: the norm of the product of random images and the Jacobian.

    Args:
        images: (B, 3, H, W), computed from `ws`.
        ws: (B, N, W), the latent of each layer; the squared norms of the layers are averaged.
        noise: of the shape of `images`, normal numbers.
    """
    scaled = noise / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * scaled).sum(), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def laziness(interval: int | None) -> float:
    """What the learning rate is multiplied by, and the betas of Adam are raised to, because of a penalty's own steps.

    Args:
        interval: steps from one penalty to the next; None: there is none.
    """
    return 1.0 if interval is None else interval / (interval + 1)
