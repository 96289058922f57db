"""The filters of ilastik's pixel classification (Berg et al. 2019), for images of any number of channels.

The kernels are those of ``scipy.ndimage``. They are applied by adding shifted images: as fast as a convolution for
kernels of one dimension, exact on every device, and each value is the same sum however large the image is.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# Shapes: B images, C channels, H x W the pixels that are asked for; "around" them there are further ones.

TRUNCATE = 4.0
"""Kernels end at so many standard deviations, as those of scipy."""

NARROWER = 0.66
"""The scale of what a difference of Gaussians subtracts, relative to its own; as in ilastik."""


def radius(sigma: float) -> int:
    """Pixels that a kernel reaches to each side."""
    return int(TRUNCATE * sigma + 0.5)


def reach(sigma: float, kinds: Sequence[str], outer: float) -> int:
    """Pixels around a pixel that its values at a scale depend on; the arguments are those of `filtered`."""
    return radius(sigma) + (radius(outer * sigma) if "structure" in kinds else 0)


def kernel(sigma: float, order: int = 0) -> list[float]:
    """The Gaussian, or its first or second derivative, at whole pixels; normalised as in ``scipy.ndimage``.

    Args:
        sigma: standard deviation in pixels.
        order: 0, 1 or 2.

    Returns:
        ``2 * radius(sigma) + 1`` weights of a correlation.
    """
    positions = range(-radius(sigma), radius(sigma) + 1)
    weights = [math.exp(-0.5 * (x / sigma) ** 2) for x in positions]
    factors = {0: lambda x: 1.0, 1: lambda x: x / sigma**2, 2: lambda x: x**2 / sigma**4 - 1 / sigma**2}
    return [factors[order](x) * w / sum(weights) for x, w in zip(positions, weights, strict=True)]


def correlated(images: Tensor, weights: Sequence[float], dim: int) -> Tensor:
    """The correlation of images with a kernel along one dimension, which becomes shorter by the kernel's radius at
    both ends."""
    length = images.shape[dim] - len(weights) + 1
    out = images.narrow(dim, 0, length) * weights[0]
    for place, weight in enumerate(weights[1:], 1):
        out.add_(images.narrow(dim, place, length), alpha=weight)
    return out


def smoothed(images: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing, (..., H + 2r, W + 2r) -> (..., H, W) for the kernel's radius r."""
    weights = kernel(sigma)
    return correlated(correlated(images, weights, -2), weights, -1)


def inside(images: Tensor, margin: int) -> Tensor:
    """Images without `margin` pixels at each border."""
    return images[..., margin : images.shape[-2] - margin, margin : images.shape[-1] - margin]


def derivatives(images: Tensor, sigma: float, highest: int) -> dict[tuple[int, int], Tensor]:
    """Derivatives of the smoothed images, times ``sigma`` to the power of their order, so that scales are alike.

    Args:
        images: (B, C, H + 2r, W + 2r) for the kernel's radius r.
        sigma: standard deviation of the smoothing.
        highest: order, 0 to 2.

    Returns:
        (B, C, H, W) by the orders down and across.
    """
    weights = [[sigma**order * w for w in kernel(sigma, order)] for order in range(highest + 1)]
    found = {}
    for down in range(highest + 1):
        lines = correlated(images, weights[down], -2)
        for across in range(highest + 1 - down):
            found[down, across] = correlated(lines, weights[across], -1)
    return found


def eigenvalues(yy: Tensor, yx: Tensor, xx: Tensor) -> tuple[Tensor, Tensor]:
    """The larger and the smaller eigenvalue of symmetric 2 x 2 matrices, given by their entries."""
    mean = (yy + xx) / 2
    half = torch.hypot((yy - xx) / 2, yx)
    return mean + half, mean - half


def structure(down: Tensor, across: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Square roots of the eigenvalues of the structure tensor, (B, C, H + 2r, W + 2r) -> (B, C, H, W) each.

    The roots are as large as the gradients themselves, where the eigenvalues of weak textures would be lost in the
    half precision in which maps are stored.

    Args:
        down, across: the gradient of the images.
        sigma: standard deviation of the average; r is its radius.
    """
    products = (smoothed(a * b, sigma) for a, b in ((down, down), (down, across), (across, across)))
    larger, smaller = (values.clamp_min(0).sqrt() for values in eigenvalues(*products))
    return larger, smaller


def filtered(images: Tensor, sigma: float, kinds: Sequence[str], outer: float) -> Tensor:
    """All maps of one scale.

    Args:
        images: (B, C, H + 2r, W + 2r) float32, where r is the scale's `reach`.
        sigma: standard deviation of the Gaussians, in pixels.
        kinds: names of the filters, keys of `settings.KINDS`.
        outer: the scale at which the structure tensor is averaged, relative to `sigma`.

    Returns:
        (B, N, H, W) float32: the maps kind by kind, for each the image channels (with two maps a channel, first the
        larger eigenvalues of all channels).
    """
    highest = 2 if {"laplacian", "hessian"} & set(kinds) else 1 if {"gradient", "structure"} & set(kinds) else 0
    around = reach(sigma, kinds, outer) - radius(sigma)
    wide = derivatives(images, sigma, highest)
    near = {orders: inside(values, around) for orders, values in wide.items()}
    maps: list[Tensor] = []
    for kind in kinds:
        if kind == "gaussian":
            maps.append(near[0, 0])
        if kind == "laplacian":
            maps.append(near[2, 0] + near[0, 2])
        if kind == "gradient":
            maps.append(torch.hypot(near[1, 0], near[0, 1]))
        if kind == "difference":
            narrow = NARROWER * sigma
            maps.append(near[0, 0] - smoothed(inside(images, around + radius(sigma) - radius(narrow)), narrow))
        if kind == "structure":
            maps.extend(structure(wide[1, 0], wide[0, 1], outer * sigma))
        if kind == "hessian":
            maps.extend(eigenvalues(near[2, 0], near[1, 1], near[0, 2]))
    return torch.cat(maps, dim=1)
