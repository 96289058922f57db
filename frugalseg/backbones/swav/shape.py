"""What a residual network looks like, and which one suits images of a size; nothing here imports torch."""

from dataclasses import dataclass
from typing import Literal

from frugalseg.support.errors import InputError

LEVELS = 4
STEM_STRIDES = (1, 2, 4)


@dataclass(frozen=True)
class ResNetShape:
    """A residual network (He et al. 2016).

    Attributes:
        width: channels of the stem; the planes of layer n are ``width * 2 ** (n - 1)``. 64 in ResNet-50, 128 in its
            twice-wide variant.
        depths: blocks of each layer, one to four layers.
        block: ``bottleneck`` (1x1, 3x3 and 1x1 convolutions, four times as many channels out as planes) or ``basic``
            (two 3x3 convolutions, as many channels out as planes).
        stem_stride: 4 is the 7x7 convolution with max pooling of the published networks; 1 and 2 are a 3x3 convolution
            of that stride without pooling, for small images.
    """

    width: int = 64
    depths: tuple[int, ...] = (3, 4, 6, 3)
    block: Literal["basic", "bottleneck"] = "bottleneck"
    stem_stride: int = 4

    def __post_init__(self) -> None:
        if self.width < 1:
            raise InputError(f"width is {self.width}; give 1 or more channels, such as 64")
        if not 1 <= len(self.depths) <= LEVELS or min(self.depths) < 1:
            raise InputError(f"depths is {self.depths}; give the blocks of one to {LEVELS} layers, such as 3,4,6,3")
        if self.block not in ("basic", "bottleneck"):
            raise InputError(f"block {self.block!r} is unknown; give basic or bottleneck")
        if self.stem_stride not in STEM_STRIDES:
            raise InputError(f"stem_stride is {self.stem_stride}; give 1, 2 or 4")

    @property
    def stride(self) -> int:
        """Input pixels between two values of the deepest map."""
        return self.stem_stride << (len(self.depths) - 1)


def choose_shape(
    size: tuple[int, int],
    width: int | None = None,
    depths: tuple[int, ...] | None = None,
    block: Literal["basic", "bottleneck"] | None = None,
    stem_stride: int | None = None,
    small: bool = False,
) -> ResNetShape:
    """A network for images of `size` (height, width), with what is given taken as it is.

    From 128 pixels on along the shorter side it is ResNet-50. Smaller images keep their resolution for longer: below 64
    pixels nothing is pooled before the first layer. There the network has about 4 million weights in basic blocks,
    which on so few pixels cost less than bottlenecks of as many channels; layer4 has a third block, so that the inputs
    of every second block include its features. With `small`, for trainings on a CPU, large images get it, too, behind
    the stem of ResNet-50.
    """
    shorter = min(size)
    large = shorter >= 128 and not small
    return ResNetShape(
        width=width or (64 if large else 32),
        depths=depths or ((3, 4, 6, 3) if large else (2, 2, 2, 3)),
        block=block or ("bottleneck" if large else "basic"),
        stem_stride=stem_stride or (4 if shorter >= 128 else 2 if shorter >= 64 else 1),
    )
