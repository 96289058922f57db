"""The sizes of a VDVAE: what its blocks are, how wide they are, and what follows from it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

from frugalseg.backbones.vdvae.layout import DecoderPlace, EncoderPlace, decoder_places, encoder_places
from frugalseg.support.errors import InputError
from frugalseg.support.ranges import SIZE, check_range
from frugalseg.support.text import brief

BOTTLENECK = 0.25
"""Width of the middle of a block as a share of the width at its resolution, in all published networks."""
LARGEST_POINTWISE = 2
"""Up to so many rows, the middle convolutions of a block have kernels of 1 x 1; above, of 3 x 3."""


@dataclass(frozen=True)
class VDVAEShape:
    """A VDVAE as its block strings and widths describe it.

    A resolution is a number of rows; the columns follow from the proportions of the image.

    Attributes:
        image_size: (height, width) of the images, the only size that the network takes.
        encoder, decoder: the block strings; see `frugalseg.backbones.vdvae.layout`.
        widths: (resolution, channels) of every resolution.
        zdim: channels of each latent.
        mixtures: logistic distributions that are mixed at each pixel.
        no_bias_above: the decoder's state begins at a learned map at resolutions up to this one, at 0 above.
    """

    image_size: tuple[int, int]
    encoder: str
    decoder: str
    widths: tuple[tuple[int, int], ...]
    zdim: int
    mixtures: int
    no_bias_above: int

    def __post_init__(self) -> None:
        check_range("image_size is", self.image_size, SIZE)
        self._check_resolutions()
        widths = [self.width(rows) for rows in self.resolutions]
        if widths != sorted(widths) or middle_width(widths[0]) < 1:
            raise InputError(
                f"the widths from fine to coarse are {brief(widths, 60)}; none may be below the one before it, and the "
                f"first must be at least {round(1 / BOTTLENECK)}"
            )

    def _check_resolutions(self) -> None:
        height, width = self.image_size
        top = self.decoder_resolutions[-1]
        if self.encoder_places[0].resolution != height or top != height:
            raise InputError(
                f"the encoder begins with {self.encoder_places[0].resolution} rows and the decoder ends with {top}; "
                f"both must be the {height} rows of the images"
            )
        missing = [rows for rows in self.decoder_resolutions if rows not in self.resolutions]
        if missing:
            raise InputError(f"the decoder has blocks at {missing[0]} rows, where the encoder has none")
        uneven = [rows for rows in self.resolutions if rows * width % height]
        if uneven:
            raise InputError(f"images of {height}x{width} cannot be pooled to {uneven[0]} rows")

    @classmethod
    def of_one_width(cls, image_size: tuple[int, int], encoder: str, decoder: str, *, width: int, **rest: int) -> Self:
        """The shape with `width` channels at every resolution."""
        rows = {each for place in encoder_places(encoder) for each in (place.resolution, place.leaves)}
        widths = tuple((each, width) for each in sorted(rows, reverse=True))
        return cls(image_size, encoder, decoder, widths, **rest)

    @cached_property
    def encoder_places(self) -> tuple[EncoderPlace, ...]:
        """Where each block of the encoder works."""
        return encoder_places(self.encoder)

    @cached_property
    def decoder_places(self) -> tuple[DecoderPlace, ...]:
        """Where each block of the decoder works."""
        return decoder_places(self.decoder)

    @cached_property
    def resolutions(self) -> tuple[int, ...]:
        """All resolutions of the encoder, the finest first."""
        places = self.encoder_places
        rows = [place.resolution for place in places] + [place.leaves for place in places]
        return tuple(sorted(set(rows), reverse=True))

    @property
    def decoder_resolutions(self) -> tuple[int, ...]:
        """All resolutions of the decoder, the coarsest first."""
        return tuple(sorted({place.resolution for place in self.decoder_places}))

    @property
    def biased(self) -> tuple[int, ...]:
        """The resolutions at which the decoder begins at a learned map, the coarsest first."""
        return tuple(rows for rows in self.decoder_resolutions if rows <= self.no_bias_above)

    def width(self, resolution: int) -> int:
        """Channels at a resolution."""
        return dict(self.widths)[resolution]

    def grid(self, resolution: int) -> tuple[int, int]:
        """(rows, columns) of a map."""
        height, width = self.image_size
        return resolution, resolution * width // height

    def has_places(self, resolution: int) -> bool:
        """Whether a map is larger than 1 x 1, or no map is because the image itself is not."""
        return self.grid(resolution) != (1, 1) or self.image_size == (1, 1)

    def stride(self, resolution: int) -> int:
        """Pixels between two values of a map."""
        return self.image_size[0] // resolution

    @property
    def latents(self) -> list[tuple[int, int, int]]:
        """(zdim, rows, columns) of the latent of each block of the decoder."""
        return [(self.zdim, *self.grid(place.resolution)) for place in self.decoder_places]


def middle_width(width: int) -> int:
    """Channels of the middle of a block."""
    return int(width * BOTTLENECK)
