"""The networks that are trained for images of some size, where the user does not say."""

from dataclasses import dataclass
from itertools import pairwise

from frugalseg.features.sizes import nearest_size as nearest_of

COARSEST = 4
"""The shorter side is halved until it has fewer than twice as many values."""


@dataclass(frozen=True)
class UsualNetwork:
    """Channels, and blocks at each resolution."""

    width: int
    blocks: int


SMALL = UsualNetwork(width=64, blocks=2)
"""On a CPU."""
SIZES = {64: UsualNetwork(128, 3), 160: UsualNetwork(192, 4), 10**9: UsualNetwork(256, 5)}
"""For images whose longer side is below so many pixels."""


def usual_network(size: tuple[int, int], small: bool = False) -> UsualNetwork:
    """The network for images of `size` (height, width); `small`: for a CPU."""
    return SMALL if small else next(network for side, network in SIZES.items() if max(size) < side)


def halvings(size: tuple[int, int]) -> int:
    """How often images of `size` are halved."""
    return max(0, (min(size) // COARSEST).bit_length() - 1)


def nearest_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size nearest to `size` whose sides can be halved as often as it is."""
    unit = 2 ** halvings(size)
    nearest = nearest_of(size, unit)
    # The shorter side may have grown until it is halved once more.
    return nearest if nearest == size else nearest_size(nearest)


def usual_layouts(size: tuple[int, int], blocks: int) -> tuple[str, str]:
    """The block strings of encoder and decoder for images of a `nearest_size`.

    As in the published networks, square maps are pooled to a single value in the end.

    Args:
        size: (height, width).
        blocks: at each resolution.
    """
    rows = [size[0] // 2**n for n in range(halvings(size) + 1)]
    if size[0] == size[1] and rows[-1] > 1:
        rows.append(1)
    down = [f"{fine}x{blocks},{fine}d{fine // coarse}" for fine, coarse in pairwise(rows)]
    up = [f"{fine}m{coarse}" + f",{fine}x{blocks - 1}" * (blocks > 1) for coarse, fine in pairwise(rows[::-1])]
    ends = f"{rows[-1]}x{blocks}"
    return ",".join([*down, ends]), ",".join([ends, *up])
