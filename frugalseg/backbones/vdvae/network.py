"""A very deep variational autoencoder (Child 2021): encoder, decoder, and the bound on the likelihood of images."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from frugalseg.backbones.vdvae.decoder import Decoder, Latent, Step, posterior_mean
from frugalseg.backbones.vdvae.encoder import Encoder
from frugalseg.backbones.vdvae.gaussian import Gaussian, divergence
from frugalseg.backbones.vdvae.logistic import Mixture
from frugalseg.backbones.vdvae.pixels import Pixels, to_images
from frugalseg.backbones.vdvae.shape import VDVAEShape


class VDVAE(nn.Module):
    """The whole network; its tensors have their published names.

    Attributes:
        shape: its sizes.
        pixels: how images are handed to it.
    """

    def __init__(self, shape: VDVAEShape, pixels: Pixels) -> None:
        super().__init__()
        self.shape, self.pixels = shape, pixels
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape)

    def forward(self, inputs: Tensor, noise: Sequence[Tensor], checkpointing: bool = False) -> tuple[Tensor, Tensor]:
        """The pass that learns.

        Args:
            inputs: (B, 3, H, W) as `Pixels.inputs` gives them.
            noise: standard normal (B, zdim, h, w) for each block of the decoder.
            checkpointing: see `Decoder.walk`.

        Returns:
            (B, 10 * mixtures, H, W) parameters of the pixels' distributions, and the (B,) rate: the divergence of
            posteriors from priors, in nats for each color of each pixel.
        """
        activations = self.encoder(inputs, checkpointing=checkpointing)
        rates = []
        for step in self.decoder.walk(len(inputs), activations, drawn_from_posterior(noise), checkpointing):
            assert step.posterior is not None
            rates.append(divergence(step.posterior, step.prior).sum(dim=(1, 2, 3)))
        return self.out(step), torch.stack(rates).sum(0) / math.prod(inputs.shape[1:])

    def out(self, step: Step) -> Tensor:
        """(B, 10 * mixtures, H, W): the parameters of the pixels' distributions after the last block."""
        return self.decoder.out_net(self.decoder.final(step.state))  # type: ignore[no-any-return]

    def reconstructions(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float32 in [0, 1]: what the network makes of images through the means of its posteriors.

        Args:
            images: (B, 3, H, W) float32 in [0, 1], of the network's size.
        """
        activations = self.encoder(self.pixels.inputs(images).to(self.decoder.gain.dtype))
        return self.drawn(activations, posterior_mean, len(images))

    def drawn(self, activations: dict[int, Tensor] | None, latent: Latent, batch: int) -> Tensor:
        """(B, 3, H, W) float32 in [0, 1]: the most likely pixels for some latents; see `Decoder.walk`."""
        for step in self.decoder.walk(batch, activations, latent):
            last = step
        return to_images(Mixture.of(self.out(last)).most_likely())


def drawn_from_posterior(noise: Sequence[Tensor]) -> Latent:
    """Latents of images, as they are in training."""

    def latent(number: int, prior: Gaussian, posterior: Gaussian | None) -> Tensor:
        assert posterior is not None
        return posterior.sample(noise[number])

    return latent


def drawn_from_prior(noise: Sequence[Tensor], temperature: float) -> Latent:
    """Latents of new images; at a lower temperature, images are less various and more likely."""
    return lambda number, prior, _: prior.sample(noise[number], temperature)


def split_noise(noise: Tensor, shape: VDVAEShape) -> list[Tensor]:
    """(B, zdim, h, w) for each block of the decoder, from (B, N) numbers with `noise_size` for N."""
    parts = noise.split([math.prod(each) for each in shape.latents], dim=1)
    return [part.unflatten(1, each) for part, each in zip(parts, shape.latents, strict=True)]


def noise_size(shape: VDVAEShape) -> int:
    """How many numbers the latents of an image have."""
    return sum(math.prod(each) for each in shape.latents)


def random_network(shape: VDVAEShape, pixels: Pixels, seed: int) -> VDVAE:
    """A network with the random weights of the official code; torch's own random state stays as it is.

    Biases are 0, and so is what a prior says at first. Whatever a block adds to what runs past it is scaled by
    ``sqrt(1 / n)``, n being the blocks of the encoder or of the decoder, so that deep networks begin as calm as shallow
    ones (section 3.1).
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = VDVAE(shape, pixels)
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                module.bias.zero_()
        down: list[Any] = list(network.encoder.enc_blocks)
        up: list[Any] = list(network.decoder.dec_blocks)
        for block in down:
            block.c4.weight.mul_(len(down) ** -0.5)
        for block in up:
            block.prior.c4.weight.zero_()
            block.z_proj.weight.mul_(len(up) ** -0.5)
            block.resnet.c4.weight.mul_(len(up) ** -0.5)
    return network
