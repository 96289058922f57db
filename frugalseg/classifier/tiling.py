"""One image from several windows. Where windows see a pixel differently, members' probabilities are blended before they
vote, so seams don't show; where they see it alike, the windows are laid side by side."""

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import TypeVar

import torch
from torch import Tensor

from frugalseg.classifier.prediction import EnsemblePredictor, PixelRows, known, vote_rows
from frugalseg.classifier.voting import Wanted
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.windows import Window, blend_weights, lines
from frugalseg.support.progress import Progress

# Shapes: M members, K classes, W columns of the image; rows and columns are those of a window within the image.

Found = TypeVar("Found")

AT_ONCE = 2**24
"""Probabilities that are worked on at a time."""
LARGE = 2**22
"""Pixels of an image from which on reports of its rows are worth a reader's attention."""


def blend(
    every: list[Window], size: tuple[int, int], member_probabilities: Callable[[Window], Tensor]
) -> Iterator[PixelRows]:
    """The rows of an image that several windows cover, from the top: those that each line of windows completes.

    Each member's probabilities are averaged where windows overlap, weighted by a tent that is highest at a window's
    centre. What windows have said is kept only where others overlap them: a window's share of columns, and below the
    line of windows (M, K, overlap, W). So an image's height costs no memory.

    Args:
        every: the image's windows, all of one size.
        size: (H, W) of the image.
        member_probabilities: (M, K, rows, columns) of a window's pixels.
    """
    rows_of_windows = list(lines(every))
    ends = [line[0].top for line in rows_of_windows[1:]] + [size[0]]
    shared = [_rows(line, size) - (end - line[0].top) for line, end in zip(rows_of_windows, ends, strict=True)]
    below = _Below(max(shared), size[1])
    for line, end in zip(rows_of_windows, ends, strict=True):
        done = end - line[0].top
        weights = below.with_weights(_line_weights(line, size), done)
        means = below.means(_line_sums(line, size, member_probabilities), weights, done)
        yield _side_by_side([vote_rows(part) for part in stacked(means, 3)])


def side_by_side(
    every: list[Window], size: tuple[int, int], predict: Callable[[Window], PixelRows]
) -> Iterator[PixelRows]:
    """The rows of an image whose windows agree wherever they overlap, from the top.

    Args:
        every: the image's windows, at the image's own resolution.
        size: (H, W) of the image.
        predict: the prediction for a window's pixels.
    """
    rows_of_windows = list(lines(every))
    ends = [line[0].top for line in rows_of_windows[1:]] + [size[0]]
    for line, end in zip(rows_of_windows, ends, strict=True):
        rights = [window.left for window in line[1:]] + [size[1]]
        yield _side_by_side(
            [
                _corner(predict(window), end - window.top, right - window.left)
                for window, right in zip(line, rights, strict=True)
            ]
        )


def tiled_rows(
    every: list[Window],
    size: tuple[int, int],
    maps: Callable[[Window], FeatureMaps],
    predictor: EnsemblePredictor,
    wanted: Wanted,
    *,
    alike: bool,
    progress: Progress,
) -> Iterator[PixelRows]:
    """What the members of an ensemble say of an image that is seen through several windows, its rows from the top.

    Args:
        every: the image's windows.
        size: (H, W) of the image.
        maps: gives those of a window.
        predictor: the members.
        wanted: what is needed beside the labels.
        alike: windows see a pixel alike, see `side_by_side`; otherwise their members are blended, see `blend`.
        progress: told of each window.
    """

    def predicted(window: Window) -> PixelRows:
        return joined(list(predictor.rows(maps(window), wanted)))

    def members(window: Window) -> Tensor:
        return predictor.member_probabilities(maps(window))

    if alike:
        return side_by_side(every, size, told_of_windows(predicted, len(every), progress))
    return blend(every, size, told_of_windows(members, len(every), progress))


def _corner(piece: PixelRows, rows: int, columns: int) -> PixelRows:
    """The first rows and columns of a window."""
    return PixelRows(
        piece.mask[:rows, :columns],
        None if piece.probabilities is None else piece.probabilities[:, :rows, :columns],
        None if piece.uncertainty is None else piece.uncertainty[:rows, :columns],
    )


class _Below:
    """What a line of windows leaves to the next one: sums and weights of the rows that both see."""

    def __init__(self, most: int, width: int) -> None:
        """
        Args:
            most: rows that are ever left.
            width: W.
        """
        self._rows, self._size = 0, (most, width)
        self._sums: Tensor | None = None  # (M, K, most, W)
        self._weights = torch.empty(0, width, dtype=torch.float32)  # (rows, W)

    def with_weights(self, weights: Tensor, done: int) -> Tensor:
        """The weights (rows, W) of a line with those from above; what lies below row `done` is kept."""
        weights[: self._rows] += self._weights
        self._weights = weights[done:]
        return weights

    def means(self, line: Iterable[Tensor], weights: Tensor, done: int) -> Iterator[Tensor]:
        """The finished rows (M, K, done, columns) of a line from its sums, which go on below row `done`."""
        left = 0
        for sums in line:
            columns = slice(left, left + sums.shape[3])
            if self._sums is None:
                self._sums = sums.new_empty((*sums.shape[:2], *self._size))
            sums[:, :, : self._rows] += self._sums[:, :, : self._rows, columns]
            self._sums[:, :, : len(weights) - done, columns] = sums[:, :, done:]
            yield sums[:, :, :done] / weights[:done, columns].to(sums.device)
            left = columns.stop
        self._rows = len(weights) - done


def _line_sums(
    line: list[Window], size: tuple[int, int], member_probabilities: Callable[[Window], Tensor]
) -> Iterator[Tensor]:
    """Weighted sums (M, K, rows, columns) of a line of windows, from the left: columns to which no later one adds."""
    rows, ends = _rows(line, size), [window.left for window in line[1:]] + [size[1]]
    unfinished: Tensor | None = None
    for window, end in zip(line, ends, strict=True):
        tent = _tent(window, size)
        values = member_probabilities(window)[:, :, :rows, : tent.shape[1]]
        sums = values * tent.to(values.device)
        if unfinished is not None:
            sums[..., : unfinished.shape[3]] += unfinished
        yield sums[..., : end - window.left]
        unfinished = sums[..., end - window.left :]


def _line_weights(line: list[Window], size: tuple[int, int]) -> Tensor:
    """Weights (rows, W) of a line of windows, cut at the image's border."""
    weights = torch.zeros(_rows(line, size), size[1], dtype=torch.float32)
    for window in line:
        tent = _tent(window, size)
        weights[:, window.left : window.left + tent.shape[1]] += tent
    return weights


def _tent(window: Window, size: tuple[int, int]) -> Tensor:
    """(rows, columns): how much the pixels of a window count, of those within the image."""
    return blend_weights(window.size)[: size[0] - window.top, : size[1] - window.left]


def _rows(line: list[Window], size: tuple[int, int]) -> int:
    """How many rows of the image a line of windows sees."""
    return min(line[0].size[0], size[0] - line[0].top)


def stacked(parts: Iterable[Tensor], dim: int) -> Iterator[Tensor]:
    """Consecutive parts of a whole along a dimension, as few of them as `AT_ONCE` allows."""
    waiting: list[Tensor] = []
    for part in parts:
        waiting.append(part)
        if sum(each.numel() for each in waiting) >= AT_ONCE:
            yield torch.cat(waiting, dim)
            waiting = []
    if waiting:
        yield torch.cat(waiting, dim)


def joined(pieces: list[PixelRows]) -> PixelRows:
    """Consecutive rows, from the top, as one piece."""
    return _together(pieces, rows=True)


def _side_by_side(pieces: list[PixelRows]) -> PixelRows:
    """The same rows of neighbouring columns as one."""
    return _together(pieces, rows=False)


def _together(pieces: list[PixelRows], *, rows: bool) -> PixelRows:
    """Pieces one below the other, or side by side."""
    across, first = 0 if rows else 1, pieces[0]
    return PixelRows(
        torch.cat([piece.mask for piece in pieces], across),
        None if first.probabilities is None else torch.cat([known(p.probabilities) for p in pieces], across + 1),
        None if first.uncertainty is None else torch.cat([known(p.uncertainty) for p in pieces], across),
    )


def told_of_windows(predict: Callable[[Window], Found], windows: int, progress: Progress) -> Callable[[Window], Found]:
    """The same function, which also tells how many of an image's windows it has been asked for."""
    numbers = count(1)

    def through(window: Window) -> Found:
        found = predict(window)
        progress("windows", next(numbers), windows)
        return found

    return through


def told_of_rows(rows: Iterator[PixelRows], size: tuple[int, int], progress: Progress) -> Iterator[PixelRows]:
    """The rows of an image (H, W) as they are; of a large one, it is told how many there were."""
    done = 0
    for piece in rows:
        yield piece
        done += len(piece.mask)
        if size[0] * size[1] >= LARGE:
            progress("rows", done, size[0])
