"""The synthesis network: from a latent for each layer to an image, with a sum of the images of all resolutions."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from frugalseg.backbones.stylegan2.network.layers import Linear, clamped, leaky
from frugalseg.backbones.stylegan2.network.modulated import modulated_convolution
from frugalseg.backbones.stylegan2.network.resampling import fir_filter, upsampled
from frugalseg.backbones.stylegan2.network.shape import SMALLEST, GeneratorShape

Noise = Sequence[Tensor]
"""What is added in each convolution, from the first to the last, before its own strength: (R, R) or (B, 1, R, R)."""


class StyledConvolution(nn.Module):
    """A modulated convolution of 3 x 3, with noise, a bias and a leaky ReLU.

    Args:
        inputs, outputs: channels.
        latent: values of w.
        resolution: pixels along a side of the output.
        up: double the sides.
        clamp: see `leaky`.
    """

    def __init__(
        self, inputs: int, outputs: int, latent: int, *, resolution: int, up: bool, clamp: float | None
    ) -> None:
        super().__init__()
        self.resolution, self.clamp = resolution, clamp
        self.affine = Linear(latent, inputs, bias=1)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.empty(resolution, resolution))
        self.register_buffer("resample_filter", fir_filter() if up else None)

    def draw(self, generator: torch.Generator) -> None:
        """Give the kernels and the constant noise their first values."""
        self.weight.normal_(generator=generator)
        self.get_buffer("noise_const").normal_(generator=generator)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """(B, O, R, R) of (B, I, ., .) and the latents (B, W)."""
        blur = self.resample_filter
        assert blur is None or isinstance(blur, Tensor)
        x = modulated_convolution(x, self.weight, self.affine(w), blur=blur, fused=not self.training)
        if noise is not None:
            x = x + (noise * self.noise_strength).to(x.dtype)
        return leaky(x + self.bias[:, None, None].to(x.dtype), clamp=self.clamp)


class ToRGB(nn.Module):
    """A modulated convolution of 1 x 1 from activations to the three colors, linear and without noise."""

    def __init__(self, inputs: int, latent: int, clamp: float | None) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = Linear(latent, inputs, bias=1)
        self.weight = nn.Parameter(torch.empty(3, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def draw(self, generator: torch.Generator) -> None:
        """Give the kernels their first values."""
        self.weight.normal_(generator=generator)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(B, 3, R, R) float32 of (B, I, R, R)."""
        x = modulated_convolution(x, self.weight, self.affine(w), demodulate=False, fused=not self.training)
        return clamped(x + self.bias[:, None, None].to(x.dtype), self.clamp).float()


class Block(nn.Module):
    """The layers of one resolution: one convolution at 4 x 4 and two elsewhere, of which the first doubles the sides.

    Args:
        shape: of the generator.
        level: of the resolution; 0 is that of 4 x 4.
    """

    def __init__(self, shape: GeneratorShape, level: int) -> None:
        super().__init__()
        width, latent, clamp = shape.channels[level], shape.w_width, shape.clamp
        resolution = SMALLEST << level
        self.level = level
        if level:
            self.conv0 = StyledConvolution(
                shape.channels[level - 1], width, latent, resolution=resolution, up=True, clamp=clamp
            )
            self.register_buffer("resample_filter", fir_filter())
        else:
            self.const = nn.Parameter(torch.empty(width, SMALLEST, SMALLEST))
        self.conv1 = StyledConvolution(width, width, latent, resolution=resolution, up=False, clamp=clamp)
        self.torgb = ToRGB(width, latent, clamp)

    def draw(self, generator: torch.Generator) -> None:
        """Give what the synthesis begins from its first values."""
        if not self.level:
            self.const.normal_(generator=generator)

    @property
    def convolutions(self) -> dict[str, StyledConvolution]:
        """By their names, in the order in which they run."""
        return {"conv0": self.conv0, "conv1": self.conv1} if self.level else {"conv1": self.conv1}

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Tensor, noise: Noise | None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Run the layers.

        Args:
            x: activations of the block before, (B, I, R/2, R/2); None for the first.
            image: that block's image, (B, 3, R/2, R/2); None for the first.
            ws: (B, n + 1, W), the latents of the n convolutions and of the image.
            noise: n tensors; None: no noise.

        Returns:
            The activations of each convolution by its name, (B, O, R, R), and the image so far, (B, 3, R, R) float32.
        """
        if x is None:
            x = self.const.expand(len(ws), -1, -1, -1)
        outputs = {}
        for number, (name, layer) in enumerate(self.convolutions.items()):
            x = layer(x, ws[:, number], None if noise is None else noise[number])
            outputs[name] = x
        added: Tensor = self.torgb(x, ws[:, len(outputs)])
        return outputs, added if image is None else added + upsampled(image, self.get_buffer("resample_filter"))


class Synthesis(nn.Module):
    """All blocks. Latent number n belongs to convolution n; the image of a block takes the one after its convolutions'.

    In training mode, the kernels of a convolution are not scaled for each image: see `modulated_convolution`.
    """

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.resolutions = shape.resolutions
        for level, resolution in enumerate(self.resolutions):
            self.add_module(f"b{resolution}", Block(shape, level))

    @property
    def blocks(self) -> list[Block]:
        """From 4 x 4 to the size of the images."""
        found = [self.get_submodule(f"b{resolution}") for resolution in self.resolutions]
        return [block for block in found if isinstance(block, Block)]

    @property
    def convolutions(self) -> dict[str, StyledConvolution]:
        """All of them by their names in the checkpoint, such as ``b8.conv0``, in the order in which they run."""
        return {
            f"b{resolution}.{name}": layer
            for resolution, block in zip(self.resolutions, self.blocks, strict=True)
            for name, layer in block.convolutions.items()
        }

    @property
    def constant_noise(self) -> list[Tensor]:
        """The noise that is part of the network, (R, R) for each convolution."""
        return [layer.get_buffer("noise_const") for layer in self.convolutions.values()]

    def forward(self, ws: Tensor, noise: Noise | None) -> Tensor:
        """(B, 3, R, R) float32, of which [-1, 1] is shown; see `passes`."""
        *_, (_, image) = self.passes(ws, noise)
        return image

    def passes(self, ws: Tensor, noise: Noise | None) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """What each block gives, one after another; a block runs when it is asked for.

        Args:
            ws: (B, N, W), the latent of each layer.
            noise: of each convolution, such as `constant_noise`; None: no noise.
        """
        x, image, place = None, None, 0
        for block in self.blocks:
            count = len(block.convolutions)
            # The last of these latents is also the first of the next block.
            own = ws[:, place : place + count + 1]
            outputs, image = block(x, image, own, None if noise is None else noise[place : place + count])
            x, place = outputs["conv1"], place + count
            yield outputs, image
