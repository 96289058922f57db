"""What a user sets: which activations of an e4e encoder are read, and how one is trained."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from frugalseg.pretraining.machine import Machine
from frugalseg.pretraining.settings import AlternatingSettings
from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, option
from frugalseg.support.precision import Precision, check_precision
from frugalseg.support.ranges import BATCH, COUNT, DEPTH, RATE, SHARE, SIZE, WEIGHT, WIDTH, Range

STAGES = 4
"""Of an encoder."""
LONGEST_SIDE = 256
"""Images of larger generators are shown to the encoder at this size, as in e4e."""
SMALLEST = 16
"""Pixels along a side that an encoder needs at least, with a first stride of 1."""
SMALL = 128
"""Encoders of images below so many pixels keep their size in the first stage."""


@dataclass(frozen=True)
class GANEncoderOptions:
    """What `load_backbone` takes for ``gan_encoder``.

    Attributes:
        layers: names of the activations that are the features: ``body0`` is the output of the first residual unit,
            ``p2`` and ``p1`` are the levels of the pyramid at the scales of the third and the second stage. None: the
            output of the last unit of each of the four stages, and both levels.
        precision: number format of the network's weights and activations.
    """

    layers: tuple[str, ...] | None = option(
        None,
        "The activations to read, such as body6,body20,p1. By default, fit reads the last of each stage, and the "
        "pyramid p2,p1.",
    )
    precision: Precision = option("fp32", "The number format of the network.")

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.layers is not None and (not self.layers or len(set(self.layers)) < len(self.layers)):
            raise InputError(f"layers {', '.join(self.layers) or 'empty'}: give one or more, each once")
        check_precision(self.precision)


@dataclass(frozen=True)
class E4EPretrainSettings(AlternatingSettings):
    """What the result of an e4e training depends on, beside the images.

    What is None of the shape of the encoder is chosen from the generator and for the machine.

    Attributes:
        generator: the StyleGAN2 that the encoder finds codes for: the folder of a pretraining, or a published file. Its
            discriminator compares images, if the folder or file has one.
        width: channels of the first stage; each further stage has twice as many as the one before.
        units: residual units of each of the four stages.
        first_stride: see `TrunkShape`.
        feature_weight: weight of the distance of the discriminator's features, against that of pixels.
        delta_weight: weight of the lengths by which codes differ from the first one.
        latent_weight: weight of what the latent discriminator says of the codes.
        latent_rate: learning rate of the latent discriminator.
        latent_gamma: weight of its R1 penalty.
        apart_begin, apart_end: the share of the steps after which the second code begins to differ from the first, and
            after which all of them do (progressive training).
        apart_steps: the steps of which these are shares. None: all. They stay the same where a run is given more steps,
            so that its codes are told apart once.
    """

    usual_batch: ClassVar[int] = 8
    cpu_batch: ClassVar[int] = 8
    # The generator decides on the size of the images, and a batch is no smaller on a CPU.
    by_machine: ClassVar[tuple[str, ...]] = ("precision", "width", "units")
    given_networks: ClassVar[tuple[str, ...]] = ("generator",)

    image_size: tuple[int, int] | None = option(
        None,
        "The size at which the encoder sees images, in pixels. By default, that of the generator's images, and at most "
        "256x256.",
        flag="--size",
        within=SIZE,
    )
    batch_size: int | None = option(
        None, "The number of images per step, over all devices together. By default, 8.", within=BATCH
    )
    generator: str | None = option(
        None,
        "The StyleGAN2 to find codes for: the folder of pretrain stylegan2, or a published file. A new run needs it.",
    )
    learning_rate: float = option(1e-3, "The learning rate, which stays the same.", within=RATE)
    width: int | None = option(
        None,
        "The number of channels of the first of four stages. By default, 64 on a GPU and 16 on a CPU.",
        within=WIDTH,
    )
    units: tuple[int, ...] | None = option(
        None,
        "The number of residual units in each stage. By default, 3,4,14,3 on a GPU and 1,1,2,1 on a CPU.",
        within=DEPTH,
    )
    first_stride: int | None = option(
        None, "The stride of the first stage. By default 2, or 1 for images below 128 pixels.", within=Range(1, 2)
    )
    feature_weight: float = option(
        0.8, "The weight of the difference that the discriminator sees, against that of the pixels.", within=WEIGHT
    )
    delta_weight: float = option(2e-4, "The weight of how far codes differ from the first one.", within=WEIGHT)
    latent_weight: float = option(0.1, "The weight of what the latent discriminator says.", within=WEIGHT)
    latent_rate: float = option(2e-5, "The learning rate of the latent discriminator.", within=RATE)
    latent_gamma: float = option(10.0, "The weight of the latent discriminator's R1 penalty.", within=WEIGHT)
    apart_begin: float = option(0.1, "The share of the steps after which codes begin to differ.", within=SHARE)
    apart_end: float = option(0.3, "The share of the steps after which all codes differ.", within=SHARE)
    apart_steps: int | None = option(
        None,
        "The number of steps that --apart-begin and --apart-end are shares of. By default, those of the run as it is "
        "begun.",
        within=COUNT,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.generator is not None:  # perhaps a Path, which a run's JSON cannot hold
            object.__setattr__(self, "generator", str(self.generator))
        if self.units is not None and len(self.units) != STAGES:
            raise InputError(f"units {','.join(map(str, self.units))}: give one number for each of {STAGES} stages")
        if self.apart_begin > self.apart_end:
            raise InputError(f"apart_begin is {self.apart_begin}; give at most apart_end, which is {self.apart_end}")

    def chosen_for(self, paths: list[Path], machine: Machine = Machine()) -> "E4EPretrainSettings":  # noqa: B008
        """The same settings with everything that was left open chosen for the generator and the machine.

        Raises:
            InputError: no generator, or the image size does not suit it or the encoder.
        """
        from frugalseg.backbones.stylegan2.checkpoints.source import load_generator

        if self.generator is None:
            raise InputError("e4e needs the generator that it finds codes for: give --generator FOLDER or FILE")
        resolution = load_generator(self.generator).shape.resolution
        side = min(resolution, LONGEST_SIDE)
        basics = replace(self, image_size=self.image_size or (side, side)).with_basics(paths, machine)
        assert basics.image_size is not None
        first_stride = self.first_stride or (1 if basics.image_size[1] < SMALL else 2)
        check_size(basics.image_size, 8 * first_stride, resolution)
        small = not machine.gpu
        return replace(
            basics,
            width=self.width or (16 if small else 64),
            units=self.units or ((1, 1, 2, 1) if small else (3, 4, 14, 3)),
            first_stride=first_stride,
            apart_steps=self.apart_steps or self.steps,
        )

    def codes_apart(self, step: int, codes: int) -> int:
        """How many of so many codes differ in a step; the others equal the first."""
        steps = self.apart_steps or self.steps  # runs of earlier versions have no number of their own
        begin, end = self.apart_begin * steps, self.apart_end * steps
        if not begin <= step < end:
            return codes if step >= end else 1
        return 2 + int((step - begin) / (end - begin) * (codes - 1))


def check_size(size: tuple[int, int], stride: int, resolution: int) -> None:
    """Raise `InputError` unless an encoder of such a stride takes images of `size` for a generator's resolution."""
    height, width = size
    if height != width or width > resolution or width not in (stride << level for level in range(1, 9)):
        fitting = ", ".join(f"{s}x{s}" for s in (stride << level for level in range(1, 9)) if s <= resolution)
        remedy = "first_stride 1 or a larger generator" if resolution >= SMALLEST else "a larger generator"
        raise InputError(
            f"image_size {height}x{width}: a generator of {resolution} pixels and an encoder of stride {stride} take "
            f"{fitting or 'no size at all; give ' + remedy}"
        )
