"""What a user sets: which activations of a StyleGAN2 are read, how it draws, and how one is trained."""

from dataclasses import dataclass
from typing import Literal

from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, option
from frugalseg.support.precision import Precision, check_precision
from frugalseg.support.ranges import SIDE, Range

Layers = Literal["both", "conv0", "conv1"]
NoiseMode = Literal["random", "constant", "none"]
TRUNCATION = Range(0, 2, whole=False)


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


@dataclass(frozen=True)
class StyleGAN2Generation:
    """How a StyleGAN2 draws images.

    Attributes:
        truncation: psi; how far latents may lie from their mean. 1 leaves them as they are, 0 always gives the mean.
        noise: what is added in each convolution: new numbers for each image, the network's own ones, or nothing.
    """

    truncation: float = option(
        0.7,
        "How far latents may lie from their mean. 1 gives the most varied images, smaller numbers more typical ones.",
        within=TRUNCATION,
    )
    noise: NoiseMode = option("random", "The noise in the network: random for each image, constant, or none.")

    def __post_init__(self) -> None:
        check_ranges(self)
