"""The mapping network: from normal numbers to the latents that the layers of the synthesis network take."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from frugalseg.backbones.stylegan2.network.layers import Linear, leaky
from frugalseg.backbones.stylegan2.network.shape import GeneratorShape

RATE = 0.01
"""By which the mapping learns more slowly than everything else."""
AVERAGE_DECAY = 0.995
"""Of the running mean of the latents."""
EPS = 1e-8


class Mapping(nn.Module):
    """Fully connected layers from z to w, and the mean of w, towards which a sample can be pulled.

    It always computes in float32.
    """

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.layers, self.num_ws = shape.mapping_layers, shape.num_ws
        widths = [shape.z_width, *[shape.mapping_width] * (self.layers - 1), shape.w_width]
        for number, (inputs, outputs) in enumerate(pairwise(widths)):
            self.add_module(f"fc{number}", Linear(inputs, outputs, rate=RATE))
        self.register_buffer("w_avg", torch.zeros(shape.w_width))

    def latents(self, z: Tensor) -> Tensor:
        """(B, W): the latent w of each of (B, Z) normal numbers."""
        with torch.autocast(z.device.type, enabled=False):
            x = z.float()
            x = x * (x.square().mean(dim=1, keepdim=True) + EPS).rsqrt()
            for number in range(self.layers):
                x = leaky(self.get_submodule(f"fc{number}")(x))
        return x

    def forward(self, z: Tensor, truncation: float = 1, cutoff: int | None = None) -> Tensor:
        """(B, N, W): the same latent for every layer; see `truncated`."""
        return self.truncated(self.latents(z)[:, None].expand(-1, self.num_ws, -1), truncation, cutoff)

    def truncated(self, ws: Tensor, truncation: float, cutoff: int | None = None) -> Tensor:
        """Latents that are pulled towards their mean.

        Args:
            ws: (B, N, W).
            truncation: psi; 1 leaves them as they are, 0 gives the mean.
            cutoff: how many layers, from the first, are pulled; None: all.
        """
        if truncation == 1:
            return ws
        cutoff = self.num_ws if cutoff is None else cutoff
        pulled = self.mean.lerp(ws[:, :cutoff], truncation)
        return torch.cat([pulled, ws[:, cutoff:]], dim=1)

    @property
    def mean(self) -> Tensor:
        """(W,): the running mean of the latents."""
        return self.get_buffer("w_avg")

    @torch.no_grad()
    def update_mean(self, w: Tensor) -> None:
        """Let the running mean follow the (B, W) latents of a batch."""
        self.mean.copy_(w.detach().float().mean(dim=0).lerp(self.mean, AVERAGE_DECAY))
