import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalseg.classifier import smoothing
from frugalseg.classifier.prediction import PixelRows, vote_rows
from frugalseg.classifier.smoothing import FLAT, brightness, guided, smoothed
from frugalseg.classifier.views import averaged


def literal(guide, values, radius):
    """The filter as the paper writes it, window by window, in float64."""
    height, width = guide.shape

    def window(y, x):
        return slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)

    found = np.zeros(values.shape)
    for k, plane in enumerate(values):
        slope, level = np.zeros(guide.shape), np.zeros(guide.shape)
        for y, x in np.ndindex(height, width):
            g, p = guide[window(y, x)], plane[window(y, x)]
            slope[y, x] = ((g * p).mean() - g.mean() * p.mean()) / (g.var() + FLAT)
            level[y, x] = p.mean() - slope[y, x] * g.mean()
        for y, x in np.ndindex(height, width):
            found[k, y, x] = slope[window(y, x)].mean() * guide[y, x] + level[window(y, x)].mean()
    return found


@given(st.integers(1, 14), st.integers(1, 14), st.integers(1, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_filter_is_the_published_one_for_every_size_and_radius(height, width, radius, seed):
    rng = np.random.default_rng(seed)
    guide, values = rng.random((height, width)), rng.dirichlet(np.ones(3), (height, width)).transpose(2, 0, 1)
    found = guided(torch.from_numpy(guide).float(), torch.from_numpy(values).float(), radius)
    np.testing.assert_allclose(found.numpy(), literal(guide, values, radius), atol=2e-5)
    np.testing.assert_allclose(found.sum(0).numpy(), 1, atol=2e-5)


def prediction(size, classes=4, uncertainty=True):
    generator = torch.Generator().manual_seed(size[0])
    rows = vote_rows(torch.randn(3, classes, *size, generator=generator).mul(3).softmax(1))
    return rows if uncertainty else PixelRows(rows.mask, rows.probabilities, None)


def parts_of(rows, heights):
    top = 0
    for height in heights:
        part = slice(top, top := top + height)
        uncertainty = None if rows.uncertainty is None else rows.uncertainty[part]
        yield PixelRows(rows.mask[part], rows.probabilities[:, part], uncertainty)


@pytest.mark.parametrize("heights", [[40], [1] * 40, [7, 19, 2, 12], [39, 1]])
@pytest.mark.parametrize("radius", [1, 5, 30])
@pytest.mark.parametrize("uncertainty", [True, False])
def test_parts_of_an_image_give_the_bits_of_the_whole(heights, radius, uncertainty, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (40, 23, 3), np.uint8)
    rows = prediction((40, 23), uncertainty=uncertainty)
    expected = guided(brightness(image), rows.probabilities, radius).clamp_min(0)
    expected /= expected.sum(0, keepdim=True)
    monkeypatch.setattr(smoothing, "AT_ONCE", 1)
    pieces = list(smoothed(parts_of(rows, heights), image, radius))
    found = torch.cat([piece.probabilities for piece in pieces], 1)
    assert torch.equal(found, expected)
    assert torch.equal(torch.cat([piece.mask for piece in pieces]), expected.argmax(0).to(torch.uint8))
    if uncertainty:
        assert torch.equal(torch.cat([piece.uncertainty for piece in pieces]), rows.uncertainty)
    else:
        assert all(piece.uncertainty is None for piece in pieces)


def test_labels_follow_an_edge_that_coarse_maps_have_missed():
    """The classifier sees the border two pixels from where it is in the image."""
    image = np.zeros((24, 40, 3), np.uint8)
    image[:, 20:] = 200
    ramp = ((torch.arange(40) - 21.5) / 8 + 0.5).clamp(0, 1).expand(24, 40)
    rows = PixelRows((ramp > 0.5).to(torch.uint8), torch.stack([1 - ramp, ramp]), None)
    truth = torch.from_numpy((image[..., 0] > 0).astype(np.uint8))
    (found,) = smoothed([rows], image, 5)
    assert (rows.mask != truth).sum() == 2 * 24
    assert torch.equal(found.mask, truth)


def test_two_views_are_an_ensemble_of_twice_as_many_members():
    generator = torch.Generator().manual_seed(0)
    one, two = (torch.randn(3, 4, 10, 12, generator=generator).softmax(1) for _ in range(2))
    expected = vote_rows(torch.cat([one, two.flip(-1)]))
    (found,) = averaged([vote_rows(one)], [vote_rows(two)])
    torch.testing.assert_close(found.probabilities, expected.probabilities)
    torch.testing.assert_close(found.uncertainty, expected.uncertainty, atol=1e-6, rtol=0)
    assert torch.equal(found.mask, found.probabilities.argmax(0).to(torch.uint8))
