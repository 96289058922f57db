"""The sizes of an e4e encoder: given, or read off the tensors of a published file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

from torch import Tensor

from frugalseg.backbones.stylegan2.encoder.settings import STAGES
from frugalseg.support.errors import InputError

COARSE, MIDDLE = 3, 7
"""The first codes that are read from the middle and from the finest level of the pyramid; fixed in Encoder4Editing."""
REDUCTION = 16
"""How many times fewer channels a squeeze-and-excitation gate has inside, as in the IR-SE networks of ArcFace."""
DEEPEST = 8
"""Halvings of images of 4096 pixels."""


@dataclass(frozen=True)
class TrunkShape:
    """The sizes of the body and the pyramid, which take images of any size.

    Attributes:
        stem: channels before the first stage.
        widths: channels of each of the four stages.
        units: residual units of each stage.
        first_stride: of the first stage, 1 or 2; that of the others is 2. With 1, small images keep their size in it.
    """

    stem: int
    widths: tuple[int, int, int, int]
    units: tuple[int, int, int, int]
    first_stride: int = 2

    def __post_init__(self) -> None:
        if min(self.stem, *self.widths, *self.units) < 1:
            raise InputError("an encoder without channels or units")
        if self.first_stride not in (1, 2):
            raise InputError(f"first_stride is {self.first_stride}; give 1 or 2")
        if any(one == other for one, other in pairwise(self.widths)):
            raise InputError(f"widths {', '.join(map(str, self.widths))}: stages that follow one another must differ")

    @property
    def strides(self) -> tuple[int, ...]:
        """Input pixels between two values after each stage."""
        return tuple(self.first_stride << stage for stage in range(STAGES))

    @property
    def stride(self) -> int:
        """Input pixels between two values of the deepest map."""
        return self.strides[-1]

    @property
    def last_units(self) -> tuple[int, ...]:
        """The number of the last unit of each stage; units are counted from 0 over all stages."""
        return tuple(end - 1 for end in accumulate(self.units))


@dataclass(frozen=True)
class HeadShape:
    """The sizes of what makes codes of the pyramid.

    Attributes:
        codes: how many an image gets, one for each layer of the generator.
        width: numbers in a code; that of the generator's w.
        halvings: how often the deepest map is halved until a single place is left.
    """

    codes: int
    width: int
    halvings: int

    def __post_init__(self) -> None:
        if min(self.codes, self.width, self.halvings) < 1:
            raise InputError("an encoder without codes, or with codes without numbers")

    @staticmethod
    def level(code: int) -> int:
        """Which level of the pyramid gives a code: 0 the deepest and coarsest, 2 the finest."""
        return (code >= COARSE) + (code >= MIDDLE)


def trunk_shape(tensors: Mapping[str, Tensor], first_stride: int = 2) -> TrunkShape:
    """The sizes of the body with these tensors, by their names without ``encoder.``.

    Raises:
        InputError: they are not those of such an encoder.
    """
    runs: list[list[int]] = []  # channels and units of each stage
    for unit in range(len(_numbers(tensors, r"body\.(\d+)\."))):
        width = _channels(tensors, f"body.{unit}.res_layer.1.weight", 4)
        if runs and runs[-1][0] == width:
            runs[-1][1] += 1
        else:
            runs.append([width, 1])
    if len(runs) != STAGES:
        raise InputError(f"its units form {len(runs)} stages of one width each, not {STAGES}")
    widths, units = zip(*runs, strict=True)
    return TrunkShape(_channels(tensors, "input_layer.0.weight", 4), widths, units, first_stride)


def head_shape(tensors: Mapping[str, Tensor]) -> HeadShape:
    """The sizes of the heads with these tensors; see `trunk_shape`."""
    return HeadShape(
        codes=len(_numbers(tensors, r"styles\.(\d+)\.")),
        width=_channels(tensors, "styles.0.linear.weight", 2),
        halvings=halvings_of(tensors),
    )


def halvings_of(tensors: Mapping[str, Tensor]) -> int:
    """How often the deepest map is halved by the heads with these tensors; at most `DEEPEST`."""
    return min(len(_numbers(tensors, r"styles\.0\.convs\.(\d+)\.")), DEEPEST)


def _numbers(tensors: Mapping[str, Tensor], pattern: str) -> set[str]:
    return {match[1] for name in tensors if (match := re.match(pattern, name))}


def _channels(tensors: Mapping[str, Tensor], name: str, dimensions: int) -> int:
    """The channels that a layer gives out; raises `InputError` where it is missing or of another kind."""
    if name not in tensors:
        raise InputError(f"no {name}")
    if tensors[name].dim() != dimensions:
        raise InputError(f"{name} is of shape {tuple(tensors[name].shape)}")
    return len(tensors[name])
