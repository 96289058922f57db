"""Scaling, turning and shifting by any amount, on images of twice the size so that nothing aliases."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from frugalseg.backbones.stylegan2.augmentation.blit import picked
from frugalseg.backbones.stylegan2.augmentation.dice import Dice

SCALE, SHIFT = 0.2, 0.125
"""Deviations of the logarithm of a scale, to the base 2, and of a shift as a share of the side."""
SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
"""The low-pass filter of Daubechies' wavelet sym6, whose squares sum to 1 (Daubechies 1992, table 8.3).

An image that is doubled by it and halved by its mirror image is the same again.
"""
CENTER = sum(place * value for place, value in enumerate(SYM6)) / sum(SYM6)
"""Where the filter has its center of mass."""


def transformed(images: Tensor, dice: Dice, p: float) -> Tensor:
    """Scale, turn and shift each image with a probability of `p`.

    Args:
        images: (B, C, S, S).
        dice: gives eleven columns.
        p: from 0 on.
    """
    return resampled(images, random_inverse(dice, p, images.shape[-1]))


def random_inverse(dice: Dice, p: float, side: int) -> Tensor:
    """(B, 3, 3) float64 on the CPU: from places x, y in the new image to the old ones, in pixels from the center."""
    # Two turns, one on each side of the stretch; together they are as probable as each other change.
    turns = 1 - math.sqrt(1 - min(p, 1))
    scale = torch.where(dice.happens(p), dice.normal(SCALE), 0).exp2()
    before = torch.where(dice.happens(turns), dice.uniform(-math.pi, math.pi), 0)
    stretch = torch.where(dice.happens(p), dice.normal(SCALE), 0).exp2()
    after = torch.where(dice.happens(turns), dice.uniform(-math.pi, math.pi), 0)
    shifts = dice.happens(p)
    right, down = (torch.where(shifts, dice.normal(SHIFT * side), 0) for _ in range(2))
    turned = scaling(1 / scale, 1 / scale) @ rotation(-before) @ scaling(1 / stretch, stretch) @ rotation(-after)
    return turned @ translation(-right, -down)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """(B, 3, 3): multiply places by (B,) factors."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return matrix([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def rotation(angle: Tensor) -> Tensor:
    """(B, 3, 3): turn places by (B,) angles, from x to y."""
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    cos, sin = angle.cos(), angle.sin()
    return matrix([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])


def translation(x: Tensor, y: Tensor) -> Tensor:
    """(B, 3, 3): add (B,) numbers to places."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return matrix([[one, zero, x], [zero, one, y], [zero, zero, one]])


def matrix(rows: list[list[Tensor]]) -> Tensor:
    """(B, n, m) of n rows of m (B,) tensors."""
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def resampled(images: Tensor, inverse: Tensor) -> Tensor:
    """Images whose pixels come from other places; what lies beyond the borders is mirrored.

    Args:
        images: (B, C, S, S) float32.
        inverse: see `random_inverse`.
    """
    side = images.shape[-1]
    margin = margin_for(inverse, side)
    large = doubled(functional.pad(images, [margin] * 4, mode="reflect"))
    # A pixel of a doubled image lies at half its number, but for the filter's center.
    places = (torch.arange(2 * side + len(SYM6) - 2, device=images.device, dtype=torch.float32) - CENTER) / 2
    x, y = mapped(inverse.to(images.device, torch.float32), places - (side - 1) / 2)
    x, y = (2 * (each + (side - 1) / 2 + margin) + CENTER for each in (x, y))
    return halved(interpolated(large, x, y))


def mapped(inverse: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """(B, n, n) each: x and y where (n,) by (n,) places come from."""
    y, x = torch.meshgrid(places, places, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)]).flatten(1)
    found = (inverse @ points).unflatten(2, x.shape)
    return found[:, 0], found[:, 1]


def margin_for(inverse: Tensor, side: int) -> int:
    """How many pixels beyond the borders any image of the batch shows, up to a whole image less one pixel."""
    half = (side - 1) / 2 + len(SYM6) / 2
    corners = torch.tensor([[-half, half, -half, half], [-half, -half, half, half], [1, 1, 1, 1]], dtype=torch.float64)
    farthest = (inverse @ corners)[:, :2].abs().max()
    return max(0, min(side - 1, math.ceil(float(farthest) - (side - 1) / 2) + len(SYM6) // 2))


def doubled(images: Tensor) -> Tensor:
    """(B, C, 2H + 10, 2W + 10): zeros between the pixels, and the filter over them."""
    filter_ = _filter(images) * 2
    for kernel, stride in ((filter_[None, :], (1, 2)), (filter_[:, None], (2, 1))):
        weight = kernel.expand(images.shape[1], 1, *kernel.shape)
        images = functional.conv_transpose2d(images, weight, stride=stride, groups=images.shape[1])
    return images


def halved(images: Tensor) -> Tensor:
    """(B, C, H, W): the inverse of `doubled` where nothing was done to its result."""
    filter_ = _filter(images)
    for kernel, stride in ((filter_[None, :], (1, 2)), (filter_[:, None], (2, 1))):
        weight = kernel.expand(images.shape[1], 1, *kernel.shape)
        images = functional.conv2d(images, weight, stride=stride, groups=images.shape[1])
    return images


def _filter(images: Tensor) -> Tensor:
    """(12,): the filter, whose values sum to 1."""
    return torch.tensor(SYM6, dtype=images.dtype, device=images.device) / math.sqrt(2)


def interpolated(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(B, C, h, w): bilinear values of (B, C, H, W) images at (B, h, w) places; those outside are moved to the border.

    torch's own sampling cannot be differentiated twice.
    """
    height, width = images.shape[2:]
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.floor().clamp(max=max(0, width - 2)).long(), y.floor().clamp(max=max(0, height - 2)).long()
    right, down = (x - left)[:, None], (y - top)[:, None]
    upper = picked(images, top, left).lerp(picked(images, top, left + 1), right)
    lower = picked(images, top + 1, left).lerp(picked(images, top + 1, left + 1), right)
    return upper.lerp(lower, down)
