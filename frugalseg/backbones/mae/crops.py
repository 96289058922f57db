"""Random windows of images, each resized to one size: cropping and resizing are two small matrix products."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from frugalseg.training.stream import random_numbers

STRETCH = 4 / 3
"""How much wider or narrower than the image a window may be, in proportion; as in torchvision's RandomResizedCrop."""
SHARPNESS = -0.5
"""The parameter of the bicubic kernel; the value that Pillow and torch take when they shrink images."""


def random_windows(seeds: Sequence[int], smallest: float) -> Tensor:
    """One window for each seed, anywhere in the image.

    Args:
        seeds: of the samples.
        smallest: least share of the image's area; the share is uniform from there to 1.

    Returns:
        (B, 4) float64: top, left, height and width, as shares of the image's height and width.
    """
    windows = []
    for seed in seeds:
        area, stretch, top, left = random_numbers(seed).random(4)
        area = smallest + (1 - smallest) * area
        # Windows that are almost as large as the image can only be stretched a little.
        stretch = math.exp((2 * stretch - 1) * min(math.log(STRETCH), -math.log(area)))
        height, width = math.sqrt(area / stretch), math.sqrt(area * stretch)
        windows.append([top * (1 - height), left * (1 - width), height, width])
    return torch.tensor(windows, dtype=torch.float64)


def cut(images: Tensor, windows: Tensor, size: tuple[int, int]) -> Tensor:
    """The windows of images, resized bicubically, with antialiasing where they shrink.

    Args:
        images: (B, C, H, W) float32 in [0, 1].
        windows: (B, 4) as from `random_windows`.
        size: (height, width) of the result.

    Returns:
        (B, C, height, width) float32 in [0, 1].
    """
    # Apple's GPUs know no float64.
    exact = torch.float32 if images.device.type == "mps" else torch.float64
    top, left, height, width = windows.to(images.device, exact).unbind(1)
    rows = resampling(top, height, images.shape[2], size[0])
    columns = resampling(left, width, images.shape[3], size[1])
    return (rows[:, None] @ images @ columns[:, None].transpose(2, 3)).clamp(0, 1)


def resampling(start: Tensor, extent: Tensor, given: int, wanted: int) -> Tensor:
    """(B, wanted, given) float32: row i holds the weights of the given pixels in pixel i of the result.

    Args:
        start, extent: (B,) of the window along this axis, as shares of it.
        given: pixels of the image along this axis.
        wanted: pixels of the result.
    """
    centres = start[:, None] + extent[:, None] * (torch.arange(wanted, device=start.device) + 0.5) / wanted
    pixels = torch.arange(given, device=start.device) + 0.5
    # Where the image shrinks, the kernel is as much wider, so that every pixel counts.
    shrinking = (extent * given / wanted).clamp_min(1)[:, None, None]
    weights = bicubic((centres[:, :, None] * given - pixels) / shrinking)
    return (weights / weights.sum(dim=2, keepdim=True)).float()


def bicubic(distance: Tensor) -> Tensor:
    """The cubic convolution kernel (Keys 1981) at a distance in pixels; zero from 2 on."""
    x, a = distance.abs(), SHARPNESS
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))
