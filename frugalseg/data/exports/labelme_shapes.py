"""The shapes of labelme, drawn as labelme itself turns them into masks: with Pillow, outlines included."""

import base64
import math
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from frugalseg.data.decoders import quiet_decoders
from frugalseg.data.exports.shapes import points_of, require_points

Points = NDArray[np.float64]

LINE_WIDTH = 10
"""Pixels across a line."""

POINT_RADIUS = 5


def draw_shape(canvas: Image.Image, shape: dict[str, Any], value: int) -> None:
    """Set the pixels of a shape.

    Args:
        canvas: mode ``I``, of the image's size.
        shape: as labelme writes it: shape_type, points, for masks also mask.
        value: the id to set.

    Raises:
        ValueError: what is wrong with the shape.
    """
    kind = shape.get("shape_type") or "polygon"  # files of early versions have polygons without saying so
    if kind == "mask":
        _paste(canvas, shape.get("mask"), points_of(shape.get("points")), value)
        return
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"shape_type {str(kind)[:40]!r} is none of {', '.join([*KINDS, 'mask'])}")
    points = points_of(shape.get("points"))
    require_points(points, KINDS[kind].least, KINDS[kind].most)
    KINDS[kind].draw(ImageDraw.Draw(canvas), points, value)


def _polygon(draw: ImageDraw.ImageDraw, points: Points, value: int) -> None:
    draw.polygon([*map(tuple, points.tolist())], fill=value, outline=value)


def _rectangle(draw: ImageDraw.ImageDraw, points: Points, value: int) -> None:
    draw.rectangle([*points.min(0).tolist(), *points.max(0).tolist()], fill=value, outline=value)


def _circle(draw: ImageDraw.ImageDraw, points: Points, value: int) -> None:
    """The second point is on the rim."""
    _disc(draw, points[0], math.dist(*points.tolist()), value)


def _point(draw: ImageDraw.ImageDraw, points: Points, value: int) -> None:
    _disc(draw, points[0], POINT_RADIUS, value)


def _disc(draw: ImageDraw.ImageDraw, centre: Points, radius: float, value: int) -> None:
    draw.ellipse([*(centre - radius).tolist(), *(centre + radius).tolist()], fill=value, outline=value)


def _line(draw: ImageDraw.ImageDraw, points: Points, value: int) -> None:
    draw.line([*map(tuple, points.tolist())], fill=value, width=LINE_WIDTH)


@dataclass(frozen=True)
class Kind:
    """How to draw a kind of shape, and how many points it has."""

    draw: Callable[[ImageDraw.ImageDraw, Points, int], None]
    least: int
    most: int | None


KINDS = {
    "polygon": Kind(_polygon, 3, None),
    "rectangle": Kind(_rectangle, 2, 2),
    "oriented_rectangle": Kind(_polygon, 4, 4),
    "circle": Kind(_circle, 2, 2),
    "line": Kind(_line, 2, 2),
    "linestrip": Kind(_line, 2, None),
    "point": Kind(_point, 1, 1),
}


def _paste(canvas: Image.Image, encoded: Any, corners: Points, value: int) -> None:
    """Set the pixels of a mask, a PNG in base64, whose box is given by its first and its last pixel."""
    require_points(corners, 2, 2)
    left, top, right, bottom = corners.astype(np.int64).ravel().tolist()
    if min(left, top) < 0 or right >= canvas.width or bottom >= canvas.height:
        raise ValueError("its mask does not lie within the image")
    mask = _decoded(encoded, (right - left + 1, bottom - top + 1))
    canvas.paste(value, (left, top), mask.point(bool, "1"))


def _decoded(encoded: Any, box: tuple[int, int]) -> Image.Image:
    """A grey picture of (width, height) `box`; one of another size is not decoded, since it may claim any."""
    try:
        with quiet_decoders():
            image = Image.open(BytesIO(base64.b64decode(encoded)), formats=["PNG"])
            size = image.size
            if size == box:
                return image.convert("L")
    # Decoders raise nearly anything on broken data.
    except Exception:
        raise ValueError("its mask is not a PNG in base64") from None
    raise ValueError(f"its mask is {size[0]}x{size[1]}, its box {box[0]}x{box[1]}")
