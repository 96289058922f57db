"""The ensemble's first layer on feature maps at their own resolution.

A linear layer and bilinear upsampling commute, so the first layer of all members runs once on each map, and only its
output is stretched over the pixel grid.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.support.workers import Workers

# Shapes: M members, A hidden width, C channels of a map, h x w a map, H x W the pixel grid.

PIECE = 128
"""Pixels of a map that a worker takes at a time: enough for a matrix product to be fast."""


@dataclass(frozen=True)
class Lines:
    """Some lines of the first layer's output at one map resolution, without the bias.

    Attributes:
        values: (lines, w, M * A).
        offset: which line of the map comes first.
        height: lines of the whole map.
    """

    values: Tensor
    offset: int
    height: int


@dataclass(frozen=True)
class _Piece:
    """A part of the work: the lines first..last of the maps `taps`, which go to `out` (pixels, M * A)."""

    maps: FeatureMaps
    weights: Sequence[Tensor]
    taps: Sequence[int]
    lines: slice
    out: Tensor


def by_resolution(maps: FeatureMaps) -> dict[tuple[int, int], list[int]]:
    """The maps' positions, grouped by (h, w)."""
    groups: dict[tuple[int, int], list[int]] = {}
    for position, values in enumerate(maps.maps):
        groups.setdefault((values.shape[-2], values.shape[-1]), []).append(position)
    return groups


def first_layer(maps: FeatureMaps, weights: Sequence[Tensor], rows: slice, workers: Workers) -> list[Lines]:
    """The first layer's output on the lines that some rows of the grid need, one for each resolution.

    Args:
        maps: one image.
        weights: one (C, M * A) tensor a map.
        rows: of the grid `maps.size`.
        workers: share the work on a CPU.
    """
    found, pieces = [], []
    for (h, w), taps in by_resolution(maps).items():
        lower, upper, _ = source_positions(torch.tensor([rows.start, rows.stop - 1]), h, maps.size[0], weights[0].dtype)
        offset, count = int(lower[0]), int(upper[1] - lower[0]) + 1
        values = weights[0].new_empty(count, w, weights[0].shape[1])
        step = max(1, PIECE // w) if values.is_cpu else count
        for top in range(0, count, step):
            lines = slice(offset + top, offset + min(top + step, count))
            pieces.append(_Piece(maps, weights, taps, lines, values[top : top + step].flatten(0, 1)))
        found.append(Lines(values, offset, h))
    for _ in workers.each(_fill, _longest_first(pieces)):
        pass
    return found


def _longest_first(pieces: list[_Piece]) -> Iterator[_Piece]:
    """No worker shall begin with a long piece when the others are done."""
    return iter(sorted(pieces, key=lambda piece: -len(piece.out) * sum(len(piece.weights[tap]) for tap in piece.taps)))


@torch.inference_mode()
def _fill(piece: _Piece) -> None:
    columns = [piece.maps.maps[tap][0, :, piece.lines].to(piece.out.dtype).flatten(1).t() for tap in piece.taps]
    torch.mm(columns[0], piece.weights[piece.taps[0]], out=piece.out)
    for values, tap in zip(columns[1:], piece.taps[1:], strict=True):
        piece.out.addmm_(values, piece.weights[tap])


def source_positions(y: Tensor, length: int, target: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """`feature_maps.neighbours` along one axis, with weights as exact as the computation's dtype (float32 at least).

    Args:
        y: pixels of a grid of `target` pixels.
        length: values along the axis of the map.
        target: pixels along the axis of the grid.
        dtype: of the computation.
    """
    exact = torch.promote_types(dtype, torch.float32)
    source = ((y.to(exact) + 0.5) * (torch.tensor(length, dtype=exact) / target) - 0.5).clamp_min(0)
    lower = source.floor().long().clamp_max(length - 1)
    return lower, (lower + 1).clamp_max(length - 1), source - lower
