"""All changes, one after another."""

import torch
from torch import Tensor

from frugalseg.backbones.stylegan2.augmentation.blit import blitted
from frugalseg.backbones.stylegan2.augmentation.color import recolored
from frugalseg.backbones.stylegan2.augmentation.dice import Dice
from frugalseg.backbones.stylegan2.augmentation.geometry import transformed

NUMBERS = 7 + 11 + 10
"""Random numbers that the changes of an image take."""


def augmented(images: Tensor, p: float, numbers: Tensor) -> Tensor:
    """Images, changed at random; always computed in float32.

    Args:
        images: (B, 3, S, S) in [-1, 1].
        p: the probability of each change; 0 leaves the images as they are.
        numbers: (B, `NUMBERS`) normal numbers, on the CPU.
    """
    if p <= 0:
        return images
    with torch.autocast(images.device.type, enabled=False):
        dice = Dice(numbers)
        return recolored(transformed(blitted(images.float(), dice, p), dice, p), dice, p)
