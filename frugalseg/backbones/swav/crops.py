"""Multi-crop (Caron et al. 2020, section 3.2): random views of each image, all of a batch at once by matrix products.

Cutting, resizing with antialiasing, mirroring and blurring are linear and separable: a view is ``Y x X'`` with one
matrix for the rows and one for the columns of each view. So is the colour distortion, but for the limits of the range:
a 3x3 matrix and a shift for each view. Every random number comes from the seed of its sample, drawn on the CPU, so
that views are the same whatever the device, the number of processes and the rest of the batch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ASPECT = math.log(4 / 3)
"""Views are wider or taller than the image, relative to its own aspect, by up to this factor (logarithm)."""
JITTER, GREY, BLUR = 0.8, 0.2, 0.5
"""Probabilities of distorted colours, of no colours, and of a blur (SimCLR, Chen et al. 2020, appendix A)."""
BLUR_SIGMA = (0.1 / 224, 2 / 224)
"""Standard deviation of the blur over the shorter side of a view."""
FACTOR, TURN = 0.8, 0.4 * math.pi
"""Largest change of brightness, contrast and saturation, and largest turn of the hue in radians."""
LUMA = (0.299, 0.587, 0.114)
NUMBERS = 13
"""Uniform random numbers that a view takes."""


@dataclass(frozen=True)
class ViewKind:
    """A kind of view.

    Attributes:
        count: how many of each image.
        size: (height, width) in pixels.
        area: smallest and largest share of the image that it shows.
        colour: strength of the colour distortion; 1 is the published one.
        flip: mirror half of them.
    """

    count: int
    size: tuple[int, int]
    area: tuple[float, float]
    colour: float
    flip: bool


def uniform_numbers(seeds: Sequence[int], views: int) -> Tensor:
    """(b, views, `NUMBERS`) float32 in [0, 1) on the CPU, each row from its own one of the b `seeds`."""
    generator = torch.Generator()
    return torch.stack([torch.rand(views, NUMBERS, generator=generator.manual_seed(seed)) for seed in seeds])


def random_views(images: Tensor, numbers: Tensor, kind: ViewKind) -> Tensor:
    """Views of a batch.

    Args:
        images: (b, 3, H, W) float32 in [0, 1].
        numbers: (b, V, `NUMBERS`) uniform in [0, 1), V = ``kind.count``.
        kind: what views to make; h, w = ``kind.size``.

    Returns:
        (V, b, 3, h, w) float32 in [0, 1].
    """
    height, width = kind.size
    u = numbers.to(images.device).unbind(-1)
    area = between(u[0], *kind.area)
    stretch = between(u[1], -ASPECT, ASPECT).exp().sqrt()
    tall, wide = ((area.sqrt() * f).clamp_max(1) for f in (1 / stretch, stretch))
    rows = resampling(u[2] * (1 - tall), tall, images.shape[2], height)
    columns = resampling(u[3] * (1 - wide), wide, images.shape[3], width)
    if kind.flip:
        columns = torch.where((u[4] < 0.5)[..., None, None], columns.flip(-2), columns)
    sigma = between(u[6], *BLUR_SIGMA) * min(kind.size) * (u[5] < BLUR)
    views = apply_separably(blur(sigma, height) @ rows, blur(sigma, width) @ columns, images)
    return distort_colours(views, torch.stack(u[7:], dim=-1), kind.colour).transpose(0, 1)


def between(u: Tensor, low: float, high: float) -> Tensor:
    """Numbers that are uniform in [0, 1) made uniform in [low, high)."""
    return low + u * (high - low)


def resampling(start: Tensor, length: Tensor, source: int, target: int) -> Tensor:
    """Matrices that cut a piece out of a line of pixels and resize it with an antialiased triangle filter.

    Args:
        start, length: (...) of the piece, as shares of the line.
        source, target: pixels of the line and of the result.

    Returns:
        (..., target, source) float32; each row sums to 1. For the whole line they do what torchvision's resize does.
    """
    places = torch.arange(source, device=start.device)
    steps = (torch.arange(target, device=start.device) + 0.5) / target
    centres = (start[..., None] + steps * length[..., None]) * source - 0.5
    reach = (length * source / target).clamp_min(1)[..., None, None]
    distance = (places - centres[..., None]).abs()
    weights = (1 - distance / reach).clamp_min(0)
    return weights / weights.sum(-1, keepdim=True)


def blur(sigma: Tensor, length: int) -> Tensor:
    """(..., length, length) matrices of a Gaussian blur of a line; `sigma` (...) in pixels, 0 for none."""
    places = torch.arange(length, device=sigma.device, dtype=torch.float32)
    squares = (places[:, None] - places).square()
    weights = (-squares / (2 * sigma.clamp_min(1e-3)[..., None, None].square())).exp()
    return weights / weights.sum(-1, keepdim=True)


def apply_separably(rows: Tensor, columns: Tensor, images: Tensor) -> Tensor:
    """``rows @ image @ columns'`` of each view and channel.

    Args:
        rows: (b, V, h, H).
        columns: (b, V, w, W).
        images: (b, 3, H, W).

    Returns:
        (b, V, 3, h, w).
    """
    (b, views, height, _), width = rows.shape, columns.shape[2]
    beside = images.transpose(1, 2).flatten(2)  # (b, H, 3W): one product for all views and channels
    squeezed = rows.flatten(1, 2) @ beside  # (b, Vh, 3W)
    lines = squeezed.reshape(b, views, height * 3, images.shape[3])
    return (lines @ columns.transpose(-1, -2)).reshape(b, views, height, 3, width).transpose(2, 3)


def distort_colours(images: Tensor, u: Tensor, strength: float) -> Tensor:
    """Random brightness, contrast, saturation and hue, in this order, and now and then no colour at all.

    Args:
        images: (..., 3, h, w) float32 in [0, 1].
        u: (..., 6) uniform in [0, 1): whether to distort, the four amounts, whether to take the colours away.
        strength: 1 changes the first three by factors of 0.2 to 1.8 and turns the hue by up to a fifth of the circle;
            0 leaves the images as they are, grey ones too.

    Returns:
        Of the shape of `images`, in [0, 1].
    """
    jitter, *amounts, grey = u.unbind(-1)
    amounts = [strength * (jitter < JITTER) * between(amount, -1, 1) for amount in amounts]
    brightness, contrast, saturation = (1 + FACTOR * amount for amount in amounts[:3])
    saturation = torch.where((grey < GREY) & (strength > 0), 0.0, saturation)
    luma = torch.tensor(LUMA, device=u.device)
    mean_luma = brightness * (images.mean(dim=(-2, -1)) @ luma)
    matrix = hue_turn(TURN * amounts[3]) @ saturate(saturation)
    matrix = (brightness * contrast)[..., None, None] * matrix
    shift = ((1 - contrast) * mean_luma)[..., None, None, None]
    distorted: Tensor = (matrix @ images.flatten(-2)).unflatten(-1, images.shape[-2:]) + shift
    return distorted.clamp(0, 1)


def saturate(factor: Tensor) -> Tensor:
    """(..., 3, 3): colours times `factor` (...), their luma kept; 0 makes them grey."""
    grey = torch.tensor(LUMA, device=factor.device).expand(3, 3)
    factor = factor[..., None, None]
    return factor * torch.eye(3, device=factor.device) + (1 - factor) * grey


def hue_turn(angle: Tensor) -> Tensor:
    """(..., 3, 3): rotations of colours around the grey axis by `angle` (...) in radians (Rodrigues)."""
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=angle.device) / math.sqrt(3)
    cos, sin = angle.cos()[..., None, None], angle.sin()[..., None, None]
    return cos * torch.eye(3, device=angle.device) + sin * cross + (1 - cos) / 3


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 3, H, W) -> (B, 3, h, w) of that size, antialiased."""
    whole = torch.tensor([0.0, 1.0], device=images.device)
    rows = resampling(whole[0], whole[1], images.shape[2], size[0])
    columns = resampling(whole[0], whole[1], images.shape[3], size[1])
    return rows @ images @ columns.t()
