"""The two mappings: F from a random vector to a code, D from a code to the discriminator's verdict."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from frugalseg.backbones.alae.layers import Linear, lrelu

EPS = 1e-8
RATE = 0.1
"""The share of the learning rate with which both mappings are trained."""
LAYERS_OF_D = 3


class MappingBlock(nn.Module):
    """A linear layer with its activation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fc = Linear(inputs, outputs, rate=RATE)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) to (B, outputs)."""
        return lrelu(self.fc(x))


class MappingF(nn.Module):
    """F: from z to w."""

    def __init__(self, latent: int, layers: int) -> None:
        super().__init__()
        self.map_blocks = nn.ModuleList(MappingBlock(latent, latent) for _ in range(layers))

    def forward(self, z: Tensor) -> Tensor:
        """(B, latent) normal numbers to (B, latent) codes."""
        x = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + EPS)
        for block in self.map_blocks:
            x = block(x)
        return x


class MappingD(nn.Module):
    """D: whether a code is that of a real image; three linear layers without any activation."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent
        widths = [latent] * LAYERS_OF_D + [2 * latent]
        self.map_blocks = nn.ModuleList(Linear(inputs, outputs, rate=RATE) for inputs, outputs in pairwise(widths))

    def outputs(self, codes: Tensor) -> Tensor:
        """(B, 2 * latent): all outputs for (B, latent) codes."""
        x = codes
        for block in self.map_blocks:
            x = block(x)
        return x

    def forward(self, codes: Tensor) -> Tensor:
        """(B,) logits, the one output that counts: high for real images."""
        return self.outputs(codes)[:, self.latent]
