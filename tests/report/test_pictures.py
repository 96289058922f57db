"""Colours that a picture promises, pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalseg.data.classes import ClassTable
from frugalseg.report.pictures import (
    UNKNOWN,
    WRONG,
    enlarge,
    error_map,
    fit_plane_within,
    fit_within,
    heat_colors,
    mask_picture,
    overlay,
    uncertainty_map,
)

TABLE = ClassTable(ids=(3, 7), names=("a", "b"), colors=((200, 0, 100), (0, 50, 250)))
GREY = np.full((4, 4, 3), 100, np.uint8)
MASK = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 255, 255]], np.uint8)


def test_overlay_blends_inside_and_is_pure_on_edges() -> None:
    picture = overlay(GREY, MASK, TABLE, alpha=0.25)
    assert picture[0, 0].tolist() == [125, 75, 100]
    assert picture[2, 0].tolist() == [200, 0, 100]
    assert picture[3, 0].tolist() == [0, 50, 250]
    assert picture[3, 3].tolist() == [100, 100, 100]


def test_overlay_without_contour_is_blended_everywhere() -> None:
    picture = overlay(GREY, MASK, TABLE, alpha=0.5, contour=False)
    assert picture[2, 0].tolist() == [150, 50, 100]
    assert picture[3, 1].tolist() == [50, 75, 175]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), height=st.integers(1, 20), width=st.integers(1, 20))
def test_overlay_goes_from_the_image_to_the_mask(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = rng.choice(np.array([0, 1, 255], np.uint8), (height, width))
    before = image.copy()
    known = mask != 255
    assert np.array_equal(overlay(image, mask, TABLE, alpha=0, contour=False), image)
    assert np.array_equal(overlay(image, mask, TABLE, alpha=1)[known], mask_picture(mask, TABLE)[known])
    assert np.array_equal(overlay(image, mask, TABLE)[~known], image[~known])
    assert np.array_equal(image, before)


def test_overlay_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="mask of"):
        overlay(GREY, MASK[:3], TABLE)
    with pytest.raises(ValueError, match="alpha"):
        overlay(GREY, MASK, TABLE, alpha=2)


def test_mistakes_are_red_and_unannotated_pixels_flat() -> None:
    picture = error_map(GREY, MASK, np.zeros((4, 4), np.uint8))
    assert picture[3, 0].tolist() == list(WRONG)
    assert picture[3, 3].tolist() == list(UNKNOWN)
    assert picture[0, 0].tolist() == [175, 175, 175]


def test_uncertainty_runs_from_black_to_the_brightest() -> None:
    values = np.array([[0.0, 0.5], [1.0, 2.0]], np.float32)
    picture = uncertainty_map(values, top=1.0)
    assert picture[0, 0].tolist() == heat_colors()[0].tolist()
    assert picture[1, 0].tolist() == picture[1, 1].tolist() == heat_colors()[255].tolist()
    assert uncertainty_map(np.zeros((2, 2), np.float32)).max() < 10
    assert uncertainty_map(values)[1, 1].tolist() == heat_colors()[255].tolist()


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300), longest=st.integers(1, 200))
def test_planes_shrink_with_their_image(height: int, width: int, longest: int) -> None:
    image = fit_within(np.zeros((height, width, 3), np.uint8), longest)
    plane = np.arange(height * width).reshape(height, width)
    small = fit_plane_within(plane, longest)
    assert image.shape[:2] == small.shape and max(small.shape) <= max(longest, 1)
    assert len(np.unique(small)) == small.size


def test_small_pictures_are_repeated_pixels() -> None:
    picture = enlarge(mask_picture(MASK, TABLE), 12)
    assert picture.shape == (12, 12, 3)
    assert np.array_equal(picture[1::3, 1::3], mask_picture(MASK, TABLE))
