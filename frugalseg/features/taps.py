"""Where features are read: the name, width and stride of each feature map."""

from collections.abc import Iterable
from dataclasses import dataclass

Place = tuple[tuple[str, int | float | str], ...]
"""Options of a family with a value each: ``(("timesteps", 50), ("blocks", 6))``."""


@dataclass(frozen=True)
class Tap:
    """One place where features are read.

    Attributes:
        name: unique within the backbone, for example ``t50.block6``.
        channels: channels of the map.
        stride: input pixels between two values of the map, so an (h, w) input gives an (h/stride, w/stride) map. Of a
            combination of backbones, it is that of the part, which sees an input of a size of its own.
        at: the options of the family that choose this tap, with the values that do; empty if no option leaves it out.
    """

    name: str
    channels: int
    stride: int
    at: Place = ()


def names(taps: Iterable[Tap]) -> list[str]:
    """The names of `taps`, in order."""
    return [tap.name for tap in taps]
