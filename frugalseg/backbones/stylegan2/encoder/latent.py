"""The latent discriminator of e4e (section 4.1): tells latents of the mapping network from codes of an encoder."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from frugalseg.backbones.stylegan2.network.layers import SLOPE, Linear

LAYERS = 4


class LatentDiscriminator(nn.Module):
    """Four linear layers, the last of which gives one number.

    Args:
        width: numbers in a latent.
        seed: of the weights.
    """

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Linear(width, width) for _ in range(LAYERS - 1))
        self.layers.append(Linear(width, 1))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in self.layers:
                assert isinstance(layer, Linear)
                layer.draw(generator)

    def forward(self, latents: Tensor) -> Tensor:
        """(M, 1) logits of (M, W) latents; above zero they look like those of the mapping network."""
        *inner, last = self.layers
        for layer in inner:
            latents = functional.leaky_relu(layer(latents), SLOPE)
        logits: Tensor = last(latents)
        return logits
