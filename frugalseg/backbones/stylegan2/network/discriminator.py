"""The discriminator: a residual network that tells photographs from drawn images."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from frugalseg.backbones.stylegan2.network.layers import Convolution, Linear, leaky
from frugalseg.backbones.stylegan2.network.shape import SMALLEST, DiscriminatorShape

EPS = 1e-8


class ResidualBlock(nn.Module):
    """Two convolutions, of which the second halves the sides, and a linear way around them.

    Args:
        inputs, outputs: channels.
        first: this block takes images.
        clamp: see `leaky`.
    """

    def __init__(self, inputs: int, outputs: int, *, first: bool, clamp: float | None) -> None:
        super().__init__()
        self.fromrgb = Convolution(3, inputs, 1, clamp=clamp) if first else None
        self.conv0 = Convolution(inputs, inputs, 3, clamp=clamp)
        self.conv1 = Convolution(inputs, outputs, 3, down=True, gain=math.sqrt(0.5), clamp=clamp)
        self.skip = Convolution(inputs, outputs, 1, down=True, active=False, gain=math.sqrt(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(B, outputs, R/2, R/2) of (B, inputs, R, R), or of (B, 3, R, R) images."""
        x = x if self.fromrgb is None else self.fromrgb(x)
        added: Tensor = self.skip(x) + self.conv1(self.conv0(x))
        return added


class Epilogue(nn.Module):
    """From the last activations, 4 x 4, to one number."""

    def __init__(self, shape: DiscriminatorShape) -> None:
        super().__init__()
        self.shape, width = shape, shape.channels[0]
        self.conv = Convolution(width + shape.statistics, width, 3, clamp=shape.clamp)
        self.fc = Linear(width * SMALLEST**2, width)
        self.out = Linear(width, 1)

    def with_deviation(self, x: Tensor) -> Tensor:
        """`x`, (B, C, 4, 4), and further channels that say how far the images of a group differ."""
        return torch.cat([x, deviation(x, self.shape.group, self.shape.statistics)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1) of (B, C, 4, 4)."""
        x = self.conv(self.with_deviation(x))
        logits: Tensor = self.out(leaky(self.fc(x.flatten(1))))
        return logits


class Discriminator(nn.Module):
    """Says of each image how real it looks; an image's answer depends on the others of the batch."""

    def __init__(self, shape: DiscriminatorShape) -> None:
        super().__init__()
        self.shape = shape
        self.resolutions = shape.resolutions[:0:-1]
        for level, resolution in reversed(list(enumerate(shape.resolutions))[1:]):
            inputs, outputs = shape.channels[level], shape.channels[level - 1]
            first = resolution == shape.resolution
            self.add_module(f"b{resolution}", ResidualBlock(inputs, outputs, first=first, clamp=shape.clamp))
        self.b4 = Epilogue(shape)

    def features(self, images: Tensor) -> Iterator[Tensor]:
        """(B, C, r, r) after each residual block, from the size of the images down; a block runs when it is asked for.

        Args:
            images: (B, 3, R, R) in [-1, 1].
        """
        x = images.to(self.b4.out.weight.dtype)
        for resolution in self.resolutions:
            x = self.get_submodule(f"b{resolution}")(x)
            yield x

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1) logits of (B, 3, R, R) images in [-1, 1]; above zero they look real."""
        *_, x = self.features(images)
        logits: Tensor = self.b4(x)
        return logits


def deviation(x: Tensor, group: int, count: int) -> Tensor:
    """(B, count, H, W): how far the values deviate within groups of images, over `count` equal parts of the channels.

    Args:
        x: (B, C, H, W). Image i belongs to group ``i % (B / group)``.
        group: images of a group; of a batch that it does not divide, the largest smaller number that does.
        count: numbers for each group, each of which fills a map.
    """
    batch, _, height, width = x.shape
    group = next(size for size in range(min(group, batch), 0, -1) if batch % size == 0)
    parts = x.reshape(group, batch // group, count, -1, height, width).float()
    spread = (parts.var(dim=0, correction=0) + EPS).sqrt().mean(dim=(2, 3, 4))  # groups, count
    return spread.to(x.dtype).repeat(group, 1)[:, :, None, None].expand(-1, -1, height, width)
