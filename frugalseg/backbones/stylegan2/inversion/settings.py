"""What a user sets: which activations of the generator are read, whether codes are improved, how images are drawn."""

from dataclasses import dataclass

from frugalseg.backbones.stylegan2.settings import Layers, truncation
from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, option
from frugalseg.support.precision import Precision, check_precision
from frugalseg.support.ranges import SIDE, Range


@dataclass(frozen=True)
class GANInversionOptions:
    """What `load_backbone` takes for ``gan_inversion``.

    Attributes:
        resolutions, layers: which activations of the generator are the features; see `StyleGAN2Options`.
        refine: how often the codes are improved, starting from those of the encoder, before the features are read.
        precision: number format of the networks' weights and activations.
    """

    resolutions: tuple[int, ...] | None = option(
        None, "The sizes of the maps to read, such as 16,32,64. By default, all that the network has.", within=SIDE
    )
    layers: Layers = option("both", "Which convolution of each block to read: conv0, conv1 or both.")
    refine: int = option(
        0,
        "The number of steps that improve the code of an image. Each takes about as long as three passes.",
        within=Range(0, 10_000),
    )
    precision: Precision = option("fp32", "The number format of the networks.")

    @property
    def passes(self) -> int:
        """About how often an image goes through the networks."""
        return 1 + 3 * self.refine

    def __post_init__(self) -> None:
        check_ranges(self)
        sides = self.resolutions
        if sides is not None and (not sides or len(set(sides)) < len(sides)):
            raise InputError(f"resolutions {', '.join(map(str, sides)) or 'empty'}: give one or more, each once")
        check_precision(self.precision)


@dataclass(frozen=True)
class GANInversionGeneration:
    """How the generator of an inversion draws images: with the noise of the features, which belongs to the network.

    Attributes:
        truncation: see `StyleGAN2Generation`.
    """

    truncation: float = truncation()

    def __post_init__(self) -> None:
        check_ranges(self)
