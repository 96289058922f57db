"""The decoder of a VDVAE: a chain of latents, each drawn from what the ones before it say (Child 2021, section 3)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from frugalseg.backbones.vdvae.blocks import Block
from frugalseg.backbones.vdvae.gaussian import Gaussian
from frugalseg.backbones.vdvae.running import run
from frugalseg.backbones.vdvae.shape import VDVAEShape, middle_width

Latent = Callable[[int, Gaussian, Gaussian | None], Tensor]
"""Gives the latent of a block from its number, its prior, and its posterior where there is one."""


def posterior_mean(number: int, prior: Gaussian, posterior: Gaussian | None) -> Tensor:
    """The latents of an image without any chance."""
    assert posterior is not None
    return posterior.mean


@dataclass(frozen=True, eq=False)
class Step:
    """What a block of the decoder did.

    Attributes:
        number: of the block, from 0.
        resolution: at which it works.
        state: (B, width, h, w) of that resolution after the block.
        latent: (B, zdim, h, w).
        prior: what the state before the block says of the latent.
        posterior: what the image says of it, too; None where there is no image.
    """

    number: int
    resolution: int
    state: Tensor
    latent: Tensor
    prior: Gaussian
    posterior: Gaussian | None


class DecoderBlock(nn.Module):
    """A prior, a posterior, and what the latent does to the state; names as in the published files."""

    def __init__(self, width: int, zdim: int, resolution: int) -> None:
        super().__init__()
        middle = middle_width(width)
        self.width, self.zdim = width, zdim
        self.enc = Block(2 * width, middle, 2 * zdim, resolution)
        self.prior = Block(width, middle, 2 * zdim + width, resolution)
        self.z_proj = nn.Conv2d(zdim, width, 1)
        self.resnet = Block(width, middle, width, resolution, residual=True)

    def forward(
        self, number: int, x: Tensor, activation: Tensor | None, latent: Latent
    ) -> tuple[Tensor, Tensor, Gaussian, Gaussian | None]:
        """The state after the block, the latent, its prior and its posterior; see `Step`.

        Args:
            number: of the block, for `latent`.
            x: (B, width, h, w), the state before the block.
            activation: (B, width, h, w) of the encoder; None where there is no image.
            latent: chooses the latent.
        """
        posterior = None
        if activation is not None:
            posterior = Gaussian(*self.enc(torch.cat([x, activation], dim=1)).chunk(2, dim=1))
        mean, log_std, features = self.prior(x).split([self.zdim, self.zdim, self.width], dim=1)
        prior = Gaussian(mean, log_std)
        z = latent(number, prior, posterior)
        return self.resnet(x + features + self.z_proj(z)), z, prior, posterior


class OutNet(nn.Module):
    """The parameters of a mixture of logistic distributions for each pixel."""

    def __init__(self, width: int, mixtures: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(width, 10 * mixtures, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 10 * mixtures, H, W); see `frugalseg.backbones.vdvae.logistic`."""
        parameters: Tensor = self.out_conv(x)
        return parameters


class Decoder(nn.Module):
    """Blocks from the coarsest resolution up to the image; one state for each resolution."""

    def __init__(self, shape: VDVAEShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width(shape.image_size[0])
        self.gain = nn.Parameter(torch.ones(1, width, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.dec_blocks = nn.ModuleList(
            DecoderBlock(shape.width(place.resolution), shape.zdim, place.resolution) for place in shape.decoder_places
        )
        self.bias_xs = nn.ParameterList(
            nn.Parameter(torch.zeros(1, shape.width(rows), *shape.grid(rows))) for rows in shape.biased
        )
        self.out_net = OutNet(width, shape.mixtures)

    def walk(
        self, batch: int, activations: Mapping[int, Tensor] | None, latent: Latent, checkpointing: bool = False
    ) -> Iterator[Step]:
        """Block after block; a block runs when it is asked for.

        Args:
            batch: number of images.
            activations: of the encoder, by resolution; None where there are no images.
            latent: chooses the latent of each block.
            checkpointing: compute each block again in the backward pass rather than keep what it computed.
        """
        states: dict[int, Tensor] = dict(zip(self.shape.biased, self.bias_xs, strict=True))
        for number, (place, block) in enumerate(zip(self.shape.decoder_places, self.dec_blocks, strict=True)):
            x = self.state(states, place.resolution, batch)
            if place.lower is not None:
                scale = place.resolution // place.lower
                x = x + functional.interpolate(states[place.lower][:, : x.shape[1]], scale_factor=scale)
            activation = None if activations is None else activations[place.resolution]
            done = run(block, number, x, activation, latent, checkpointing=checkpointing)
            states[place.resolution] = done[0]
            yield Step(number, place.resolution, *done)

    def state(self, states: Mapping[int, Tensor], resolution: int, batch: int) -> Tensor:
        """(B, width, h, w): the state of a resolution so far, which is the same for all images at first."""
        if resolution not in states:
            return self.gain.new_zeros(batch, self.shape.width(resolution), *self.shape.grid(resolution))
        return states[resolution].expand(batch, -1, -1, -1)

    def final(self, state: Tensor) -> Tensor:
        """(B, width, H, W): the state at image resolution after the last block, scaled and shifted."""
        return state * self.gain + self.bias
