"""Changes that move pixels without mixing them: mirroring, quarter turns, shifts by whole pixels."""

import torch
from torch import Tensor

from frugalseg.backbones.stylegan2.augmentation.dice import Dice

FARTHEST = 0.125
"""Of a shift, as a share of the side."""


def blitted(images: Tensor, dice: Dice, p: float) -> Tensor:
    """Mirror, turn and shift each image with a probability of `p`.

    Args:
        images: (B, C, S, S).
        dice: gives seven columns.
        p: from 0 on.
    """
    side = images.shape[-1]
    mirrors = torch.where(dice.happens(p), dice.choice(2), 0)
    quarters = torch.where(dice.happens(p), dice.choice(4), 0)
    moves = dice.happens(p)
    down, right = (torch.where(moves, dice.uniform(-FARTHEST, FARTHEST), 0) for _ in range(2))
    return moved(images, mirrors, quarters, (down * side).round(), (right * side).round())


def moved(images: Tensor, mirrors: Tensor, quarters: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Images that are mirrored left to right, then turned, then shifted; what comes in at the borders is mirrored.

    Args:
        images: (B, C, S, S).
        mirrors: (B,), 1 where an image is mirrored and 0 elsewhere.
        quarters: (B,) turns by 90 degrees, against the clock.
        down, right: (B,) pixels of a shift.
    """
    side = images.shape[-1]
    mirrors, quarters, down, right = (each.to(images.device, torch.long) for each in (mirrors, quarters, down, right))
    rows, columns = torch.meshgrid(*[torch.arange(side, device=images.device)] * 2, indexing="ij")
    rows, columns = (folded(places - by[:, None, None], side) for places, by in ((rows, down), (columns, right)))
    for quarter in (1, 2, 3):  # where a pixel of the turned image was before another quarter turn
        turned = (quarters >= quarter)[:, None, None]
        rows, columns = torch.where(turned, columns, rows), torch.where(turned, side - 1 - rows, columns)
    columns = torch.where(mirrors[:, None, None] > 0, side - 1 - columns, columns)
    return picked(images, rows, columns)


def picked(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(B, C, h, w): the pixels of (B, C, H, W) images at (B, h, w) places."""
    places = (rows * images.shape[-1] + columns).flatten(1)[:, None].expand(-1, images.shape[1], -1)
    found: Tensor = images.flatten(2).gather(2, places).unflatten(2, rows.shape[1:])
    return found


def folded(places: Tensor, side: int) -> Tensor:
    """Whole numbers, mirrored at 0 and at ``side - 1`` until they lie between the two."""
    if side == 1:
        return torch.zeros_like(places)
    period = 2 * (side - 1)
    places = places % period
    return torch.where(places < side, places, period - places)
