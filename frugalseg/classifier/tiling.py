"""One image from several windows. Where windows see a pixel differently, members' probabilities are blended before they
vote, so seams don't show; where they see it alike, the windows are laid side by side."""

from collections.abc import Callable

import torch
from torch import Tensor

from frugalseg.classifier.prediction import PixelPrediction, image_uncertainty, vote
from frugalseg.features.windows import Window, blend_weights, lines


def blend(
    every: list[Window], size: tuple[int, int], member_probabilities: Callable[[Window], Tensor]
) -> PixelPrediction:
    """The prediction for an image that several windows cover.

    Each member's probabilities are averaged where windows overlap, weighted by a tent that is highest at a window's
    centre. Only the lines of windows that still touch unfinished rows are in memory, so an image's height costs none.

    Args:
        every: the image's windows, all of one size.
        size: (H, W) of the image.
        member_probabilities: (M, K, rows, columns) of a window's pixels.
    """
    rows_of_windows = list(lines(every))
    ends = [line[0].top for line in rows_of_windows[1:]] + [size[0]]
    open_rows: Tensor | None = None  # (M, K, rows, W) sums from the row where the last line began
    counts = torch.zeros(0)
    pieces = []
    for line, end in zip(rows_of_windows, ends, strict=True):
        sums, weights = add_line(line, size, member_probabilities)
        if open_rows is not None:
            kept = min(open_rows.shape[2], sums.shape[2])
            sums[:, :, :kept] += open_rows[:, :, :kept]
            weights[:kept] += counts[:kept]
        done = end - line[0].top
        pieces.append(vote(sums[:, :, :done] / weights[:done]))
        open_rows, counts = sums[:, :, done:], weights[done:]
    return stack(pieces)


def side_by_side(
    every: list[Window], size: tuple[int, int], predict: Callable[[Window], PixelPrediction]
) -> PixelPrediction:
    """The prediction for an image whose windows agree wherever they overlap.

    Args:
        every: the image's windows, at the image's own resolution.
        size: (H, W) of the image.
        predict: the prediction for a window's pixels.
    """
    first = predict(every[0])
    if len(every) == 1:
        return first
    mask, uncertainty = (values.new_empty(size) for values in (first.mask, first.uncertainty))
    probabilities = first.probabilities.new_empty((len(first.probabilities), *size))
    for window in every:
        part = first if window is every[0] else predict(window)
        mask[window.area], uncertainty[window.area] = part.mask, part.uncertainty
        probabilities[:, *window.area] = part.probabilities
    return PixelPrediction(mask, probabilities, uncertainty, image_uncertainty(uncertainty))


def add_line(
    line: list[Window], size: tuple[int, int], member_probabilities: Callable[[Window], Tensor]
) -> tuple[Tensor, Tensor]:
    """Weighted sums (M, K, rows, W) and weights (rows, W) of one line of windows, cut at the image's border."""
    rows = min(line[0].size[0], size[0] - line[0].top)
    sums, weights = None, torch.zeros(rows, size[1])
    for window in line:
        columns = min(window.size[1], size[1] - window.left)
        tent = blend_weights(window.size)[:rows, :columns]
        values = member_probabilities(window)[:, :, :rows, :columns]
        tent = tent.to(values.device)
        if sums is None:
            sums = values.new_zeros((*values.shape[:2], rows, size[1]))
            weights = weights.to(values.device)
        sums[:, :, :, window.left : window.left + columns] += values * tent
        weights[:, window.left : window.left + columns] += tent
    assert sums is not None
    return sums, weights


def stack(pieces: list[PixelPrediction]) -> PixelPrediction:
    """Predictions of consecutive rows as one."""
    uncertainty = torch.cat([p.uncertainty for p in pieces])
    return PixelPrediction(
        torch.cat([p.mask for p in pieces]),
        torch.cat([p.probabilities for p in pieces], dim=1),
        uncertainty,
        image_uncertainty(uncertainty),
    )
