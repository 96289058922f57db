"""An encoder with the generator that its codes are for: image -> codes -> the generator's activations and image."""

from collections.abc import Iterator
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from frugalseg.backbones.stylegan2.encoder.network import Encoder
from frugalseg.backbones.stylegan2.network.discriminator import Discriminator
from frugalseg.backbones.stylegan2.network.generator import Generator
from frugalseg.features.sizes import Size
from frugalseg.support.errors import InputError


class Inverter(nn.Module):
    """Finds the codes of images, and draws the images again from them. Images are in [-1, 1].

    The generator draws squares. Where the images are less high than wide, as those of cars are, they are the middle
    rows of the squares.

    Args:
        encoder: gives codes as differences from `average`.
        generator: takes as many codes, of the same width.
        discriminator: of the same training as the generator, if it is at hand.
        average: (N, W), what is added to the codes of the encoder.
        image_size: (height, width) of the images that the encoder takes; the longer side is its `side`.

    Raises:
        InputError: these do not fit one another.
    """

    latent_avg: Tensor

    def __init__(
        self,
        encoder: Encoder,
        generator: Generator,
        discriminator: Discriminator | None,
        average: Tensor,
        image_size: Size,
    ) -> None:
        super().__init__()
        require_fitting_parts(encoder, generator, discriminator, average, image_size)
        self.image_size = image_size
        self.encoder, self.generator, self.discriminator = encoder, generator, discriminator
        self.register_buffer("latent_avg", average)

    def in_format(self, dtype: torch.dtype) -> Self:
        """The same networks in another number format, but for what is small and must be exact: codes and their mean."""
        for network in (self.encoder, self.generator.synthesis, self.discriminator):
            if network is not None:
                network.to(dtype)
        return self

    @property
    def frame(self) -> Size:
        """(height, width) of the images that are drawn."""
        height, width = self.image_size
        resolution = self.generator.shape.resolution
        return resolution * height // width, resolution

    def framed(self, maps: Tensor) -> Tensor:
        """The middle rows of (B, C, r, r), as many as an image has: (B, C, h, r)."""
        rows = maps.shape[2] * self.frame[0] // self.frame[1]
        return maps.narrow(2, (maps.shape[2] - rows) // 2, rows)

    def codes(self, images: Tensor, apart: int | None = None) -> Tensor:
        """(B, N, W) float32: the codes of (B, 3, H, W) images of any size; `apart`: see `Encoder.forward`."""
        seen = resized(images, self.image_size).to(self.encoder.latlayer1.weight.dtype)
        codes: Tensor = self.encoder(seen, apart).float() + self.latent_avg
        return codes

    def passes(self, codes: Tensor) -> Iterator[tuple[int, dict[str, Tensor], Tensor]]:
        """Draw images from (B, N, W) codes as far as the caller iterates, with the noise that belongs to the network.

        Yields:
            The side r of a resolution, the activations (B, C, r, r) of its convolutions by their names in the
            checkpoint, and the image so far, (B, 3, r, r).
        """
        synthesis = self.generator.synthesis
        every = synthesis.passes(codes, synthesis.constant_noise)
        for resolution, (outputs, image) in zip(synthesis.resolutions, every, strict=True):
            yield resolution, {f"b{resolution}.{name}": values for name, values in outputs.items()}, image

    def drawn(self, codes: Tensor) -> Tensor:
        """(B, 3, r, r) float32: the squares that the generator draws from (B, N, W) codes."""
        image: Tensor = self.generator.synthesis(codes, self.generator.synthesis.constant_noise)
        return image


def require_fitting_parts(
    encoder: Encoder, generator: Generator, discriminator: Discriminator | None, average: Tensor, image_size: Size
) -> None:
    """Raise `InputError` unless these can be the parts of an `Inverter`."""
    heads, shape = encoder.heads, generator.shape
    if (heads.codes, heads.width) != (shape.num_ws, shape.w_width):
        raise InputError(
            f"the encoder gives {heads.codes} codes of {heads.width} numbers, "
            f"the generator takes {shape.num_ws} of {shape.w_width}"
        )
    if tuple(average.shape) != (heads.codes, heads.width):
        raise InputError(f"the mean code is of shape {tuple(average.shape)}, not {(heads.codes, heads.width)}")
    if discriminator is not None and discriminator.shape.resolution != shape.resolution:
        sides = discriminator.shape.resolution, shape.resolution
        raise InputError(f"the discriminator takes images of {sides[0]} pixels, the generator draws {sides[1]}")
    height, width = image_size
    if width != encoder.side or height > width or any(side % encoder.shape.stride for side in image_size):
        raise InputError(f"images of {height}x{width} for an encoder of images {encoder.side} pixels wide")


def resized(images: Tensor, size: Size) -> Tensor:
    """(B, 3, H, W) images at another size, bilinearly and with antialiasing."""
    if tuple(images.shape[2:]) == size:
        return images
    return functional.interpolate(images, size=size, mode="bilinear", antialias=True)


def per_layer(average: Tensor, codes: int) -> Tensor:
    """(N, W): a mean code for each layer, of one for all, (W,) or (1, W), or of one for each."""
    flat = average.float().reshape(-1, average.shape[-1])
    return flat.expand(codes, -1).clone() if len(flat) == 1 else torch.clone(flat)
