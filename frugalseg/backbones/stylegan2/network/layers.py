"""Layers with equalized learning rates: weights are normal numbers, scaled when they are used.

Weights are empty until `draw` gives them their first values, or a checkpoint its own.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from frugalseg.backbones.stylegan2.network.resampling import filtered, fir_filter

SLOPE = 0.2
"""Of the leaky ReLU, below zero."""
GAIN = math.sqrt(2)
"""By which a leaky ReLU is multiplied, so that it keeps the variance."""


def leaky(x: Tensor, *, gain: float = 1, clamp: float | None = None) -> Tensor:
    """The leaky ReLU that keeps the variance, times `gain`; values beyond ``clamp * gain`` are cut off."""
    return clamped(functional.leaky_relu(x, SLOPE) * (GAIN * gain), None if clamp is None else clamp * gain)


def clamped(x: Tensor, limit: float | None) -> Tensor:
    """`x` with every value cut off at ± `limit`; None leaves it as it is."""
    return x if limit is None else x.clamp(-limit, limit)


class Linear(nn.Module):
    """A linear layer.

    Args:
        inputs, outputs: channels.
        bias: what the bias begins as, in the layer's own output.
        rate: by which weights and bias learn more slowly than those of other layers.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0, rate: float = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.gain, self.rate = rate / math.sqrt(inputs), rate

    def draw(self, generator: torch.Generator) -> None:
        """Give the weights their first values."""
        self.weight.normal_(generator=generator).div_(self.rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, outputs) of (B, inputs), in the format of the weights."""
        return functional.linear(x.to(self.weight.dtype), self.weight * self.gain, self.bias * self.rate)


class Convolution(nn.Module):
    """A convolution with odd kernels, without a style; as the discriminator has it.

    Args:
        inputs, outputs: channels.
        kernel: side of the kernels.
        down: halve the sides, after filtering.
        active: add a bias and apply the leaky ReLU; otherwise the layer is linear and has no bias.
        gain: what the result is multiplied by.
        clamp: see `leaky`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        down: bool = False,
        active: bool = True,
        gain: float = 1,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if active else None
        self.down, self.kernel, self.gain, self.clamp = down, kernel, gain, clamp
        if down:
            self.register_buffer("resample_filter", fir_filter())

    def draw(self, generator: torch.Generator) -> None:
        """Give the weights their first values."""
        self.weight.normal_(generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """(B, outputs, h, w) of (B, inputs, H, W)."""
        weight = self.weight / math.sqrt(self.weight[0].numel())
        x = self.halved(x, weight) if self.down else functional.conv2d(x, weight, padding=self.kernel // 2)
        if self.bias is None:
            return x * self.gain
        return leaky(x + self.bias[:, None, None].to(x.dtype), gain=self.gain, clamp=self.clamp)

    def halved(self, x: Tensor, weight: Tensor) -> Tensor:
        """Filter and convolve in steps of two; a kernel of one pixel needs the filter at every other pixel alone."""
        blur = self.get_buffer("resample_filter")
        if self.kernel == 1:
            return functional.conv2d(filtered(x, blur, padding=1, stride=2), weight)
        return functional.conv2d(filtered(x, blur, padding=1 + self.kernel // 2), weight, stride=2)
