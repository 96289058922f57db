import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalseg.data.exports import shapes
from frugalseg.data.exports.coco_outlines import Outline
from frugalseg.data.exports.shapes import packed_runs, polygon_area, polygon_patch, require_runs, runs_patch
from tests.data.exports.helpers import GOLDEN, SIZE, drawn


def filled(points: list[list[float]], size: tuple[int, int]) -> np.ndarray:
    canvas = np.zeros(size, np.int64)
    polygon_patch(np.array(points, float), size).paint(canvas, 1)
    return canvas.astype(bool)


def covered(lengths: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    canvas = np.zeros(size, np.int64)
    runs_patch(lengths, size).paint(canvas, 1)
    return canvas.astype(bool)


@pytest.mark.parametrize("known", GOLDEN["polygons"])
def test_polygons_are_nearly_as_pycocotools_draws_them(known: dict) -> None:
    truth = drawn(known["rows"])
    ours = filled(np.reshape(known["points"], (-1, 2)).tolist(), SIZE)
    # pycocotools rounds to a fifth of a pixel; only pixels whose centre is that near to the outline may differ.
    assert (ours != truth).sum() <= 0.03 * truth.sum()


def test_a_rectangle_on_the_grid_is_exactly_that_of_pycocotools() -> None:
    known = GOLDEN["polygons"][0]
    np.testing.assert_array_equal(filled(np.reshape(known["points"], (-1, 2)).tolist(), SIZE), drawn(known["rows"]))


@settings(max_examples=60, deadline=None)
@given(st.integers(-5, 25), st.integers(-5, 25), st.integers(1, 20), st.integers(1, 20))
def test_rectangles_have_their_exact_area(left: int, top: int, width: int, height: int) -> None:
    points = [[left, top], [left + width, top], [left + width, top + height], [left, top + height]]
    expected = np.zeros((15, 20), bool)
    expected[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = True
    np.testing.assert_array_equal(filled(points, (15, 20)), expected)
    assert polygon_area(np.array(points, float)) == width * height


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, 12))
def test_a_pixel_is_inside_where_its_centre_is(seed: int, corners: int) -> None:
    from matplotlib.path import Path

    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))  # a star around the middle: even-odd or winding are the same
    points = 10 + rng.uniform(2, 12, (corners, 1)) * np.stack([np.cos(angles), np.sin(angles)], 1)
    if np.diff(angles, append=angles[0] + 2 * np.pi).max() > 3:
        return
    centres = np.stack(np.meshgrid(np.arange(20) + 0.5, np.arange(20) + 0.5), -1).reshape(-1, 2)
    np.testing.assert_array_equal(filled(points.tolist(), (20, 20)).ravel(), Path(points).contains_points(centres))


def test_many_edges_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).uniform(-5, 40, (200, 2)).tolist()
    whole = filled(points, (30, 30))
    monkeypatch.setattr(shapes, "CROSSINGS_AT_ONCE", 7)
    np.testing.assert_array_equal(filled(points, (30, 30)), whole)


@pytest.mark.parametrize("known", GOLDEN["runs"])
def test_packed_runs_of_pycocotools(known: dict) -> None:
    height, width = known["size"]
    np.testing.assert_array_equal(covered(packed_runs(known["counts"]), (height, width)), drawn(known["rows"]))


def test_packed_runs_of_several_characters() -> None:
    known = GOLDEN["big"]
    top, bottom, left, right = known["box"]
    expected = np.zeros(known["size"], bool)
    expected[top:bottom, left:right] = True
    top, bottom, left, right = known["hole"]
    expected[top:bottom, left:right] = False
    found = covered(packed_runs(known["counts"]), expected.shape)
    np.testing.assert_array_equal(found, expected)
    assert found.sum() == known["area"]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32), st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0]))
def test_runs_round_trip(height: int, width: int, seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    flat = np.concatenate([[False], mask.T.ravel()])
    ends = np.concatenate([np.flatnonzero(np.diff(flat)), [mask.size]])
    lengths = np.diff(ends, prepend=0)
    require_runs(lengths, (height, width))
    np.testing.assert_array_equal(covered(lengths, (height, width)), mask)


def test_a_small_object_of_a_large_image_is_drawn_small() -> None:
    lengths = np.array([5_000_000, 10, 94_999_990])
    require_runs(lengths, (10_000, 10_000))
    assert runs_patch(lengths, (10_000, 10_000)).inside.shape == (10_000, 1)
    assert polygon_patch(np.array([[5.0, 5], [9, 5], [9, 9]]), (10_000, 10_000)).inside.size < 50


SQUARE = [[1.0, 1.0, 3.0, 1.0, 3.0, 3.0]]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1.0, 1.0, 2.0, 2.0]], "it has 2 points, not at least 3"),
        ([[1.0, 1.0, 2.0, 2.0, 3.0]], "not pairs of numbers"),
        ([[1.0, 1.0, 2.0, float("nan"), 3.0, 3.0]], "not finite"),
        ([[1.0, 1.0, 2.0, float("inf"), 3.0, 3.0]], "not finite"),
        ([[1.0, 1.0, 2.0, 1e300, 3.0, 3.0]], "beyond 1000000"),
        ([[1.0, 1.0, 2.0, 10**400, 3.0, 3.0]], "not pairs of numbers"),
        ([SQUARE], "not a flat list"),
        ([1.0, 1.0, 2.0, 2.0], "it has 2 points, not at least 3"),
        ([1.0, [1.0, 2.0, 2.0, 3.0, 3.0]], "not a flat list"),
        ("x", "neither polygons nor run lengths"),
        ({"counts": [3, 2, 1], "size": [2, 3]}, "for [2, 3] (height, width), the image is [12, 16]"),
        ({"counts": [3, 2, 1], "size": [12, 16]}, "do not sum to 16 x 12"),
        ({"counts": [193, -1], "size": [12, 16]}, "not whole numbers"),
        ({"counts": [10**30], "size": [12, 16]}, "not whole numbers"),
        ({"counts": [], "size": [12, 16]}, "do not sum"),
        ({"counts": [1.5], "size": [12, 16]}, "not whole numbers"),
        ({"counts": "", "size": [12, 16]}, "damaged"),
        ({"counts": "o" * 50 + "0", "size": [12, 16]}, "damaged"),
        ({"counts": "äß", "size": [12, 16]}, "damaged"),
        ({"counts": "ooooo4", "size": [12, 16]}, "do not sum"),
    ],
)
def test_wrong_outlines_are_refused(segmentation: object, message: str) -> None:
    with pytest.raises(ValueError) as error:
        Outline.of(segmentation, (12, 16))
    assert message in str(error.value)


def test_a_single_polygon_may_lack_its_own_brackets() -> None:
    flat, usual = (Outline.of(segmentation, (12, 16)) for segmentation in (SQUARE[0], SQUARE))
    assert flat.area == usual.area == 2
    np.testing.assert_array_equal(flat.polygons[0], usual.polygons[0])
