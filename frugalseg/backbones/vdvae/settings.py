"""What a user sets: where a VDVAE is read, how it draws images, and how one is trained."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from frugalseg.backbones.vdvae.shape import VDVAEShape
from frugalseg.backbones.vdvae.sizes import nearest_size, usual_layouts, usual_network
from frugalseg.pretraining.machine import Machine
from frugalseg.pretraining.settings import TrainingSettings
from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, option
from frugalseg.support.precision import Precision, check_precision
from frugalseg.support.ranges import AMOUNT, DEPTH, POSITIVE, RATE, WEIGHT, Range

TrainingSet = Literal["cifar10", "imagenet32", "imagenet64", "ffhq256", "ffhq1024"]
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
        trained_on: for published files: the training set, whose mean and deviation normalise the pixels. None: that of
            the published network with as many blocks.
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
        "The decoder blocks to read, such as 10,20,42. Block 0 is the first. By default, fit reads the last of each "
        "resolution.",
        within=AMOUNT,
    )
    trained_on: TrainingSet | None = option(
        None,
        "For published files: the training set, by whose mean and deviation pixels are normalized. By default that of "
        "the published network with as many blocks.",
    )
    encoder_layout: str | None = option(
        None,
        "For files of networks that are not published: the blocks of the encoder, such as 32x2,32d2,16x2,16d2,8x2.",
    )
    decoder_layout: str | None = option(
        None, "For files of networks that are not published: the blocks of the decoder, such as 8x2,16m8,16x2,32m16."
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
        0.85, "How much the images vary. Lower values give less variety and fewer mistakes.", within=POSITIVE
    )
    pixel_noise: bool = option(False, "Draw each pixel at random instead of taking its most likely value.")

    def __post_init__(self) -> None:
        check_ranges(self)


NO_BIAS_ABOVE = 64
"""Rows up to which the decoder begins at a learned map, in all published networks."""


@dataclass(frozen=True)
class VDVAEPretrainSettings(TrainingSettings):
    """What the result of VDVAE pretraining depends on, beside the images.

    What is None of the shape of the network is chosen from the image size (`frugalseg.backbones.vdvae.sizes`), and
    smaller on a CPU.

    Attributes:
        width: channels at every resolution, at least 4.
        blocks: of the encoder and of the decoder, at each resolution. It stays None where both layouts are given.
        encoder_layout, decoder_layout: the block strings, such as those of a published network, instead of `blocks`.
        zdim: channels of each latent.
        mixtures: logistic distributions that are mixed at each pixel.
        bits: of the pixels that are predicted. With 5, as in the published network for FFHQ-256, no capacity is spent
            on the noise in the lowest three.
        skip_above: a step whose gradients have a larger norm before they are clipped, or none that is a number, changes
            no weights and no averages.
        weight_decay: of all weights.
        checkpointing: compute each block again in the backward pass rather than keep what it computed; it takes a third
            more time and much less memory.
    """

    by_machine: ClassVar[tuple[str, ...]] = (*TrainingSettings.by_machine, "width", "blocks")

    warmup_steps: int = option(100, "The number of steps over which the learning rate rises.", within=AMOUNT)
    learning_rate: float = option(1e-3, "The highest learning rate, which is reached after the warm-up.", within=RATE)
    gradient_clip: float = option(130.0, "The largest norm of all gradients together.", within=POSITIVE)
    width: int | None = option(
        None,
        "The number of channels. By default, it is chosen from the image size, and smaller on a CPU.",
        within=Range(4, 2**13),
    )
    blocks: int | None = option(
        None,
        "The number of blocks at each resolution, in the encoder and in the decoder. By default, it is chosen like "
        "--width.",
        within=DEPTH,
    )
    encoder_layout: str | None = option(
        None, "The blocks of the encoder, such as 32x2,32d2,16x2,16d2,8x2. By default, as --blocks says."
    )
    decoder_layout: str | None = option(
        None, "The blocks of the decoder, such as 8x2,16m8,16x2,32m16,32x2. By default, as --blocks says."
    )
    zdim: int = option(16, "The number of channels of each latent.", within=Range(1, 1024))
    mixtures: int = option(
        10, "The number of logistic distributions that are mixed at each pixel.", within=Range(1, 256)
    )
    bits: int = option(
        8, "The number of bits of a pixel that are predicted, 5 or 8. 5 leaves fine noise out.", within=Range(5, 8)
    )
    skip_above: float = option(
        180.0, "Steps with gradients of a larger norm, before they are clipped, are skipped.", within=POSITIVE
    )
    weight_decay: float = option(0.01, "The weight decay of AdamW.", within=WEIGHT)
    checkpointing: bool = option(False, "Compute activations twice instead of keeping them, which saves memory.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bits not in (5, 8):
            raise InputError(f"bits is {self.bits}; give 5 or 8")

    def chosen_for(self, paths: list[Path], machine: Machine = Machine()) -> "VDVAEPretrainSettings":  # noqa: B008
        """The same settings with everything that was left open chosen for the images at `paths` and the machine.

        Raises:
            InputError: the layouts do not fit each other or the image size, or it cannot be halved often enough.
        """
        basics = self.with_basics(paths, machine)
        assert basics.image_size is not None
        size = basics.image_size
        if self.encoder_layout is None and self.decoder_layout is None:
            fitting = nearest_size(size)
            if self.image_size is not None and fitting != size:
                raise InputError(
                    f"image_size {size[0]}x{size[1]}: it cannot be halved as often as a network of this size needs it; "
                    f"give {fitting[0]}x{fitting[1]}"
                )
            size = fitting
        usual = usual_network(size, small=not machine.gpu)
        chosen = replace(basics, image_size=size, width=self.width or usual.width)._with_layouts(usual.blocks)
        check_trainable(chosen.shape)
        return chosen

    def _with_layouts(self, usual: int) -> "VDVAEPretrainSettings":
        """The same settings with the layouts chosen, with `usual` blocks where no number is given."""
        assert self.image_size is not None
        blocks = self.blocks or usual
        encoder, decoder = usual_layouts(self.image_size, blocks)
        own = self.encoder_layout not in (None, encoder) and self.decoder_layout not in (None, decoder)
        if own and self.blocks is not None:
            raise InputError(
                f"blocks is {blocks}, but encoder_layout and decoder_layout say themselves how many there are; leave "
                "blocks out, or one of the layouts"
            )
        return replace(
            self,
            blocks=None if own else blocks,
            encoder_layout=encoder if self.encoder_layout is None else self.encoder_layout,
            decoder_layout=decoder if self.decoder_layout is None else self.decoder_layout,
        )

    @property
    def shape(self) -> VDVAEShape:
        """The network, once `chosen_for` has chosen it."""
        assert self.image_size and self.width and self.encoder_layout is not None and self.decoder_layout is not None
        return VDVAEShape.of_one_width(
            self.image_size,
            self.encoder_layout,
            self.decoder_layout,
            width=self.width,
            zdim=self.zdim,
            mixtures=self.mixtures,
            no_bias_above=NO_BIAS_ABOVE,
        )


def check_trainable(shape: VDVAEShape) -> None:
    """Raise `InputError` where some blocks of a network would never learn."""
    last, first = shape.resolutions[-1], shape.decoder_resolutions[0]
    if last != first:
        raise InputError(
            f"the encoder ends with {last} rows and the decoder begins with {first}: let both have blocks at {last}"
        )
