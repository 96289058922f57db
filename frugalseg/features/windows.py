"""How an image meets the network: resized whole to the network's own size, or cut into overlapping windows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from frugalseg.features.sizes import Size, nearest_size

BAND = 2**20
"""Pixels of an image that are floating-point values at a time while it is resized."""


@dataclass(frozen=True)
class Window:
    """A rectangle of an image, and the size at which the network sees it.

    Attributes:
        top, left: its first row and column.
        size: (rows, columns) of image pixels; they may reach beyond an image that is smaller than the network.
        network: (h, w) that the network sees, multiples of its stride.
        margin: further pixels that the network is given around these, for maps that depend on them.
    """

    top: int
    left: int
    size: Size
    network: Size
    margin: int = 0

    @property
    def area(self) -> tuple[slice, slice]:
        """The rectangle as an index into the image."""
        return slice(self.top, self.top + self.size[0]), slice(self.left, self.left + self.size[1])


def fitted_size(image: Size, native: Size, stride: int) -> Size:
    """The size to give an image of another shape: the area of `native`, the image's own aspect ratio, each side
    rounded to a multiple of `stride`. An image of the aspect ratio of `native` gets exactly `native`."""
    scale = (native[0] * native[1] / (image[0] * image[1])) ** 0.5
    return nearest_size((image[0] * scale, image[1] * scale), stride)


def windows(
    image: Size, native: Size, stride: int, *, tile: bool, overlap: float = 0.25, fixed: bool = False, margin: int = 0
) -> list[Window]:
    """The windows that cover an image.

    Without `tile`: one, the whole image, resized to `fitted_size`. With it: windows of the network's own size at the
    image's own resolution, neighbours sharing at least `overlap` of their side, spread evenly; where the image is
    smaller than a window, it is padded by reflection up to the next multiple of `stride`.

    Args:
        image: (H, W).
        native: (h, w) of the network, multiples of `stride`.
        stride: of the network.
        tile: slide rather than resize.
        overlap: share of a window's side, in [0, 1).
        fixed: every window has the network's own size: without `tile` the aspect ratio is not kept, with it small
            images are padded to the whole size.
        margin: of each window.
    """
    if not tile:
        return [Window(0, 0, image, native if fixed else fitted_size(image, native, stride), margin)]
    fitting = (min(side, -(-length // stride) * stride) for side, length in zip(native, image, strict=True))
    height, width = native if fixed else fitting
    rows, columns = starts(image[0], height, overlap), starts(image[1], width, overlap)
    return [Window(top, left, (height, width), (height, width), margin) for top in rows for left in columns]


def starts(length: int, side: int, overlap: float) -> list[int]:
    """First positions of the fewest windows of `side` that cover `length` with at least `overlap`, evenly spread."""
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) / max(1, side * (1 - overlap)))) + 1
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def cut(image: NDArray[np.uint8], window: Window) -> Tensor:
    """What the network sees of an image through a window.

    Args:
        image: (H, W, 3) uint8.
        window: one of `windows`.

    Returns:
        (3, h + 2m, w + 2m) float32 in [0, 1] for the window's margin m, bilinearly resized with antialiasing where
        sizes differ.
    """
    if window.size != window.network:
        return mirrored(resized(padded(image, window), window.network).clamp(0, 1), window.margin)
    return floats(with_margin(image, window) if window.margin else padded(image, window))


def floats(part: NDArray[np.uint8]) -> Tensor:
    """(h, w, 3) uint8 as (3, h, w) float32 in [0, 1]."""
    return torch.from_numpy(part.astype(np.float32)).permute(2, 0, 1) / 255


def padded(image: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """A window of an image (H, W, 3); where it reaches beyond the image, the image is reflected."""
    part = image[window.area]
    missing = [(0, wanted - got) for wanted, got in zip(window.size, part.shape[:2], strict=True)]
    if not any(after for _, after in missing):
        return part
    return np.pad(part, (*missing, (0, 0)), mode="reflect" if min(part.shape[:2]) > 1 else "edge")


def with_margin(image: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """A window of an image (H, W, 3) and its margin: what lies there, and beyond the border the mirrored image."""
    rows, columns = (
        mirror(np.arange(first - window.margin, first + side + window.margin), length)
        for first, side, length in zip((window.top, window.left), window.size, image.shape[:2], strict=True)
    )
    return image[rows[:, None], columns]


def mirrored(images: Tensor, margin: int) -> Tensor:
    """Images (..., H, W) with a margin on each side, (..., H + 2m, W + 2m), in which they are mirrored."""
    if not margin:
        return images
    rows, columns = (
        torch.from_numpy(mirror(np.arange(-margin, side + margin), side)).to(images.device)
        for side in images.shape[-2:]
    )
    return images.index_select(-2, rows).index_select(-1, columns)


def without_margin(images: Tensor, margin: int) -> Tensor:
    """Images (..., H + 2m, W + 2m) without the margin, (..., H, W)."""
    return images[..., margin : images.shape[-2] - margin, margin : images.shape[-1] - margin]


def mirror(positions: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Which of `length` pixels is seen at any position, also beyond the border, if the border is a mirror: ``2 1 0 0 1
    2``, the mode that scipy calls reflect and numpy symmetric."""
    around = positions % (2 * length)
    found: NDArray[np.int64] = np.minimum(around, 2 * length - 1 - around)
    return found


def resized(part: NDArray[np.uint8], size: Size) -> Tensor:
    """(3, h, w) float32 of (H, W, 3) uint8; the floating-point values of a large image are never there all at once.

    The rows are resized before the columns in any case, and each by itself, so that bands of them give the same values.
    """
    step = max(1, BAND // part.shape[1])
    bands = [part[top : top + step] for top in range(0, len(part), step)]
    if len(bands) > 1:
        narrow = torch.cat([interpolated(floats(band), (len(band), size[1])) for band in bands], dim=1)
        return interpolated(narrow, size)
    return interpolated(floats(part), size)


def interpolated(values: Tensor, size: Size) -> Tensor:
    """(3, h, w) of (3, H, W), bilinear, with antialiasing."""
    return interpolated_batch(values[None], size)[0]


def interpolated_batch(values: Tensor, size: Size) -> Tensor:
    """(B, 3, h, w) of (B, 3, H, W), bilinear, with antialiasing."""
    return F.interpolate(values, size, mode="bilinear", antialias=True, align_corners=False)


def owned(target: NDArray[np.uint8], window: Window, every: list[Window], nothing: int) -> NDArray[np.uint8]:
    """A window's share of an image's target: each pixel belongs to the one window whose centre is nearest (in rows,
    then in columns), elsewhere the share is `nothing`. Its size is the window's, also beyond the image's border."""
    share = np.full(window.size, nothing, np.uint8)
    part = target[window.area]
    rows = nearest(range(window.top, window.top + part.shape[0]), {w.top for w in every}, window.size[0])
    columns = nearest(range(window.left, window.left + part.shape[1]), {w.left for w in every}, window.size[1])
    mine = (rows == window.top)[:, None] & (columns == window.left)[None]
    share[: part.shape[0], : part.shape[1]][mine] = part[mine]
    return share


def nearest(positions: range, first: set[int], side: int) -> NDArray[np.int64]:
    """For each position along one axis the start of the window whose centre is nearest (ties: the first)."""
    begin = np.array(sorted(first))
    centre = begin + (side - 1) / 2
    found: NDArray[np.int64] = begin[np.abs(np.array(positions)[:, None] - centre).argmin(1)]
    return found


def blend_weights(size: Size) -> Tensor:
    """(rows, columns) float32 in (0, 1]: how much a window's pixels count where windows overlap; a tent per axis."""
    tents = []
    for side in size:
        ramp = torch.arange(side, dtype=torch.float32) + 0.5
        tents.append(torch.minimum(ramp, side - ramp) / (side / 2))
    return tents[0][:, None] * tents[1][None]


def lines(every: list[Window]) -> Iterator[list[Window]]:
    """The windows of each line of windows, from the top."""
    for top in sorted({w.top for w in every}):
        yield [w for w in every if w.top == top]
