"""Masks whose colors say which class is meant."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from frugalseg.data.classes import ClassTable
from frugalseg.data.folder import SegmentationFolder
from frugalseg.data.masks import read_mask
from frugalseg.support.files import FileError
from tests.data.helpers import deep_png, picture, save_image

BLACK, RED, GREEN, WHITE = (0, 0, 0), (255, 0, 0), (0, 255, 0), (255, 255, 255)
CLASSES = ClassTable((0, 1, 7), ("ground", "cat", "dog"), (BLACK, RED, GREEN))
IDS = np.repeat(np.array([[0, 1, 7, 255]], np.uint8), 4, axis=1)


def indexed(path: Path, values: NDArray[np.uint8], *palette: tuple[int, int, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    image.putpalette([value for color in palette for value in color])
    image.save(path)
    return path


def reordered(ids: NDArray[np.uint8], order: list[int]) -> NDArray[np.uint8]:
    """The ids as indices of a palette in which `order` says where each id of 0, 1, 7 and 255 went."""
    table = np.zeros(256, np.uint8)
    table[[0, 1, 7, 255]] = order
    return table[ids]


def test_a_palette_in_another_order_is_read_by_its_colors(tmp_path: Path) -> None:
    path = indexed(tmp_path / "a.png", reordered(IDS, [0, 2, 1, 3]), BLACK, GREEN, RED, WHITE)
    np.testing.assert_array_equal(read_mask(path, CLASSES), IDS)
    np.testing.assert_array_equal(read_mask(path), reordered(IDS, [0, 2, 1, 3]))


@pytest.mark.parametrize("strange", [(9, 9, 9), (200, 30, 40)])
def test_colors_of_no_class_leave_the_indices_as_ids(tmp_path: Path, strange: tuple[int, int, int]) -> None:
    values = reordered(IDS, [0, 1, 7, 255])
    palette = [BLACK, GREEN, *[strange] * 254]
    np.testing.assert_array_equal(read_mask(indexed(tmp_path / "a.png", values, *palette), CLASSES), IDS)


def test_a_palette_that_agrees_leaves_other_indices_alone(tmp_path: Path) -> None:
    palette = [BLACK, RED, *[BLACK] * 5, GREEN, *[BLACK] * 248]
    np.testing.assert_array_equal(read_mask(indexed(tmp_path / "a.png", IDS, *palette), CLASSES), IDS)


def test_a_picture_in_the_colors_of_the_classes(tmp_path: Path) -> None:
    colors = np.zeros((*IDS.shape, 3), np.uint8)
    for i, color in ((1, RED), (7, GREEN), (255, WHITE)):
        colors[i == IDS] = color
    path = save_image(tmp_path / "a.png", colors)
    np.testing.assert_array_equal(read_mask(path, CLASSES), IDS)
    deep_png(tmp_path / "deep.png", colors.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_mask(tmp_path / "deep.png", CLASSES), IDS)
    colors[0, 0] = (1, 2, 3)
    save_image(path, colors)
    with pytest.raises(FileError, match="in color, not class ids"):
        read_mask(path, CLASSES)


def test_a_folder_whose_masks_have_palettes_in_two_orders(tmp_path: Path) -> None:
    for name, order, palette in (("a", [0, 1, 2, 3], (BLACK, RED, GREEN)), ("b", [0, 2, 1, 3], (BLACK, GREEN, RED))):
        save_image(tmp_path / "images" / f"{name}.png", picture(0, *IDS.shape))
        indexed(tmp_path / "masks" / f"{name}.png", reordered(IDS, order), *palette, WHITE)
    CLASSES.to_json(tmp_path / "classes.json")
    first, second = (SegmentationFolder(tmp_path)[i].target for i in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, CLASSES.to_positions(IDS))


def test_255_is_not_annotated_whatever_its_color_is(tmp_path: Path) -> None:
    """Also where another value is the ignored one: most palettes are filled up with black."""
    table = ClassTable((0, 1, 7), ("ground", "cat", "dog"), (BLACK, RED, GREEN), ignore_index=9)
    ids = np.array([[0, 1, 7, 255, 9]], np.uint8)
    path = indexed(tmp_path / "a.png", ids, BLACK, RED, *[BLACK] * 5, GREEN, *[BLACK] * 248)
    np.testing.assert_array_equal(read_mask(path, table), ids)
    as_class = ClassTable((0, 255), ("ground", "cat"), (BLACK, RED), ignore_index=9)
    values = np.array([[0, 1, 255]], np.uint8)
    path = indexed(tmp_path / "b.png", values, RED, BLACK, *[BLACK] * 254)
    np.testing.assert_array_equal(read_mask(path, as_class), [[255, 0, 0]])
