"""The convolution whose kernels are scaled by a style (section 2.2 of the paper)."""

import math

from torch import Tensor
from torch.nn import functional

from frugalseg.backbones.stylegan2.network.resampling import filtered

EPS = 1e-8
"""Added to the norm of a kernel before its root is taken."""


def modulated_convolution(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    demodulate: bool = True,
    blur: Tensor | None = None,
    fused: bool = True,
) -> Tensor:
    """Convolve each image with kernels of its own: the common ones, whose inputs are scaled by the image's style.

    Args:
        x: (B, I, H, W).
        weight: (O, I, k, k), with values of about 1.
        styles: (B, I).
        demodulate: then scale each kernel to a norm of 1, as if all inputs had a variance of 1.
        blur: double the sides, and filter what comes out by this (4, 4) filter; None keeps the size.
        fused: scale the kernels, and convolve the whole batch as groups of one convolution. Otherwise scale the
            channels before and after a common convolution: the same up to rounding, with less to keep for gradients.

    Returns:
        (B, O, H, W), or twice as high and wide, in the format of `x`; the kernels are scaled in float32.
    """
    weight, styles = weight.float() / math.sqrt(weight[0].numel()), styles.float()
    if fused:
        return _grouped(x, _own_kernels(weight, styles, demodulate), blur)
    scaled = x * styles[:, :, None, None].to(x.dtype)
    x = _convolved(scaled, weight.to(x.dtype), blur)
    if not demodulate:
        return x
    # Not a matrix product, which would be less exact under autocast.
    norms = (weight.square().sum(dim=(2, 3)) * styles.square()[:, None]).sum(dim=2)
    return x * (norms + EPS).rsqrt()[:, :, None, None].to(x.dtype)


def _own_kernels(weight: Tensor, styles: Tensor, demodulate: bool) -> Tensor:
    """(B, O, I, k, k): the kernels of each image."""
    kernels = weight * styles[:, None, :, None, None]
    if not demodulate:
        return kernels
    return kernels * (kernels.square().sum(dim=(2, 3, 4), keepdim=True) + EPS).rsqrt()


def _grouped(x: Tensor, kernels: Tensor, blur: Tensor | None) -> Tensor:
    """One convolution whose groups are the images."""
    batch = len(x)
    folded = x.reshape(1, -1, *x.shape[2:])
    out = _convolved(folded, kernels.flatten(0, 1).to(x.dtype), blur, groups=batch)
    own: Tensor = out.unflatten(1, (batch, -1)).squeeze(0)
    return own


def _convolved(x: Tensor, weight: Tensor, blur: Tensor | None, groups: int = 1) -> Tensor:
    if blur is None:
        return functional.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=groups)
    # A transposed convolution applies its kernel the other way round; so do the published networks.
    inputs_first = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    out = functional.conv_transpose2d(x, inputs_first, stride=2, groups=groups)
    return filtered(out, blur, padding=1, gain=4)
