"""The generator G: from a code, or a style for each of its places, to an image."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from frugalseg.backbones.alae.layers import Blur, Conv, Linear, PixelConv, lrelu, per_channel
from frugalseg.backbones.alae.noise import Noise, expected_noise
from frugalseg.backbones.alae.shape import Shape

EPS = 1e-8
"""Of instance norms."""
COLOR_GAIN = 0.03
"""Of the layers that give colors: the first images are nearly grey."""


class GeneratorBlock(nn.Module):
    """Doubles the resolution, unless it is the first; noise, activation and a style twice."""

    def __init__(self, inputs: int, outputs: int, latent: int, *, first: bool, fused: bool) -> None:
        super().__init__()
        self.fused = fused
        self.conv_1 = None if first else Conv(inputs, outputs, transposed=fused)
        self.blur = Blur(outputs)
        self.noise_weight_1, self.bias_1 = per_channel(outputs), per_channel(outputs)
        self.style_1 = Linear(latent, 2 * outputs, gain=1)
        self.conv_2 = Conv(outputs, outputs)
        self.noise_weight_2, self.bias_2 = per_channel(outputs), per_channel(outputs)
        self.style_2 = Linear(latent, 2 * outputs, gain=1)

    def forward(self, x: Tensor, styles: Tensor, place: int, noise: Noise) -> Tensor:
        """Activations of the next resolution.

        Args:
            x: (B, inputs, H, W); of the first block also (1, inputs, H, W).
            styles: (B, 2, latent).
            place: number of the first of the block's two places of noise.
            noise: what is added there.

        Returns:
            (B, outputs, 2H, 2W), or (B, outputs, H, W) from the first block.
        """
        x = self.enlarged(x)
        x = lrelu(noise(place, x, self.noise_weight_1) + self.bias_1)
        x = styled(x, self.style_1(styles[:, 0]))
        x = lrelu(noise(place + 1, self.conv_2(x), self.noise_weight_2) + self.bias_2)
        return styled(x, self.style_2(styles[:, 1]))

    def enlarged(self, x: Tensor) -> Tensor:
        """The input at the resolution of the block."""
        if self.conv_1 is None:
            return x
        larger = self.conv_1.doubling(x) if self.fused else self.conv_1(functional.interpolate(x, scale_factor=2))
        blurred: Tensor = self.blur(larger)
        return blurred


def styled(x: Tensor, style: Tensor) -> Tensor:
    """(B, C, H, W) maps, normalized and then scaled and shifted by a (B, 2C) style."""
    scale, shift = style[:, :, None, None].chunk(2, dim=1)
    return functional.instance_norm(x, eps=EPS) * (scale + 1) + shift


class ToRGB(nn.Module):
    """Activations to colors."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_rgb = PixelConv(channels, 3, gain=COLOR_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, 3, H, W)."""
        colors: Tensor = self.to_rgb(x)
        return colors


class Generator(nn.Module):
    """G; block 0 is of 4 x 4 pixels."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.const = nn.Parameter(torch.ones(1, shape.channels(0), 4, 4))
        self.decode_block = nn.ModuleList(
            GeneratorBlock(
                shape.channels(max(level - 1, 0)),
                shape.channels(level),
                shape.latent,
                first=level == 0,
                fused=level > 0 and shape.fused(level),
            )
            for level in range(shape.layers)
        )
        self.to_rgb = nn.ModuleList(ToRGB(shape.channels(level)) for level in range(shape.layers))

    def activations(self, styles: Tensor, noise: Noise = expected_noise) -> Iterator[Tensor]:
        """(B, C, S, S) as each block leaves it, from the smallest; a block runs when it is asked for.

        Args:
            styles: (B, slots, latent), two for each block.
            noise: what is added between the layers.
        """
        x = self.const
        for level, block in enumerate(self.decode_block):
            x = block(x, styles[:, 2 * level : 2 * level + 2], 2 * level, noise)
            yield x

    def forward(
        self, styles: Tensor, level: int | None = None, blend: float = 1.0, noise: Noise = expected_noise
    ) -> Tensor:
        """Images, (B, 3, S, S), around [-1, 1].

        Args:
            styles: (B, slots, latent).
            level: of the images' resolution; None is the highest.
            blend: in [0, 1]: the share of this resolution; the rest is the image of the one below, enlarged.
            noise: what is added between the layers.
        """
        top = self.shape.layers - 1 if level is None else level
        below = None
        for number, x in enumerate(self.activations(styles, noise)):
            if number == top - 1 and blend < 1:
                below = functional.interpolate(self.to_rgb[number](x), scale_factor=2)
            if number == top:
                break
        images: Tensor = self.to_rgb[top](x)
        return images if below is None else torch.lerp(below, images, blend)
