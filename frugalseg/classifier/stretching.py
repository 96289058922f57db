"""Bilinear upsampling of the first layer's output, for rows or for small tiles of the pixel grid at a time.

A GPU wants large pieces, and has a fast kernel for them. A CPU wants tiles that stay in its cache. There, upsampling
along one axis is the product with a small matrix that has two weights in each row, and one product adds up all
resolutions and the bias: every value is written once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from frugalseg.classifier.first_layer import Lines, source_positions

# Shapes: M members, A hidden width, h x w a map, H x W the pixel grid.

COLUMNS = 32
"""Of a tile."""
ROWS = (8, 32)
"""Of a tile, at least and at most."""
VALUES = 32 * 32 * 384
"""Of a tile's hidden layer: 1.5 MB, which a processor's cache holds. Many small tiles would cost more in calls, and in
threads that wait for each other, than in arithmetic."""


def tile_rows(wide: int) -> int:
    """How many rows a tile has.

    Args:
        wide: M * A.
    """
    least, most = ROWS
    return min(most, max(least, VALUES // (wide * COLUMNS) // least * least))


def whole_rows(lines: Sequence[Lines], bias: Tensor, rows: slice, size: tuple[int, int]) -> Tensor:
    """(rows, W, M * A): the first layer on whole rows of the grid, by the kernel that a GPU has for it.

    Args:
        lines: of each resolution, those that the rows need.
        bias: (M * A,).
        rows: of the grid.
        size: (H, W) of the grid.
    """
    y = torch.arange(rows.start, rows.stop)
    hidden = _at_rows(lines[0], y, size)
    for part in lines[1:]:
        hidden.add_(_at_rows(part, y, size))
    return hidden.add_(bias)


def _at_rows(lines: Lines, y: Tensor, size: tuple[int, int]) -> Tensor:
    """(len(y), W, M * A): bilinear values of one resolution."""
    device, dtype = lines.values.device, lines.values.dtype
    lower, upper, weight = source_positions(y, lines.height, size[0], dtype)
    low = lines.values[(lower - lines.offset).to(device)]
    high = lines.values[(upper - lines.offset).to(device)]
    stretched = low.lerp_(high, weight.to(device, dtype)[:, None, None])
    channels_last = stretched[None].permute(0, 3, 1, 2)
    out = F.interpolate(channels_last, (len(y), size[1]), mode="bilinear", align_corners=False)
    return out[0].permute(1, 2, 0)


@dataclass(frozen=True)
class Axis:
    """Bilinear upsampling along one axis, as a matrix for each block of consecutive pixels.

    Attributes:
        starts: the first value that each block reads.
        weights: (blocks, pixels, reach); a block reads `reach` values, and all but two of a pixel's weights are 0.
    """

    starts: list[int]
    weights: Tensor


def axis(pixels: slice, step: int, length: int, target: int, dtype: torch.dtype) -> Axis:
    """Upsampling of some pixels of an axis, in blocks of `step`; what a last block has too many repeats its last pixel.

    Args:
        pixels: of a grid of `target` pixels along this axis.
        step: pixels of a block.
        length: values of the map along this axis.
        target: pixels of the grid.
        dtype: of the result.
    """
    blocks = -(-(pixels.stop - pixels.start) // step)
    positions = (pixels.start + torch.arange(blocks * step)).clamp_max(pixels.stop - 1)
    lower, upper, weight = source_positions(positions, length, target, dtype)
    lower, upper, weight = (part.view(blocks, step) for part in (lower, upper, weight))
    reach = int((upper[:, -1] - lower[:, 0]).max()) + 1
    starts = lower[:, 0].clamp_max(int(upper[-1, -1]) + 1 - reach)
    weights = weight.new_zeros(blocks, step, reach)
    for place, share in ((lower, 1 - weight), (upper, weight)):
        weights.scatter_add_(2, (place - starts[:, None])[:, :, None], share[:, :, None])
    return Axis(starts.tolist(), weights.to(dtype))


class Tiles:
    """The first layer's output on tiles of some rows of the grid."""

    def __init__(self, lines: Sequence[Lines], bias: Tensor, rows: slice, size: tuple[int, int], height: int) -> None:
        """
        Args:
            lines: of each resolution, those that the rows need.
            bias: (M * A,).
            rows: of the grid.
            size: (H, W) of the grid.
            height: rows of a tile.
        """
        self.lines, self.bias, self.height, dtype = lines, bias, height, bias.dtype
        self._first = rows.start
        # Maps of a single resolution, the grid's own, are not stretched.
        self._plain = len(lines) == 1 and (lines[0].height, lines[0].values.shape[1]) == size
        self._rows = [axis(rows, height, part.height, size[0], dtype) for part in lines]
        self._columns = [axis(slice(0, size[1]), COLUMNS, part.values.shape[1], size[1], dtype) for part in lines]
        ones = bias.new_ones(len(self._columns[0].weights), COLUMNS, 1)  # the bias is one more value to be weighed
        self._across = torch.cat([part.weights for part in self._columns] + [ones], dim=2)

    def tile(self, band: int, block: int, shape: tuple[int, int]) -> Tensor:
        """(\\*shape, M * A): one tile.

        Args:
            band: which rows, counted in tiles.
            block: which columns, likewise.
            shape: rows and columns that are within the grid.
        """
        if self._plain:
            top, left = self._first + band * self.height - self.lines[0].offset, block * COLUMNS
            return self.lines[0].values[top : top + shape[0], left : left + shape[1]] + self.bias
        across = self._across[block, : shape[1]]
        values = self.bias.new_empty(shape[0], across.shape[1], len(self.bias))
        place = 0
        for part, down, columns in zip(self.lines, self._rows, self._columns, strict=True):
            weights, reach = down.weights[band, : shape[0]], columns.weights.shape[2]
            top, left = down.starts[band] - part.offset, columns.starts[block]
            source = part.values[top : top + weights.shape[1], left : left + reach].flatten(1)
            torch.mm(weights, source, out=values[:, place : place + reach].flatten(1))
            place += reach
        values[:, place] = self.bias
        return torch.bmm(across.expand(shape[0], -1, -1), values)
