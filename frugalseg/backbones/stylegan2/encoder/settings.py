"""What a user sets: which activations of an e4e encoder are read."""

from dataclasses import dataclass

from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, option
from frugalseg.support.precision import Precision, check_precision


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
        "The activations to read, such as body6,body20,p1. By default, the last of each stage, and the pyramid p2,p1.",
    )
    precision: Precision = option("fp32", "The number format of the network.")

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.layers is not None and (not self.layers or len(set(self.layers)) < len(self.layers)):
            raise InputError(f"layers {', '.join(self.layers) or 'empty'}: give one or more, each once")
        check_precision(self.precision)
