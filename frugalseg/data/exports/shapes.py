"""Regions of an image from outlines and runs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FAR = 1_000_000
"""Coordinates beyond this are refused; no image is so large, and drawing there could take forever."""

CROSSINGS_AT_ONCE = 1_000_000


@dataclass(frozen=True, eq=False)
class Patch:
    """A region of an image.

    Attributes:
        top, left: where its box begins.
        inside: (h, w) bool over its box, which lies within the image.
    """

    top: int
    left: int
    inside: NDArray[np.bool_]

    def paint(self, canvas: NDArray[np.int64], value: int) -> None:
        """Set the region's pixels of an (H, W) canvas."""
        height, width = self.inside.shape
        canvas[self.top : self.top + height, self.left : self.left + width][self.inside] = value


def points_of(values: object) -> NDArray[np.float64]:
    """(N, 2) x and y of a flat list or of pairs; ValueError for anything else, and for coordinates beyond `FAR`."""
    try:
        flat = np.asarray(values, np.float64)
        points: NDArray[np.float64] = flat.reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("its points are not pairs of numbers") from None
    if not np.isfinite(points).all():
        raise ValueError("a coordinate is not finite")
    if points.size and np.abs(points).max() > FAR:
        raise ValueError(f"a coordinate is beyond {FAR}")
    return points


def require_points(points: NDArray[np.float64], least: int, most: int | None = None) -> None:
    """ValueError where an outline has too few points, or too many."""
    number = len(points)
    if number < least or (most is not None and number > most):
        wanted = f"{least}" if most == least else f"at least {least}"
        raise ValueError(f"it has {number} points, not {wanted}")


def polygon_area(points: NDArray[np.float64]) -> float:
    """The area within a polygon (N, 2), by the shoelace formula."""
    x, y = (points - points[0]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def polygon_patch(points: NDArray[np.float64], size: tuple[int, int]) -> Patch:
    """The pixels whose centres lie inside a polygon, by the even-odd rule.

    Args:
        points: (N, 2) x and y; pixel (row i, column j) covers x from j to j + 1 and y from i to i + 1.
        size: (H, W) of the image; what lies outside of it is cut off.
    """
    left, top = np.clip(np.floor(points.min(0)), 0, size[::-1]).astype(int)
    right, bottom = np.clip(np.ceil(points.max(0)), 0, size[::-1]).astype(int)
    height, width = max(0, bottom - top), max(0, right - left)
    # One column more than the box has: crossings to the right of it change nothing.
    parity = np.zeros((height, width + 1), np.uint8)
    for rows, columns in _crossings(points - (left, top), height, width):
        np.bitwise_xor.at(parity, (rows, columns), 1)
    inside = np.bitwise_xor.accumulate(parity, axis=1)[:, :width].astype(bool)
    return Patch(int(top), int(left), inside)


def _crossings(
    points: NDArray[np.float64], height: int, width: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Where the outline crosses the lines through the centres of pixel rows: the row, and the first column beyond.

    They come a limited number at a time, however many edges there are.
    """
    ends = np.roll(points, -1, axis=0)
    # Each edge runs downwards and owns its upper end, so that a corner on a line is crossed once, or twice at a tip.
    upper = np.where((points[:, 1] <= ends[:, 1])[:, None], points, ends)
    lower = np.where((points[:, 1] <= ends[:, 1])[:, None], ends, points)
    first, last = (np.clip(np.ceil(y - 0.5), 0, height).astype(np.int64) for y in (upper[:, 1], lower[:, 1]))
    for part in _parts(last - first):
        lengths = (last - first)[part]
        edges = np.repeat(np.arange(len(points))[part], lengths)
        rows = np.arange(len(edges)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + first[edges]
        slopes = (lower[edges, 0] - upper[edges, 0]) / (lower[edges, 1] - upper[edges, 1])
        x = upper[edges, 0] + (rows + 0.5 - upper[edges, 1]) * slopes
        yield rows, np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)


def _parts(lengths: NDArray[np.int64]) -> Iterator[slice]:
    """Slices of about `CROSSINGS_AT_ONCE` in sum; one at least in each."""
    total = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        done = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + CROSSINGS_AT_ONCE, "right")))
        yield slice(start, stop)
        start = stop


def require_runs(lengths: NDArray[np.int64], size: tuple[int, int]) -> None:
    """ValueError where run lengths are negative or do not sum to the area of an image of (H, W) `size`."""
    area = size[0] * size[1]
    if not lengths.size or lengths.min() < 0 or lengths.max() > area or lengths.sum() != area:
        raise ValueError(f"its run lengths do not sum to {size[1]} x {size[0]}")


def runs_patch(lengths: NDArray[np.int64], size: tuple[int, int]) -> Patch:
    """The region of run lengths: columns from left to right, each downwards, outside and inside in turn.

    Args:
        lengths: of the runs, int64, the first one outside; `require_runs` has judged them.
        size: (H, W) of the image.
    """
    ends = np.cumsum(lengths)
    drawn = np.flatnonzero(lengths[1::2]) * 2 + 1
    if not drawn.size:
        return Patch(0, 0, np.zeros((0, 0), bool))
    # Only the columns between the first and the last pixel are drawn.
    first = int(ends[drawn[0] - 1]) // size[0]
    last = -(-int(ends[drawn[-1]]) // size[0])
    bounded = np.clip(np.concatenate(([0], ends)), first * size[0], last * size[0])
    window = bounded[1:] - bounded[:-1]
    flat = np.repeat(np.arange(len(window)) % 2 == 1, window)
    return Patch(0, first, flat.reshape(last - first, size[0]).T)


def runs_area(lengths: NDArray[np.int64]) -> int:
    """How many pixels run lengths put inside."""
    return int(lengths[1::2].sum())


def packed_runs(text: str) -> NDArray[np.int64]:
    """Run lengths from COCO's packed string.

    Each number is a row of characters of five bits, the lowest first, 48 added; the sixth bit says that more follow,
    and the last one's fifth is the sign. From the fourth number on each is the difference to the one two before.

    Raises:
        ValueError: the string is no such numbers.
    """
    codes = np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64) - 48
    if not codes.size or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError("its packed run lengths are damaged")
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    widths = ends - starts + 1
    if widths.max() > 8:  # 40 bits are more than any image has pixels
        raise ValueError("its packed run lengths are damaged")
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, widths))
    numbers = np.add.reduceat((codes & 31) << shifts, starts)
    numbers -= np.where(codes[ends] & 16, 1 << (5 * widths), 0)
    # Odd places add up from the second number on, even ones from the third; the first stands alone.
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers
