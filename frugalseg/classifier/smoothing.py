"""Class probabilities that follow the edges of the image.

Feature maps are coarser than the image, so probabilities change across a border of the image as slowly as anywhere
else. The guided filter (He, Sun and Tang, "Guided Image Filtering", ECCV 2010) makes them a linear function of the
image's brightness within each small window: they change where the image does.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from frugalseg.classifier.prediction import PixelRows, known

# Shapes: K classes, H x W pixels of the image, r the radius.

FLAT = 1e-3
"""Windows whose brightness, in [0, 1], has a smaller variance count as flat: there, probabilities are averaged."""
BRIGHTNESS = (0.299, 0.587, 0.114)
"""Shares of red, green and blue, as in ITU-R BT.601."""
MOST_RADIUS = 32
"""Larger windows would only cost memory: four times the radius of probabilities for each pixel of the image's width."""
AT_ONCE = 2**22
"""Probabilities that are filtered at a time, at least; bounds memory, changes no result."""


def radius_of(share: float, side: int) -> int:
    """Pixels of the radius that is a share of a side; at least 1 and at most `MOST_RADIUS`, and 0 for no smoothing."""
    return max(1, min(MOST_RADIUS, round(share * side))) if share else 0


def guided(guide: Tensor, values: Tensor, radius: int) -> Tensor:
    """The guided filter with a grey guide.

    Args:
        guide: (H, W) in [0, 1].
        values: (K, H, W).
        radius: r, in pixels; windows are 2r + 1 pixels wide, and cut at the border.

    Returns:
        (K, H, W). Values that sum to 1 over K still do, but may leave [0, 1] by a little.
    """
    average = Averages(guide.shape[0], guide.shape[1], radius, guide)
    mean = average(guide)
    variance = average(guide * guide).sub_(mean * mean).clamp_min_(0)
    scale = variance.add_(FLAT).reciprocal_()
    found = torch.empty_like(values)
    for each, plane in zip(values, found, strict=True):  # one at a time stays in the processor's cache
        center = average(each)
        slope = average(each * guide).sub_(center * mean).mul_(scale)
        center.sub_(slope * mean)
        plane.copy_(average(slope).mul_(guide).add_(average(center)))
    return found


class Averages:
    """Means over the part of each window that lies within the image.

    Args:
        height, width: of the image.
        radius: r, in pixels; windows are 2r + 1 pixels wide.
        like: a tensor of the dtype and on the device of what is averaged.
    """

    def __init__(self, height: int, width: int, radius: int, like: Tensor) -> None:
        self._radius = radius
        rows, columns = (window_sums(like.new_ones(side), radius, 0) for side in (height, width))
        self._share = (rows[:, None] * columns).reciprocal_()

    def __call__(self, values: Tensor) -> Tensor:
        """(H, W), each value the mean over the window around it."""
        return window_sums(window_sums(values, self._radius, 1), self._radius, 0).mul_(self._share)


def window_sums(values: Tensor, radius: int, dim: int) -> Tensor:
    """Sums over 2r + 1 neighbours along a dimension, beyond whose ends there are zeros.

    Sums of 1, 2, 4, ... neighbours are made from each other, so the work grows with the logarithm of the radius; and
    each sum has the same rounding wherever an image is cut into parts.
    """
    length, side, width, offset = values.shape[dim], 2 * radius + 1, 1, 0
    power = F.pad(values, (0, 0) * (values.dim() - 1 - dim) + (radius, radius))
    total = torch.zeros_like(values)
    while True:
        if side & width:
            total += power.narrow(dim, offset, length)
            offset += width
        if 2 * width > side:
            return total
        rest = power.shape[dim] - width
        power = power.narrow(dim, 0, rest) + power.narrow(dim, width, rest)
        width *= 2


def smoothed(rows: Iterable[PixelRows], image: NDArray[np.uint8], radius: int) -> Iterator[PixelRows]:
    """A prediction whose labels are those of the filtered mean probabilities.

    A row waits for the 2r rows below it, on which it depends, so a large image is never there as a whole.

    Args:
        rows: all rows of the image, from the top, with probabilities.
        image: (H, W, C) uint8.
        radius: r, in pixels, at least 1.

    Returns:
        The rows from the top, in other parts; uncertainties are as before.
    """
    reach, height = 2 * radius, len(image)
    waiting = _Waiting()
    for piece in rows:
        waiting.add(piece)
        ready = waiting.end - (0 if waiting.end == height else reach)
        if waiting.end == height or (ready - waiting.done) * piece.mask.shape[1] * waiting.classes >= AT_ONCE:
            yield waiting.filtered(image, radius, ready)


class _Waiting:
    """Rows that are not filtered yet, and those above them on which they depend."""

    def __init__(self) -> None:
        self.first, self.done = 0, 0
        self._pieces: list[PixelRows] = []

    @property
    def end(self) -> int:
        """The row of the image below the last one that has come."""
        return self.first + sum(len(piece.mask) for piece in self._pieces)

    @property
    def classes(self) -> int:
        """K."""
        return len(known(self._pieces[0].probabilities))

    def add(self, piece: PixelRows) -> None:
        """The next rows."""
        self._pieces.append(piece)

    @torch.inference_mode()
    def filtered(self, image: NDArray[np.uint8], radius: int, ready: int) -> PixelRows:
        """The rows from `done` to below `ready`, of which all rows have come that they depend on."""
        shares = torch.cat([known(piece.probabilities) for piece in self._pieces], dim=1)
        uncertain = [piece.uncertainty for piece in self._pieces if piece.uncertainty is not None]
        uncertainty = torch.cat(uncertain) if uncertain else None
        part = slice(self.done - self.first, ready - self.first)
        guide = brightness(image[self.first : self.end]).to(shares.device, shares.dtype)
        found = guided(guide, shares, radius)[:, part].clamp_min_(0)
        found /= found.sum(0, keepdim=True)
        mask = found.argmax(0).to(torch.uint8)
        answer = PixelRows(mask, found, None if uncertainty is None else uncertainty[part])
        self._keep(shares, uncertainty, max(self.first, ready - 2 * radius))
        self.done = ready
        return answer

    def _keep(self, shares: Tensor, uncertainty: Tensor | None, first: int) -> None:
        """Forget the rows above `first`."""
        rest = slice(first - self.first, None)
        kept = shares[:, rest].clone()
        nothing = torch.empty(kept.shape[1:], dtype=torch.uint8)
        self._pieces = [PixelRows(nothing, kept, None if uncertainty is None else uncertainty[rest].clone())]
        self.first = first


def brightness(image: NDArray[np.uint8]) -> Tensor:
    """(H, W) float32 in [0, 1] of (H, W, C) uint8; of other channels than red, green and blue the mean."""
    channels = image.shape[2]
    shares = BRIGHTNESS if channels == len(BRIGHTNESS) else (1 / channels,) * channels
    return torch.from_numpy(image.astype(np.float32) @ np.array(shares, np.float32)) / 255
