"""How far drawn images are from given ones, by pixels and by what a discriminator sees in them."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

from frugalseg.backbones.stylegan2.encoder.inverter import Inverter
from frugalseg.backbones.stylegan2.network.discriminator import Discriminator

FEATURES = 0.8
"""Weight of the distance of features against that of pixels; that of the perceptual distance of e4e (section 4)."""
EPS = 1e-10


def image_distance(network: Inverter, drawn: Tensor, images: Tensor, weight: float = FEATURES) -> Tensor:
    """(B,) float32: how far drawn images are from those that they should be.

    Args:
        network: its discriminator compares features, if it has one and the images are squares.
        drawn: (B, 3, r, r), what the generator drew.
        images: (B, 3, H, W) of the network's `frame`. Both are in [-1, 1].
        weight: of the features.
    """
    distance = pixel_distance(network.framed(drawn), images)
    if network.discriminator is None or drawn.shape != images.shape:
        return distance
    return distance + weight * feature_distance(network.discriminator, drawn, images)


def pixel_distance(drawn: Tensor, images: Tensor) -> Tensor:
    """(B,): the mean squared difference of all values."""
    return (drawn.float() - images.float()).square().mean(dim=(1, 2, 3))


def feature_distance(discriminator: Discriminator, drawn: Tensor, images: Tensor) -> Tensor:
    """(B,): the difference of the discriminator's features, as LPIPS has it (Zhang et al. 2018) but without weights.

    The vectors at each place are scaled to length 1; of the squared length of their difference, from 0 to 4, the mean
    is taken over all places, and over the residual blocks.
    """
    with torch.no_grad():
        wanted = list(discriminator.features(images))
    return mean_of(
        (unit(found) - unit(other)).square().sum(dim=1).mean(dim=(1, 2))
        for found, other in zip(discriminator.features(drawn), wanted, strict=True)
    )


def unit(maps: Tensor) -> Tensor:
    """(B, C, h, w) float32, the vector of each place scaled to length 1."""
    return functional.normalize(maps.float(), dim=1, eps=EPS)


def mean_of(values: Iterable[Tensor]) -> Tensor:
    """The mean of some tensors of one shape."""
    return torch.stack(list(values)).mean(dim=0)


def delta_lengths(codes: Tensor, apart: int) -> Tensor:
    """0-dimensional: the lengths by which the (B, N, W) codes differ from the first, of which `apart` are told apart.

    The sum over the codes of the mean over the images (section 4.1).
    """
    lengths: Tensor = (codes[:, 1:apart] - codes[:, :1]).norm(dim=2)
    return lengths.mean(dim=0).sum()


def deception(logits: Tensor) -> Tensor:
    """0-dimensional: what the encoder loses where its codes are seen not to come from the mapping network."""
    return functional.softplus(-logits.float()).mean()


def detection(real: Tensor, found: Tensor) -> Tensor:
    """0-dimensional: what the latent discriminator loses by its logits of latents and of an encoder's codes."""
    return functional.softplus(-real.float()).mean() + functional.softplus(found.float()).mean()
