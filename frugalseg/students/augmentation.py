"""Random changes to annotated images, a whole batch at a time and on its device."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from frugalseg.support.errors import InputError

MOST_SCALE = 100


@dataclass(frozen=True)
class Augmentation:
    """How far images may be changed.

    Attributes:
        scale: least and greatest magnification, drawn evenly on a logarithmic scale.
        stretch: greatest change of the aspect ratio, as a natural logarithm.
        rotation: greatest turn, degrees either way.
        shift: greatest move, as a share of the image's side; with `scale` this crops.
        flip: mirror half of the images, left to right.
        color: greatest relative change of brightness, contrast, saturation and of each channel's gain.
    """

    scale: tuple[float, float] = (0.7, 1.5)
    stretch: float = 0.15
    rotation: float = 15.0
    shift: float = 0.12
    flip: bool = True
    color: float = 0.3

    def __post_init__(self) -> None:
        for name in ("stretch", "shift", "color"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; give a number from 0 to below 1")
        if not 0 <= self.rotation <= 180:
            raise InputError(f"rotation is {self.rotation}; give degrees from 0 to 180")
        if not 0 < self.scale[0] <= self.scale[1] <= MOST_SCALE:
            raise InputError(
                f"scale is {self.scale}; give the least magnification, above 0, and the greatest, at most {MOST_SCALE}"
            )


def augment(
    images: Tensor, targets: Tensor, settings: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Move and recolour a batch.

    Args:
        images: (B, 3, H, W) float32 in [0, 1].
        targets: (B, H, W) int64 class positions; 255 = not annotated.
        settings: how far.
        generator: on the CPU, so that a seed gives the same changes on every device.

    Returns:
        New images and targets. What comes from beyond the frame is the mirror image.
    """
    # Autocast would round the coordinates to bfloat16: near the border that is a pixel at 512.
    with torch.autocast(images.device.type, enabled=False):
        return _changed(images, targets, settings, generator)


def _changed(
    images: Tensor, targets: Tensor, settings: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """See `augment`."""
    count, _, height, width = images.shape
    changes = random_affine(count, settings, generator, width / height)
    grid = F.affine_grid(changes, list(images.shape), align_corners=False).to(images.device)
    moved = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    labels = targets[:, None].float()
    labels = F.grid_sample(labels, grid, mode="nearest", padding_mode="reflection", align_corners=False)
    return recolor(moved, settings.color, generator), labels[:, 0].round().long()


def random_affine(count: int, settings: Augmentation, generator: torch.Generator, aspect: float = 1.0) -> Tensor:
    """(count, 2, 3) float32: where each output position is read, in coordinates from -1 to 1 of images that are
    `aspect` times as wide as high."""
    low, high = (torch.tensor(side).log() for side in settings.scale)
    size = torch.lerp(low, high, torch.rand(count, generator=generator)).exp()
    stretch = (between(count, settings.stretch, generator)).exp()
    turn = torch.deg2rad(between(count, settings.rotation, generator))
    mirrored = torch.rand(count, generator=generator) < (0.5 if settings.flip else 0.0)
    side = 1.0 - 2.0 * mirrored
    shift = between(2 * count, 2 * settings.shift, generator).view(2, count)
    # A turn keeps shapes in pixels; the units of both coordinates differ by the aspect.
    across = torch.stack([side * turn.cos() / (size * stretch), -turn.sin() / (size * aspect), shift[0]], dim=1)
    down = torch.stack([side * turn.sin() * aspect / size, turn.cos() * stretch / size, shift[1]], dim=1)
    return torch.stack([across, down], dim=1)


def recolor(images: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Change contrast, brightness, saturation and channel gains of each image by up to `amount`; result in [0, 1]."""
    count = len(images)
    factors = 1 + between(count * 6, amount, generator).view(count, 6, 1, 1).to(images.device)
    contrast, brightness, saturation, gains = factors[:, 0:1], factors[:, 1:2], factors[:, 2:3], factors[:, 3:6]
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    lit = (images - middle) * contrast + middle * brightness
    grey = lit.mean(dim=1, keepdim=True)
    return ((grey + (lit - grey) * saturation) * gains).clamp(0, 1)


def between(count: int, limit: float, generator: torch.Generator) -> Tensor:
    """(count,) float32, even in [-limit, limit]."""
    return (2 * torch.rand(count, generator=generator) - 1) * limit
