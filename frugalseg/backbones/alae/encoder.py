"""The encoder E: from an image to its code w, the sum of what each layer says of the image's style."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from frugalseg.backbones.alae.layers import Blur, Conv, Linear, PixelConv, lrelu, mean_and_deviation, per_channel
from frugalseg.backbones.alae.shape import Shape

EPS = 1e-5
"""Of instance norms."""


class EncoderBlock(nn.Module):
    """Two convolutions, each followed by the reading of a style; the second one halves the resolution."""

    def __init__(self, inputs: int, outputs: int, latent: int, fused: bool) -> None:
        super().__init__()
        self.fused = fused
        self.conv_1, self.bias_1 = Conv(inputs, inputs), per_channel(inputs)
        self.blur = Blur(inputs)
        self.conv_2, self.bias_2 = Conv(inputs, outputs), per_channel(outputs)
        self.style_1, self.style_2 = Linear(2 * inputs, latent), Linear(2 * outputs, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, inputs, H, W) to (B, outputs, H / 2, W / 2), and the two (B, latent) shares in the code."""
        x = lrelu(self.conv_1(x) + self.bias_1)
        first = self.style_1(mean_and_deviation(x))
        x = self.blur(functional.instance_norm(x, eps=EPS))
        x = self.conv_2.halving(x) if self.fused else functional.avg_pool2d(self.conv_2(x), 2)
        x = lrelu(x + self.bias_2)
        return functional.instance_norm(x, eps=EPS), first, self.style_2(mean_and_deviation(x))


class FromRGB(nn.Module):
    """Colors to activations."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.from_rgb = PixelConv(3, channels)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, channels, H, W)."""
        return lrelu(self.from_rgb(images))


class Encoder(nn.Module):
    """E, which also is the lower part of the discriminator; block 0 is of the highest resolution."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        levels = range(shape.layers - 1, -1, -1)
        self.from_rgb = nn.ModuleList(FromRGB(shape.channels(level)) for level in levels)
        self.encode_block = nn.ModuleList(
            EncoderBlock(shape.channels(level), shape.channels(level - 1), shape.latent, shape.fused(level))
            for level in levels
        )

    def forward(self, images: Tensor, blend: float = 1.0) -> Tensor:
        """The codes of images.

        Args:
            images: (B, 3, S, S) in [-1, 1]; S is the side at any level of the shape.
            blend: in [0, 1]: the share of the highest resolution, while a training grows into it. With 0 the images
                are seen at half their size alone.

        Returns:
            (B, latent) codes w.
        """
        first = self.block_for(images.shape[-1])
        x, *shares = self.encode_block[first](self.entering(images, first))
        code = torch.stack(shares).sum(0) * blend
        if blend < 1:
            below = self.entering(functional.avg_pool2d(images, 2), first + 1)
            x = torch.lerp(below.to(x.dtype), x, blend)
        for block in self.encode_block[first + 1 :]:
            x, *shares = block(x)
            code = code + torch.stack(shares).sum(0)
        return code

    def entering(self, images: Tensor, block: int) -> Tensor:
        """What enters a block: the colors, through a second leaky ReLU as published."""
        return lrelu(self.from_rgb[block](images))

    def block_for(self, side: int) -> int:
        """The block in which images with sides of so many pixels begin."""
        return next(block for block in range(self.shape.layers) if self.shape.size >> block == side)
