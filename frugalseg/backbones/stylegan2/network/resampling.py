"""Filtered resampling: images and maps change their size by 2 without aliasing (appendix B of the paper)."""

import torch
from torch import Tensor
from torch.nn import functional

BINOMIAL = (1.0, 3.0, 3.0, 1.0)
"""The filter along one axis, before it is normalized."""


def fir_filter() -> Tensor:
    """(4, 4) float32: the low-pass filter of all published networks; it sums to 1."""
    total = sum(BINOMIAL) ** 2
    # In Python: on the device without memory, most operations of torch first load a thousand modules.
    return torch.tensor([[row * column / total for column in BINOMIAL] for row in BINOMIAL])


def filtered(x: Tensor, kernel: Tensor, *, padding: int, stride: int = 1, gain: float = 1) -> Tensor:
    """Convolve each channel with a filter.

    Args:
        x: (B, C, H, W).
        kernel: (k, k).
        padding: zeros on each side.
        stride: between two values that are kept.
        gain: what the result is multiplied by.

    Returns:
        (B, C, h, w) with h = (H + 2 padding - k) // stride + 1.
    """
    channels = x.shape[1]
    weight = (kernel.flip((0, 1)) * gain).to(x.dtype).expand(channels, 1, *kernel.shape)
    return functional.conv2d(x, weight, padding=padding, stride=stride, groups=channels)


def upsampled(images: Tensor, kernel: Tensor) -> Tensor:
    """(B, C, 2H, 2W): zeros between the pixels of (B, C, H, W) images, and the (4, 4) filter over them."""
    channels = images.shape[1]
    # Three of four values are zero, so a gain of 4 keeps the brightness.
    weight = (kernel * 4).to(images.dtype).expand(channels, 1, *kernel.shape)
    return functional.conv_transpose2d(images, weight, stride=2, padding=1, groups=channels)
