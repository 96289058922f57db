"""The UNet of a DDPM of our own: a diffusers `UNet2DModel` whose depth and width follow from the image size."""

import math
from dataclasses import dataclass
from typing import Any

from frugalseg.features.sizes import nearest_size
from frugalseg.support.errors import InputError

SHORTEST_SIDE_INSIDE = 6
"""Levels are added until the shorter side of the deepest maps would fall below this many pixels."""


@dataclass(frozen=True)
class UNetShape:
    """What decides how large a UNet is.

    Attributes:
        channels: channels of each level, from full resolution to the deepest; each level halves the one before.
        layers: residual blocks a level on the way down (one more on the way up).
        attention_levels: how many of the deepest levels have self-attention after each residual block.
    """

    channels: tuple[int, ...]
    layers: int
    attention_levels: int

    def __post_init__(self) -> None:
        if not self.channels or min(self.channels) < 4 or any(c % 4 for c in self.channels):
            raise InputError(
                f"UNet channels {list(self.channels)} do not work; give multiples of 4, one for each level"
            )
        if self.layers < 1:
            raise InputError(f"{self.layers} residual blocks per level do not work; give 1 or more")
        if not 0 <= self.attention_levels <= len(self.channels):
            raise InputError(
                f"attention on {self.attention_levels} levels does not work; give 0 to {len(self.channels)}, "
                "counted from the deepest"
            )

    @property
    def stride(self) -> int:
        """The sides of an image must be multiples of it."""
        return int(2 ** (len(self.channels) - 1))


def choose_shape(
    image_size: tuple[int, int],
    base_channels: int | None = None,
    multipliers: tuple[int, ...] | None = None,
    layers: int | None = None,
    attention_levels: int | None = None,
    small: bool = False,
) -> UNetShape:
    """A UNet that fits the images; whatever is given is kept, the rest is chosen.

    Small images get few levels and narrow full-resolution maps, because that is where most of the time of a small
    network goes; larger ones get the proportions of the networks of Dhariwal & Nichol (2021), narrower.

    Args:
        image_size: (height, width) in pixels.
        base_channels: channels at full resolution.
        multipliers: the channels of each level divided by `base_channels`.
        layers: residual blocks a level.
        attention_levels: how many of the deepest levels have self-attention.
        small: as narrow and shallow as for small images, whatever their size; for trainings on a CPU.
    """
    side = min(image_size)
    if multipliers is None:
        levels = min(max(int(math.log2(max(side, 1) / SHORTEST_SIDE_INSIDE)) + 1, 2), 6)
        multipliers = {2: (1, 2), 3: (1, 2, 4), 4: (1, 2, 3, 4), 5: (1, 1, 2, 3, 4), 6: (1, 1, 2, 2, 4, 4)}[levels]
    grade = 0 if small or side < 64 else 1 if side < 128 else 2
    channels = tuple((base_channels or 32 << grade) * m for m in multipliers)
    if attention_levels is None:
        attention_levels = min(grade + 1, len(channels))
    return UNetShape(channels, layers or min(grade + 1, 2), attention_levels)


def build_unet(image_size: tuple[int, int], shape: UNetShape) -> Any:
    """A `diffusers.UNet2DModel` with fresh weights from torch's global generator.

    Args:
        image_size: (height, width), multiples of ``shape.stride``.
        shape: depth and width.

    Returns:
        The network: (B, 3, H, W) float and (B,) steps to (B, 3, H, W), the noise it sees.

    Raises:
        InputError: a side is not a multiple of the stride.
    """
    from diffusers import UNet2DModel

    if any(side % shape.stride or side < shape.stride for side in image_size):
        near = "{}x{}".format(*nearest_size(image_size, shape.stride))
        raise InputError(
            f"images of {image_size[0]}x{image_size[1]} (height x width) do not fit a UNet of {len(shape.channels)} "
            f"levels; give sides that are multiples of {shape.stride}, such as {near}, or fewer multipliers"
        )
    plain = len(shape.channels) - shape.attention_levels
    return UNet2DModel(
        sample_size=tuple(image_size),
        block_out_channels=shape.channels,
        layers_per_block=shape.layers,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",) * shape.attention_levels,
        up_block_types=("AttnUpBlock2D",) * shape.attention_levels + ("UpBlock2D",) * plain,
        resnet_time_scale_shift="scale_shift",
        attention_head_dim=math.gcd(32, *shape.channels),
        norm_num_groups=_norm_groups(shape.channels),
    )


def _norm_groups(channels: tuple[int, ...]) -> int:
    """The most groups, up to 32, that divide every level and leave at least two channels in each group."""
    groups = math.gcd(32, *channels)
    return groups if groups * 2 <= min(channels) else groups // 2
