"""Where features are read in a network."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tap:
    """One place where features are read.

    Attributes:
        name: unique within the backbone, for example ``t50.block6``.
        channels: channels of the map.
        stride: input pixels between two values of the map, so an (h, w) input gives an (h/stride, w/stride) map.
    """

    name: str
    channels: int
    stride: int
