"""What a user sets: where a VDVAE is read, how it draws images, and how one is trained."""

from dataclasses import dataclass
from typing import Literal

from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, option
from frugalseg.support.precision import Precision, check_precision
from frugalseg.support.ranges import AMOUNT, POSITIVE

Data = Literal["cifar10", "imagenet32", "imagenet64", "ffhq256", "ffhq1024"]
"""Training sets of the published networks."""


@dataclass(frozen=True)
class VDVAEOptions:
    """What `load_backbone` takes for ``vdvae``.

    If only one of `encoder_resolutions` and `decoder_blocks` is given, nothing else is read.

    Attributes:
        encoder_resolutions: numbers of rows of the encoder's maps that are read: what the last block at each of these
            resolutions leaves, before anything is pooled. None: those of all maps that are larger than 1 x 1.
        decoder_blocks: blocks of the decoder after which its state is read; block 0 is the first. None: the last one of
            each resolution, unless its map is 1 x 1.
        data: for published files: the training set, whose mean and deviation the pixels are normalised with. None: that
            of the published network with as many blocks.
        encoder_layout, decoder_layout: for published files: the block strings, such as ``32x2,32d2,16x2``. None: those
            of the published network with as many blocks.
        precision: number format of the network's weights and activations. None: ``fp32``.
    """

    encoder_resolutions: tuple[int, ...] | None = option(
        None,
        "The resolutions of the encoder to read, as numbers of rows, such as 256,128,64. By default all above 1. If "
        "you give only one of this and --decoder-blocks, nothing else is read.",
        within=AMOUNT,
    )
    decoder_blocks: tuple[int, ...] | None = option(
        None,
        "The decoder blocks to read, such as 10,20,42. Block 0 is the first. By default, the last of each resolution.",
        within=AMOUNT,
    )
    data: Data | None = option(
        None,
        "For published files: the training set, by whose mean and deviation pixels are normalized. By default that of "
        "the published network with as many blocks.",
    )
    encoder_layout: str | None = option(
        None,
        "For published files of other networks: the blocks of the encoder, such as 32x2,32d2,16x2,16d2,8x2.",
    )
    decoder_layout: str | None = option(
        None, "For published files of other networks: the blocks of the decoder, such as 8x2,16m8,16x2,32m16."
    )
    precision: Precision | None = option(None, "The number format of the network. By default fp32.")

    def __post_init__(self) -> None:
        check_ranges(self)
        for name in ("encoder_resolutions", "decoder_blocks"):
            numbers = getattr(self, name) or ()
            if len(set(numbers)) < len(numbers):
                raise InputError(f"{name} {', '.join(map(str, numbers))}: give each once")
        given = [numbers for numbers in (self.encoder_resolutions, self.decoder_blocks) if numbers is not None]
        if given and not any(given):
            raise InputError("neither encoder_resolutions nor decoder_blocks: give at least one of them to be read")
        if self.precision is not None:
            check_precision(self.precision)


@dataclass(frozen=True)
class VDVAEGeneration:
    """How a VDVAE draws images.

    Attributes:
        temperature: the deviations of all priors are multiplied by it. Below 1, images are less various and look
            better; the published samples of faces have 0.85.
        pixel_noise: draw each pixel from its distribution rather than take the most likely value.
    """

    temperature: float = option(
        0.85, "How various the images are. Lower values give less variety and fewer mistakes.", within=POSITIVE
    )
    pixel_noise: bool = option(False, "Draw each pixel at random instead of taking its most likely value.")

    def __post_init__(self) -> None:
        check_ranges(self)
