"""One object of a COCO file: polygons, run lengths, or packed run lengths."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.exports.documents import whole
from frugalseg.data.exports.shapes import (
    Patch,
    packed_runs,
    points_of,
    polygon_area,
    polygon_patch,
    require_points,
    require_runs,
    runs_area,
    runs_patch,
)


@dataclass(frozen=True, eq=False)
class Outline:
    """What an object covers; nothing of it is drawn yet.

    Attributes:
        area: in pixels, as far as it is known without drawing: polygons that overlap count twice.
        polygons: (N, 2) each; their union is the object.
        runs: run lengths instead, see `runs_patch`.
    """

    area: float
    polygons: Sequence[NDArray[np.float64]] = ()
    runs: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, segmentation: Any, size: tuple[int, int]) -> "Outline":
        """Read and judge a ``segmentation``; ValueError says what is wrong with it."""
        if isinstance(segmentation, dict):
            runs = _runs(segmentation, size)
            return cls(runs_area(runs), runs=runs)
        if not isinstance(segmentation, list) or not segmentation:
            raise ValueError("its segmentation is neither polygons nor run lengths")
        polygons = [_polygon(values) for values in polygons_of(segmentation)]
        return cls(sum(map(polygon_area, polygons)), polygons)

    def patches(self, size: tuple[int, int]) -> Iterator[Patch]:
        """The regions whose union is the object, one at a time."""
        if self.runs is not None:
            yield runs_patch(self.runs, size)
        for points in self.polygons:
            yield polygon_patch(points, size)


def polygons_of(segmentation: list[Any]) -> list[Any]:
    """The polygons of a ``segmentation`` that is a list: some tools write the numbers of a single one without its own
    brackets."""
    return segmentation if any(isinstance(value, list) for value in segmentation) else [segmentation]


def _polygon(values: Any) -> NDArray[np.float64]:
    if not isinstance(values, list) or any(isinstance(value, list) for value in values):
        raise ValueError("a polygon is not a flat list of x and y")
    points = points_of(values)
    require_points(points, 3)
    return points


def _runs(segmentation: dict[str, Any], size: tuple[int, int]) -> NDArray[np.int64]:
    """Run lengths, packed or plain, of an image of `size`."""
    counts, claimed = segmentation.get("counts"), segmentation.get("size")
    if claimed != list(size):
        raise ValueError(f"its run lengths are for {claimed} (height, width), the image is {list(size)}")
    if isinstance(counts, str):
        runs = packed_runs(counts)
    else:
        lengths = [whole(value) for value in counts] if isinstance(counts, list) else [None]
        if not all(length is not None and 0 <= length <= size[0] * size[1] for length in lengths):
            raise ValueError("its run lengths are not whole numbers from 0 to the image's area")
        runs = np.array(lengths, np.int64)
    require_runs(runs, size)
    return runs
