"""What a user sets: which activations of a StyleGAN2 are read, how it draws, and how one is trained."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from frugalseg.backbones.stylegan2.network.shape import SMALLEST, DiscriminatorShape, GeneratorShape
from frugalseg.pretraining.machine import Machine
from frugalseg.pretraining.settings import LONGEST_ON_CPU, AlternatingSettings
from frugalseg.pretraining.squares import largest_square, require_square
from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, option
from frugalseg.support.precision import Precision, check_precision
from frugalseg.support.ranges import BATCH, COUNT, DEPTH, RATE, SIDE, WEIGHT, WIDTH, Range
from frugalseg.support.text import quoted

Layers = Literal["both", "conv0", "conv1"]
NoiseMode = Literal["random", "constant", "none"]
NOISE_MODES: tuple[NoiseMode, ...] = get_args(NoiseMode)
PROBABILITY = Range(0, 1, whole=False)
GAMMA = 0.0002
"""Of the published configuration ``auto``: times the pixels of an image, over the images of a batch."""
AUGMENT_IMAGES = 500_000
"""As published: photographs that are seen while the probability of changes goes from 0 to 1."""


@dataclass(frozen=True)
class StyleGAN2Options:
    """What `load_backbone` takes for ``stylegan2``.

    Attributes:
        resolutions: blocks whose activations are the features, by the side of their maps in pixels. None: all.
        layers: convolutions of these blocks: the first, which doubles the sides, the second, or both. The block of
            4 x 4 has the second alone.
        precision: number format of the synthesis network and of its activations. None: ``fp32``.
    """

    resolutions: tuple[int, ...] | None = option(
        None, "The sizes of the maps to read, such as 16,32,64. By default, all that the network has.", within=SIDE
    )
    layers: Layers = option("both", "Which convolution of each block to read: conv0, conv1 or both.")
    precision: Precision | None = option(None, "The number format of the network. By default fp32.")

    def __post_init__(self) -> None:
        check_ranges(self)
        sizes = self.resolutions
        if sizes is not None and (not sizes or len(set(sizes)) < len(sizes)):
            raise InputError(f"resolutions {', '.join(map(str, sizes)) or 'empty'}: give one or more, each once")
        if self.precision is not None:
            check_precision(self.precision)


def truncation() -> Any:
    """The option psi of all families that draw with a StyleGAN2."""
    return option(
        0.7,
        "How far latents may lie from their mean. 1 gives the most varied images, smaller numbers more typical ones.",
        within=Range(0, 2, whole=False),
    )


@dataclass(frozen=True)
class StyleGAN2Generation:
    """How a StyleGAN2 draws images.

    Attributes:
        truncation: psi; how far latents may lie from their mean. 1 leaves them as they are, 0 always gives the mean.
        noise: what is added in each convolution: new numbers for each image, the network's own ones, or nothing.
    """

    truncation: float = truncation()
    noise: NoiseMode = option("random", "The noise in the network: random for each image, constant, or none.")

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.noise not in NOISE_MODES:
            raise InputError(f"noise is {quoted(self.noise)}; give {', '.join(NOISE_MODES[:-1])} or {NOISE_MODES[-1]}")


@dataclass(frozen=True)
class StyleGAN2PretrainSettings(AlternatingSettings):
    """What the result of a StyleGAN2's pretraining depends on, beside the images.

    What is None of the shape of the networks is chosen from the image size, and smaller on a CPU: see `usual_shape`.

    Attributes:
        latent_size: values of z and of w.
        base_channels: channels of both networks at full resolution; they double with each halving of the sides.
        max_channels: the most that they become.
        mapping_layers: layers from z to w; 8 in most published networks, 2 in those of the configuration ``auto``.
        gamma: weight of the penalty R1; 0 leaves it out. None: ``0.0002 * pixels / batch_size``, as in ``auto``.
        path_weight: of the penalty on path lengths; 0 leaves it out.
        style_mixing: how often an image is drawn from two latents.
        augment_target: the mean sign of the discriminator's logits of photographs from which on these are changed more
            often; 1 never changes any.
        augment_images: photographs that are seen while the probability of changes goes from 0 to 1. None: 500 000, or a
            quarter of those that the run sees.
        deviation_group: images among which the discriminator measures the deviation.
        ema_images: see `AlternatingSettings`; 5000 for batches of 16 in ``auto``.
    """

    longest_side: ClassVar[int] = 256
    usual_batch: ClassVar[int] = 32
    by_machine: ClassVar[tuple[str, ...]] = (
        *AlternatingSettings.by_machine,
        *("latent_size", "base_channels", "max_channels", "mapping_layers"),
    )

    learning_rate: float = option(2.5e-3, "The learning rate, which stays the same.", within=RATE)
    ema_images: int = option(
        5_000,
        "The half-life of the averaged weights, in images. These are the weights that are saved for use.",
        within=COUNT,
    )
    latent_size: int | None = option(
        None, "The number of dimensions of a latent. By default, 512, and 128 on a CPU.", within=WIDTH
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
        None, "The number of layers of the mapping network. By default, 8, and 2 on a CPU.", within=DEPTH
    )
    gamma: float | None = option(
        None,
        "The weight of the penalty on the discriminator's gradients (R1). By default, it is chosen from image and "
        "batch size.",
        within=WEIGHT,
    )
    path_weight: float = option(2.0, "The weight of the path length penalty.", within=WEIGHT)
    style_mixing: float = option(0.9, "How often an image is drawn from two latents.", within=PROBABILITY)
    augment_target: float = option(
        0.6,
        "How sure the discriminator may be of the photographs before they are changed at random (ADA). With 1, they "
        "never are.",
        within=PROBABILITY,
    )
    augment_images: int | None = option(
        None,
        "The number of images over which the probability of changes may rise from 0 to 1. By default, 500000, or a "
        "quarter of all that the run sees.",
        within=COUNT,
    )
    deviation_group: int = option(
        4, "The number of images in a group of the discriminator's minibatch standard deviation.", within=BATCH
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size is not None:
            require_square(self.image_size, "a StyleGAN2")

    def chosen_for(self, paths: list[Path], machine: Machine = Machine()) -> "StyleGAN2PretrainSettings":  # noqa: B008
        """The same settings with everything that was left open chosen for the images at `paths` and the machine.

        Raises:
            InputError: the image size is not square, or its sides are no power of two.
        """
        basics = self.with_basics(paths, machine)
        assert basics.image_size is not None
        side, batch = basics.image_size[0], basics.images_per_step
        usual = usual_shape(side, small=not machine.gpu)
        seen = max(1, self.steps * batch // 4)
        return replace(
            basics,
            latent_size=self.latent_size or usual.latent,
            base_channels=self.base_channels or usual.base,
            max_channels=self.max_channels or usual.most,
            mapping_layers=self.mapping_layers or usual.mapping,
            gamma=GAMMA * side**2 / batch if self.gamma is None else self.gamma,
            augment_images=self.augment_images or min(AUGMENT_IMAGES, seen),
        )

    def _chosen_size(self, paths: list[Path], machine: Machine) -> tuple[int, int]:
        """The largest size that most images fill, up to that which suits the machine."""
        longest = self.longest_side if machine.gpu else min(self.longest_side, LONGEST_ON_CPU)
        return largest_square(paths, longest)

    @property
    def channels(self) -> tuple[int, ...]:
        """Of both networks, from 4 x 4 up to the full resolution, once `chosen_for` has chosen them."""
        assert self.image_size and self.base_channels and self.max_channels
        levels = self.image_size[0].bit_length() - SMALLEST.bit_length()
        return tuple(min(self.max_channels, self.base_channels << level) for level in range(levels, -1, -1))

    @property
    def generator_shape(self) -> GeneratorShape:
        """The generator, once `chosen_for` has chosen it."""
        assert self.latent_size and self.mapping_layers
        return GeneratorShape(
            self.channels, self.latent_size, self.latent_size, self.mapping_layers, mapping_width=self.latent_size
        )

    @property
    def discriminator_shape(self) -> DiscriminatorShape:
        """The discriminator, once `chosen_for` has chosen it."""
        return DiscriminatorShape(self.channels, group=self.deviation_group)


@dataclass(frozen=True)
class UsualShape:
    """The networks for images of some size."""

    latent: int
    base: int
    most: int
    mapping: int


def usual_shape(side: int, small: bool = False) -> UsualShape:
    """The networks for square images; as published for 256 pixels, or far narrower if `small`."""
    if small:
        return UsualShape(latent=128, base=max(8, min(64, 512 // side)), most=64, mapping=2)
    return UsualShape(latent=512, base=max(16, min(512, 16384 // side)), most=512, mapping=8)
