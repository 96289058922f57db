"""What a user sets: which activations of the generator are read, how it draws images, and how it is trained."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from frugalseg.backbones.alae.shape import SMALLEST, Shape
from frugalseg.pretraining.machine import Machine
from frugalseg.pretraining.settings import LONGEST_ON_CPU, AlternatingSettings
from frugalseg.pretraining.squares import largest_square, nearest_side, require_square
from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, option
from frugalseg.support.precision import Precision, check_precision
from frugalseg.support.ranges import AMOUNT, DEPTH, SIDE, WEIGHT, WIDTH, Range

Steady = Literal["expected", "none"]
"""What stands in for noise where nothing is to be random."""
TRUNCATION = Range(0, 1, whole=False)
FFHQ = Shape(layers=9, latent=512, start=16, most=512, mapping=8)
SMALL = Shape(layers=4, latent=128, start=16, most=64, mapping=4)
"""For 1024 and for 32 pixels a side; the networks for other sizes have as many channels where maps are as large."""
NARROWEST = 8
"""Channels of the highest resolution, at least."""


@dataclass(frozen=True)
class ALAEOptions:
    """What `load_backbone` takes for ``alae``.

    Attributes:
        blocks: blocks of the generator whose outputs are the features; block 0 is of 4 x 4 pixels, and each further one
            twice as large. None: all of them.
        noise: what stands in for the noise between the generator's layers: its expected effect, as the published code
            has it where it draws none, or nothing at all.
        precision: number format of the networks' weights and activations.
    """

    blocks: tuple[int, ...] | None = option(
        None,
        "The generator blocks to read, such as 2,3,4. Block 0 has 4 x 4 pixels, and each next one twice as many a "
        "side. By default, all.",
        within=AMOUNT,
    )
    noise: Steady = option(
        "expected", "What stands in for the generator's noise: its expected effect, as published, or none."
    )
    precision: Precision = option("fp32", "The number format of the networks.")

    def __post_init__(self) -> None:
        check_ranges(self)
        check_precision(self.precision)
        blocks = self.blocks
        if blocks is not None and (not blocks or len(set(blocks)) < len(blocks)):
            raise InputError(f"blocks {', '.join(map(str, blocks)) or 'empty'}: give one or more, from 0, each once")
        check_noise(self.noise, "expected", "none")


@dataclass(frozen=True)
class ALAEGeneration:
    """How an autoencoder draws images.

    Attributes:
        truncation: what is left of a code's distance to the mean code, in the styles of the first `truncated_styles`.
            1 leaves codes as they are; with less, images vary less and have fewer faults.
        truncated_styles: styles, two for each block of the generator, that truncation moves.
        noise: what is added between the generator's layers. None: as the backbone's features have it. With ``random``
            noise, the maps of an image are not those of its code alone, so none come with it.
    """

    truncation: float = option(
        0.7,
        "How far codes may be from the mean one. 1 leaves them as they are, 0 gives the mean itself.",
        within=TRUNCATION,
    )
    truncated_styles: int = option(
        8, "To how many styles this applies: each block has two, and the smallest block comes first.", within=AMOUNT
    )
    noise: Literal["expected", "none", "random"] | None = option(
        None, "The generator's noise. By default, as for the features."
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.noise is not None:
            check_noise(self.noise, "expected", "none", "random")


def check_noise(noise: str, *known: str) -> None:
    """Raise `InputError` unless a noise is one of those known."""
    if noise not in known:
        raise InputError(f"noise: should be {', '.join(map(repr, known[:-1]))} or {known[-1]!r}, not {noise!r}")


@dataclass(frozen=True)
class ALAEPretrainSettings(AlternatingSettings):
    """What the result of ALAE pretraining depends on, beside the images.

    What is None of the shape of the network is chosen from the image size, and smaller for a CPU: see `usual_shape`.

    Attributes:
        latent_size: numbers of a code.
        base_channels: channels at the full resolution; each lower one has twice as many.
        max_channels: the largest number of channels.
        mapping_layers: layers of the mapping from random vectors to codes.
        first_size: side of the square images that the training begins with, a power of two.
        growing_steps: steps until the full resolution begins; each smaller one gets an equal part of them. None: half
            of all steps.
        style_mixing: how often the generator is given two codes, one for its first styles and one for the others.
        penalty: gamma of the penalty on the discriminator's gradients at real images (R1; 10 in the paper).
    """

    usual_batch: ClassVar[int] = 32
    by_machine: ClassVar[tuple[str, ...]] = (
        *AlternatingSettings.by_machine,
        *("latent_size", "base_channels", "max_channels", "mapping_layers"),
    )

    latent_size: int | None = option(
        None, "The number of dimensions of a code. By default, 512, and 128 on a CPU.", within=WIDTH
    )
    base_channels: int | None = option(
        None,
        "The number of channels at full resolution. By default, it is chosen from the image size, and smaller on a "
        "CPU.",
        within=WIDTH,
    )
    max_channels: int | None = option(
        None, "The largest number of channels. By default, 512, and 64 on a CPU.", within=WIDTH
    )
    mapping_layers: int | None = option(
        None,
        "The number of layers of the mapping network. By default, 8, and 4 on a CPU.",
        within=DEPTH,
    )
    first_size: int = option(8, "The side length that the training begins with, in pixels.", within=SIDE)
    growing_steps: int | None = option(
        None, "The number of steps until the full resolution begins. By default, half of all steps.", within=AMOUNT
    )
    style_mixing: float = option(0.9, "How often an image is drawn from two codes.", within=TRUNCATION)
    penalty: float = option(10.0, "The weight of the penalty on the discriminator's gradients (R1).", within=WEIGHT)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size is not None:
            require_square(self.image_size, "an autoencoder")
        if self.first_size != SMALLEST and self.first_size != nearest_side(self.first_size):
            near = nearest_side(self.first_size)
            raise InputError(f"first_size is {self.first_size}; give {SMALLEST} or a power of two such as {near}")
        if self.image_size is not None and self.first_size > self.image_size[0]:
            raise InputError(f"first_size {self.first_size} is more than image_size {self.image_size[0]}; give less")

    def chosen_for(self, paths: list[Path], machine: Machine = Machine()) -> "ALAEPretrainSettings":  # noqa: B008
        """The same settings with everything that was left open chosen for the images at `paths` and the machine.

        Raises:
            InputError: the image size is not square, or its sides are no power of two.
        """
        basics = self.with_basics(paths, machine)
        assert basics.image_size is not None
        usual = usual_shape(basics.image_size[0], small=not machine.gpu)
        return replace(
            basics,
            latent_size=self.latent_size or usual.latent,
            base_channels=self.base_channels or usual.start,
            max_channels=self.max_channels or usual.most,
            mapping_layers=self.mapping_layers or usual.mapping,
            growing_steps=self.steps // 2 if self.growing_steps is None else self.growing_steps,
        )

    def _chosen_size(self, paths: list[Path], machine: Machine) -> tuple[int, int]:
        """The largest size that most images fill, up to that which suits the machine."""
        longest = self.longest_side if machine.gpu else min(self.longest_side, LONGEST_ON_CPU)
        side = max(self.first_size, largest_square(paths, longest)[0])
        return side, side

    @property
    def shape(self) -> Shape:
        """The network, once `chosen_for` has chosen it."""
        assert self.image_size and self.latent_size and self.base_channels and self.max_channels and self.mapping_layers
        layers = layers_for(self.image_size[0])
        return Shape(layers, self.latent_size, self.base_channels, self.max_channels, self.mapping_layers)


def usual_shape(side: int, small: bool = False) -> Shape:
    """The network for square images with so many pixels a side: that of FFHQ as published, or a small one for a CPU."""
    usual = SMALL if small else FFHQ
    start = min(usual.most, max(NARROWEST, (usual.start << (usual.layers - 1)) // (side // SMALLEST)))
    return replace(usual, layers=layers_for(side), start=start)


def layers_for(side: int) -> int:
    """The resolutions from 4 x 4 up to so many pixels a side."""
    return side.bit_length() - SMALLEST.bit_length() + 1
