"""What a user sets: which activations of the generator are read, how it draws images, and how it is trained."""

from dataclasses import dataclass
from typing import Literal

from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, option
from frugalseg.support.precision import Precision, check_precision
from frugalseg.support.ranges import AMOUNT, Range

Steady = Literal["expected", "none"]
"""What stands in for noise where nothing is to be random."""
TRUNCATION = Range(0, 1, whole=False)


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
