"""Masks, mistakes and uncertainty as pictures: arrays in, RGB arrays out."""

from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frugalseg.data.channels import viewed
from frugalseg.data.classes import NOT_ANNOTATED, ClassTable

Pixels = NDArray[np.uint8]
"""An (H, W, 3) uint8 RGB picture."""

Value = TypeVar("Value", bound=np.generic)

UNKNOWN = (128, 128, 128)
"""The colour of pixels without an annotation."""

WRONG = (214, 40, 57)
"""The colour of mistakes."""

BAND = 128
"""Rows of an overlay that are computed at a time, in floating-point values of eight bytes."""


def class_colors(table: ClassTable) -> NDArray[np.uint8]:
    """(256, 3) uint8: the colour of each position; `UNKNOWN` for every value that is not a class."""
    colors = np.full((256, 3), UNKNOWN, np.uint8)
    colors[: len(table)] = table.colors
    return colors


def mask_picture(mask: NDArray[np.uint8], table: ClassTable) -> Pixels:
    """A mask alone.

    Args:
        mask: (H, W) uint8 class positions; 255 = not annotated.
        table: gives the colours.
    """
    picture: Pixels = class_colors(table)[mask]
    return picture


def overlay(
    image: Pixels, mask: NDArray[np.uint8], table: ClassTable, alpha: float = 0.5, contour: bool = True
) -> Pixels:
    """An image with the class colours laid over it.

    Args:
        image: (H, W, C) uint8, seen as `viewed` says.
        mask: (H, W) uint8 class positions; pixels with 255 keep the image's colour.
        table: gives the colours.
        alpha: 0 shows the image alone, 1 the colours alone.
        contour: draw the outermost pixels of every region in the pure class colour.

    Raises:
        ValueError: the sizes differ, or alpha is outside [0, 1].
    """
    if image.shape[:2] != mask.shape:
        raise ValueError(f"an image of {image.shape[:2]} and a mask of {mask.shape}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}, not from 0 to 1")
    image = viewed(image)
    edges = region_edges(mask) if contour else np.zeros(mask.shape, bool)
    picture = np.empty_like(image)
    for top in range(0, len(mask), BAND):
        rows = slice(top, top + BAND)
        picture[rows] = _laid_over(image[rows], mask[rows], edges[rows], class_colors(table), alpha)
    return picture


def _laid_over(
    image: Pixels, mask: NDArray[np.uint8], edges: NDArray[np.bool_], colors: NDArray[np.uint8], alpha: float
) -> Pixels:
    """`overlay` of some rows, with the outermost pixels of regions in `edges`."""
    weight = np.where(mask == NOT_ANNOTATED, 0.0, alpha)
    weight[edges & (mask != NOT_ANNOTATED)] = 1.0
    blended: Pixels = np.rint(image + weight[..., None] * (colors[mask].astype(np.float64) - image)).astype(np.uint8)
    return blended


def region_edges(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H, W) bool: pixels with a neighbour, above, below, left or right, of another value."""
    edges = np.zeros(mask.shape, bool)
    down = mask[1:] != mask[:-1]
    across = mask[:, 1:] != mask[:, :-1]
    edges[1:] |= down
    edges[:-1] |= down
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    return edges


def error_map(image: Pixels, truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> Pixels:
    """Where a prediction is wrong: mistakes in red on a faded grey image, pixels without a truth in flat grey.

    Args:
        image: (H, W, 3) uint8.
        truth: (H, W) uint8 class positions; 255 = not annotated.
        prediction: (H, W) uint8 class positions.
    """
    grey = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    picture = np.repeat((grey * 0.45 + 130)[..., None], 3, axis=2)
    known = truth != NOT_ANNOTATED
    picture[~known] = UNKNOWN
    picture[known & (truth != prediction)] = WRONG
    rounded: Pixels = np.rint(picture).clip(0, 255).astype(np.uint8)
    return rounded


@cache
def heat_colors() -> NDArray[np.uint8]:
    """(256, 3) uint8: matplotlib's ``inferno`` from black to pale yellow."""
    from matplotlib import colormaps

    colors: NDArray[np.uint8] = (colormaps["inferno"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    return colors


def uncertainty_map(uncertainty: NDArray[np.float32], top: float | None = None) -> Pixels:
    """A heat map, black for certain.

    Args:
        uncertainty: (H, W) finite values from 0.
        top: the value shown brightest, the same for all pictures that are to be compared; its own maximum without it.
    """
    top = float(uncertainty.max(initial=0)) if top is None else top
    scaled = np.zeros(uncertainty.shape) if top <= 0 else np.clip(uncertainty / top, 0, 1)
    picture: Pixels = heat_colors()[np.rint(scaled * 255).astype(np.uint8)]
    return picture


def fit_within(image: Pixels, longest: int) -> Pixels:
    """The image, made smaller if a side is longer than `longest` pixels."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def fit_plane_within(plane: NDArray[Value], longest: int) -> NDArray[Value]:
    """An (H, W) mask or map, made as small as `fit_within` makes its image, by taking the nearest values."""
    height, width = plane.shape
    scale = min(1.0, longest / max(height, width))
    rows = _nearest(height, max(1, round(height * scale)))
    columns = _nearest(width, max(1, round(width * scale)))
    return plane[np.ix_(rows, columns)]


def _nearest(length: int, target: int) -> NDArray[np.int64]:
    """(target,) int64: the positions, out of `length`, under the centres of `target` equal parts."""
    return ((np.arange(target) + 0.5) * length / target).astype(np.int64)


def enlarge(picture: Pixels, shortest: int = 192) -> Pixels:
    """A small picture with every pixel repeated, so that its sides have at least about `shortest` pixels."""
    factor = max(1, round(shortest / min(picture.shape[:2])))
    return np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)
