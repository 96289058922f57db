"""The layers of encoder, generator and mappings (Pidhorskyi et al., "Adversarial Latent Autoencoders", 2020).

The learning rate is equalized by the optimizer, so weights are used as they are stored. A layer only says how it is
set up: `scale` is the standard deviation of its first weights and, times `rate`, the share of the learning rate that
they are trained with; its bias is trained with the share `rate`.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

GAIN = math.sqrt(2)
"""Of layers before a leaky ReLU."""
SLOPE = 0.2
"""Of leaky ReLU below zero."""
FLAT = 1e-16
"""Variance below which a map counts as flat: the standard deviation has no finite gradient at zero."""


def lrelu(x: Tensor) -> Tensor:
    """Leaky ReLU, as everywhere in these networks."""
    return functional.leaky_relu(x, SLOPE)


def at_least_float32(x: Tensor) -> Tensor:
    """A tensor as it is, or in float32 if it has a shorter format."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def mean_and_deviation(x: Tensor) -> Tensor:
    """(B, 2C), at least float32: the means of a (B, C, H, W) tensor's maps, then their biased standard deviations."""
    variance, mean = torch.var_mean(at_least_float32(x), dim=(2, 3), correction=0)
    return torch.cat([mean, variance.clamp_min(FLAT).sqrt()], dim=1)


class Linear(nn.Linear):
    """A linear layer with equalized learning rate; see the module's docstring."""

    def __init__(self, inputs: int, outputs: int, gain: float = GAIN, rate: float = 1.0) -> None:
        super().__init__(inputs, outputs)
        self.scale, self.rate = gain / math.sqrt(inputs), rate

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs), in the number format of the weights."""
        return super().forward(x.to(self.weight.dtype))


class Conv(nn.Module):
    """A 3 x 3 convolution without bias.

    Args:
        inputs, outputs: channels.
        transposed: the weight is (inputs, outputs, 3, 3), as fused upsampling has it.
    """

    rate = 1.0
    bias = None

    def __init__(self, inputs: int, outputs: int, transposed: bool = False) -> None:
        super().__init__()
        widths = (inputs, outputs) if transposed else (outputs, inputs)
        self.weight = nn.Parameter(torch.zeros(*widths, 3, 3))
        self.scale = GAIN / math.sqrt(9 * inputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        return functional.conv2d(x, self.weight, padding=1)

    def halving(self, x: Tensor) -> Tensor:
        """(B, outputs, H / 2, W / 2): the convolution and the mean of 2 x 2 pixels, fused."""
        return functional.conv2d(x, self.spread(), stride=2, padding=1)

    def doubling(self, x: Tensor) -> Tensor:
        """(B, outputs, 2H, 2W): pixels repeated 2 x 2 times and the convolution, fused; for transposed weights."""
        return functional.conv_transpose2d(x, 4 * self.spread(), stride=2, padding=1)

    def spread(self) -> Tensor:
        """The mean of the kernel's copies at the four places of a 4 x 4 kernel."""
        return functional.avg_pool2d(self.weight, 2, stride=1, padding=1)


class PixelConv(nn.Conv2d):
    """A 1 x 1 convolution between colors and activations."""

    rate = 1.0

    def __init__(self, inputs: int, outputs: int, gain: float = GAIN) -> None:
        super().__init__(inputs, outputs, 1)
        self.scale = gain / math.sqrt(inputs)


class Blur(nn.Module):
    """Each channel smoothed by [1, 2, 1] x [1, 2, 1] / 16; zeros lie around the image."""

    weight: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("weight", (line[:, None] * line).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), as it came."""
        return functional.conv2d(x, self.weight.to(x.dtype), padding=1, groups=len(self.weight))


def equalized_layers(network: nn.Module) -> Iterator[Linear | Conv | PixelConv]:
    """All layers of a network that have a learning rate of their own; see the module's docstring."""
    return (module for module in network.modules() if isinstance(module, Linear | Conv | PixelConv))


def per_channel(channels: int) -> nn.Parameter:
    """(1, C, 1, 1) zeros: a bias, or the strength of noise."""
    return nn.Parameter(torch.zeros(1, channels, 1, 1))
