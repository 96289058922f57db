"""The three losses of a training, and the images that it sees (Pidhorskyi et al. 2020, section 4 and algorithm 1)."""

import torch
from torch import Tensor
from torch.nn import functional

from frugalseg.backbones.alae.layers import at_least_float32
from frugalseg.backbones.alae.network import ALAE
from frugalseg.backbones.alae.noise import Noise


def discriminator_loss(network: ALAE, real: Tensor, fake: Tensor, blend: float, gamma: float) -> tuple[Tensor, Tensor]:
    """``softplus(D(E(fake))) + softplus(-D(E(real))) + gamma / 2 |grad D(E(real))|^2``, and the last term alone.

    Args:
        network: E and D are trained by it.
        real, fake: (B, 3, S, S) images, without gradients.
        blend: see `Encoder.forward`.
        gamma: weight of the penalty (R1, Mescheder et al. 2018).
    """
    verdict = network.mapping_tl(network.discriminator(fake, blend))
    # The penalty is a gradient of a gradient, too fine for shorter formats than float32.
    with torch.autocast(real.device.type, enabled=False):
        real = at_least_float32(real).requires_grad_()
        logits = network.mapping_tl(network.discriminator(real, blend))
        penalty = squared_gradient(logits, real).mean() * (gamma / 2)
    loss = functional.softplus(at_least_float32(verdict)).mean() + functional.softplus(-logits).mean()
    return loss + penalty, penalty


def squared_gradient(values: Tensor, images: Tensor) -> Tensor:
    """(B,): of each of the (B,) values the squared norm of its gradient at its own image; can be differentiated."""
    (gradient,) = torch.autograd.grad(values.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(dim=1)


def generator_loss(network: ALAE, fake: Tensor, blend: float) -> Tensor:
    """``softplus(-D(E(fake)))``, for G and F by way of the images (B, 3, S, S) that they drew."""
    verdict = network.mapping_tl(network.discriminator(fake, blend))
    return functional.softplus(-at_least_float32(verdict)).mean()


def reciprocity_loss(network: ALAE, codes: Tensor, level: int, blend: float, noise: Noise) -> Tensor:
    """Mean squared error of ``E(G(w))`` against the (B, latent) codes w, which get no gradient as what is aimed at."""
    found = network.discriminator(network.generator(network.styles(codes), level, blend, noise), blend)
    return functional.mse_loss(at_least_float32(found), at_least_float32(codes.detach()))


def at_size(images: Tensor, side: int) -> Tensor:
    """(B, 3, side, side): larger images as the means of their pixels."""
    factor = images.shape[-1] // side
    return functional.avg_pool2d(images, factor) if factor > 1 else images


def faded(images: Tensor, blend: float) -> Tensor:
    """Images that show as much of their finest details as the growing network does."""
    if blend == 1:
        return images
    coarse = functional.interpolate(functional.avg_pool2d(images, 2), scale_factor=2)
    return torch.lerp(coarse, images, blend)
