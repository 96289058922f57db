"""An adversarial latent autoencoder as a whole; its tensors have the names of the published files."""

import torch
from torch import Tensor, nn

from frugalseg.backbones.alae.decoder import Generator
from frugalseg.backbones.alae.encoder import Encoder
from frugalseg.backbones.alae.layers import equalized_layers
from frugalseg.backbones.alae.mappings import MappingD, MappingF
from frugalseg.backbones.alae.shape import Shape

PSI, CUTOFF = 0.7, 8
"""Truncation as published: the styles of the first 8 slots are moved towards the mean code until 0.7 is left."""


class MeanCode(nn.Module):
    """The running mean of the codes that F gives, one for each slot."""

    buff: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("buff", torch.zeros(shape.slots, shape.latent))


class ALAE(nn.Module):
    """Encoder E, generator G, the mappings F and D, and the mean code.

    Their names are those of the published files: E is called the discriminator, for D is but its last layers;
    ``mapping_fl`` is F, ``mapping_tl`` is D, ``dlatent_avg`` the mean code.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.discriminator = Encoder(shape)
        self.generator = Generator(shape)
        self.mapping_tl = MappingD(shape.latent)
        self.mapping_fl = MappingF(shape.latent, shape.mapping)
        self.dlatent_avg = MeanCode(shape)

    def styles(self, codes: Tensor, psi: float = 1.0, cutoff: int = CUTOFF) -> Tensor:
        """(B, slots, latent): (B, latent) codes in every slot, the first `cutoff` moved towards the mean code.

        Args:
            codes: w.
            psi: what is left of the distance to the mean code; 1 leaves codes as they are.
            cutoff: slots that are moved.
        """
        styles = codes[:, None].expand(-1, self.shape.slots, -1)
        if psi == 1:
            return styles
        mean = self.dlatent_avg.buff.to(codes.dtype)
        moved = torch.lerp(mean[:cutoff].expand(len(codes), -1, -1), styles[:, :cutoff], psi)
        return torch.cat([moved, styles[:, cutoff:]], dim=1)


def random_network(shape: Shape, seed: int) -> ALAE:
    """A network with random weights, as a training begins with; torch's own random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        network = ALAE(shape)
    generator = torch.Generator().manual_seed(seed)
    for layer in equalized_layers(network):
        nn.init.normal_(layer.weight, std=layer.scale, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    # Not alike everywhere: the first norm would divide by its epsilon, and rounding would decide how training begins.
    nn.init.normal_(network.generator.const, generator=generator)
    return network


def colors(images: Tensor) -> Tensor:
    """Images around [-1, 1] as float32 in [0, 1]."""
    return (images.float() / 2 + 0.5).clamp(0, 1)
