"""Changes of colors: brightness, contrast, and three around the grey axis: luma, hue and saturation."""

import math

import torch
from torch import Tensor

from frugalseg.backbones.stylegan2.augmentation.dice import Dice
from frugalseg.backbones.stylegan2.augmentation.geometry import matrix

BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0
"""Deviations of what is added, and of the logarithms of the other two factors, to the base 2."""
GREY = 1 / math.sqrt(3)
"""Red, green and blue of the direction from black to white."""


def recolored(images: Tensor, dice: Dice, p: float) -> Tensor:
    """Change the colors of each image with a probability of `p`, each in five ways.

    Args:
        images: (B, 3, S, S) in [-1, 1]; what comes out may lie outside.
        dice: gives ten columns.
        p: from 0 on.
    """
    brightness = torch.where(dice.happens(p), dice.normal(BRIGHTNESS), 0)
    contrast = torch.where(dice.happens(p), dice.normal(CONTRAST), 0).exp2()
    flips = torch.where(dice.happens(p), dice.choice(2), 0)
    hue = torch.where(dice.happens(p), dice.uniform(-math.pi, math.pi), 0)
    saturation = torch.where(dice.happens(p), dice.normal(SATURATION), 0).exp2()
    # In this order: what is added is scaled by the contrast and turned with the rest.
    change = color_change(contrast, flips, hue, saturation)
    added = change.sum(dim=2) * brightness[:, None]
    change, added = change.to(images.device, images.dtype), added.to(images.device, images.dtype)
    return torch.einsum("bij,bjhw->bihw", change, images) + added[:, :, None, None]


def color_change(contrast: Tensor, flips: Tensor, hue: Tensor, saturation: Tensor) -> Tensor:
    """(B, 3, 3) float64: contrast, then luma, then hue, then saturation.

    Args:
        contrast: (B,) factors.
        flips: (B,), 1 where dark becomes light with the same hue, 0 elsewhere.
        hue: (B,) angles around the grey axis.
        saturation: (B,) factors of the distance to the grey axis.
    """
    one = torch.eye(3, dtype=contrast.dtype, device=contrast.device)
    grey = torch.full((3, 3), GREY**2, dtype=contrast.dtype, device=contrast.device)
    scaled = one * contrast[:, None, None]
    mirrored = one - 2 * grey * flips[:, None, None]
    saturated = grey + (one - grey) * saturation[:, None, None]
    return saturated @ hue_rotation(hue) @ mirrored @ scaled


def hue_rotation(angle: Tensor) -> Tensor:
    """(B, 3, 3): turn colors by (B,) angles around the grey axis; a third of a turn goes from red to green."""
    cos, sin = angle.cos(), angle.sin()
    same, less, more = GREY**2 * (1 - cos), -GREY * sin, GREY * sin
    return matrix(
        [
            [same + cos, same + less, same + more],
            [same + more, same + cos, same + less],
            [same + less, same + more, same + cos],
        ]
    )
