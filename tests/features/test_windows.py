from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frugalseg.features import windows as module
from frugalseg.features.windows import (
    Window,
    blend_weights,
    cut,
    fitted_size,
    lines,
    mirrored,
    owned,
    starts,
    windows,
)

sides = st.integers(1, 200)


@given(image=st.tuples(sides, sides), stride=st.sampled_from([1, 4, 8]), tile=st.booleans(), fixed=st.booleans())
def test_windows_cover_every_pixel_once_as_owner(image, stride, tile, fixed):
    every = windows(image, (32, 24), stride, tile=tile, fixed=fixed)
    assert not fixed or {window.network for window in every} == {(32, 24)}
    target = np.random.default_rng(0).integers(0, 9, image).astype(np.uint8)
    seen, shares = np.zeros(image, int), np.zeros(image, int)
    for window in every:
        assert all(side % stride == 0 and side > 0 for side in window.network)
        part = owned(target, window, every, 255)
        assert part.shape == window.size
        inside = part[: image[0] - window.top, : image[1] - window.left]
        area = (slice(window.top, window.top + inside.shape[0]), slice(window.left, window.left + inside.shape[1]))
        seen[area] += inside != 255
        shares[area] += np.where(inside != 255, inside, 0)
        assert cut(np.zeros((*image, 3), np.uint8), window).shape == (3, *window.network)
    assert (seen == 1).all()
    assert (shares == target).all()
    assert sum(len(line) for line in lines(every)) == len(every)


@given(length=st.integers(1, 3000), side=st.integers(1, 300), overlap=st.sampled_from([0, 0.25, 0.5]))
def test_starts_overlap_enough(length, side, overlap):
    first = starts(length, side, overlap)
    assert first[0] == 0
    assert first[-1] == max(0, length - side)
    assert all(0 < b - a <= side * (1 - overlap) + 1 for a, b in pairwise(first))


@pytest.mark.parametrize(
    ("image", "expected"),
    [((256, 256), (256, 256)), ((512, 512), (256, 256)), ((100, 400), (128, 512)), ((3, 3000), (32, 8096))],
)
def test_fitted_size_keeps_aspect_and_area(image, expected):
    assert fitted_size(image, (256, 256), 32) == expected


def test_an_image_of_the_networks_shape_gets_the_networks_size():
    assert fitted_size((192, 128), (48, 32), 4) == (48, 32)


def test_cut_reflects_at_the_border_and_keeps_values():
    image = np.arange(6 * 5 * 3).reshape(6, 5, 3).astype(np.uint8)
    (window,) = windows((6, 5), (64, 64), 4, tile=True)
    seen = cut(image, window)
    assert window.network == (8, 8)
    torch.testing.assert_close(seen[:, :6, :5] * 255, torch.from_numpy(image).permute(2, 0, 1).float())
    assert (seen[:, 6] == seen[:, 4]).all()


def test_blend_weights_are_symmetric_and_positive():
    weights = blend_weights((4, 6))
    assert weights.min() > 0
    assert torch.equal(weights, weights.flip(0, 1))
    assert weights[1:3, 2:4].eq(weights.max()).all()


@pytest.mark.parametrize("network", [(16, 24), (150, 100), (96, 24)])
def test_a_large_image_is_resized_in_bands_to_the_same_values(network, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (133, 57, 3), np.uint8)
    at_once = cut(image, Window(0, 0, (133, 57), network))
    monkeypatch.setattr(module, "BAND", 57 * 10)
    assert torch.equal(cut(image, Window(0, 0, (133, 57), network)), at_once)


@given(image=st.tuples(st.integers(1, 30), st.integers(1, 30)), margin=st.integers(1, 70), tile=st.booleans())
def test_a_margin_is_what_lies_around_a_window(image, margin, tile):
    values = np.random.default_rng(0).integers(0, 256, (*image, 3)).astype(np.uint8)
    around = np.pad(values, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    assert (mirrored(torch.from_numpy(values).permute(2, 0, 1), margin).permute(1, 2, 0).numpy() == around).all()
    for window in windows(image, (8, 12), 1, tile=tile, margin=margin):
        seen = cut(values, window)
        assert seen.shape == (3, *(side + 2 * margin for side in window.network))
        rows, columns = (slice(part.start, part.stop + 2 * margin) for part in window.area)
        if window.size == window.network:
            torch.testing.assert_close(seen * 255, torch.from_numpy(around[rows, columns]).permute(2, 0, 1).float())


def test_a_resized_image_is_mirrored_as_it_is_seen():
    values = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    (plain,), (wide,) = (windows((20, 30), (8, 12), 1, tile=False, margin=margin) for margin in (0, 5))
    assert torch.equal(cut(values, wide), mirrored(cut(values, plain), 5))
