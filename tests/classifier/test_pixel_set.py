import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalseg.classifier.pixel_set import PixelSet, Source, drop_small_regions, stored_bytes
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.taps import Tap

TAPS = (Tap("a", 3, 2), Tap("b", 5, 4), Tap("c", 1, 2))


def random_sources(rng, count):
    networks = [(4 * int(rng.integers(1, 4)), 4 * int(rng.integers(1, 4))) for _ in range(count)]
    grids = [tuple(rng.integers(1, 30, 2)) for _ in range(count)]
    choices = np.array([0, 1, 2, 255], np.uint8)
    sources = [Source(n, rng.choice(choices, g)) for n, g in zip(networks, grids, strict=True)]
    maps = [
        FeatureMaps([torch.randn(1, t.channels, h // t.stride, w // t.stride) for t in TAPS], g)
        for (h, w), g in zip(networks, grids, strict=True)
    ]
    return sources, maps


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_features_equal_the_maps_at_the_labelled_pixels(seed):
    sources, maps = random_sources(np.random.default_rng(seed), 3)
    pixels = PixelSet(TAPS, sources)
    for number, each in enumerate(maps):
        pixels.put(number, each)
    vectors, labels = [], []
    for source, each in zip(sources, maps, strict=True):
        flat = source.target.ravel()
        where = torch.from_numpy(np.flatnonzero(flat != 255))
        vectors.append(each.to(torch.float16).at(where))
        labels.append(torch.from_numpy(flat[where.numpy()]).long())
    order = torch.randperm(len(pixels))
    torch.testing.assert_close(pixels.features(order), torch.cat(vectors)[order], atol=1e-6, rtol=1e-6)
    assert torch.equal(pixels.labels, torch.cat(labels))
    assert len(pixels.image) == len(pixels)


def test_an_interrupted_set_goes_on(tmp_path):
    sources, maps = random_sources(np.random.default_rng(1), 3)
    whole = PixelSet(TAPS, sources)
    for number, each in enumerate(maps):
        whole.put(number, each)
    first = PixelSet(TAPS, sources, tmp_path)
    first.put(0, maps[0])
    first.put(1, maps[1])
    del first
    again = PixelSet(TAPS, sources, tmp_path)
    assert again.done == 2
    again.put(2, maps[2])
    index = torch.arange(len(whole))
    assert torch.equal(again.features(index), whole.features(index))
    assert PixelSet(TAPS, sources[:2], tmp_path / "other").done == 0
    assert sum(f.stat().st_size for f in tmp_path.glob("*.f16")) == stored_bytes(TAPS, [s.network for s in sources])


def test_maps_beyond_half_precision_stay_finite():
    """bfloat16 reaches further than float16, and rounds the greatest float16 up."""
    source = Source((4, 4), np.zeros((4, 4), np.uint8))
    values = torch.tensor([1e30, -1e30, 65504.0, 1.0], dtype=torch.bfloat16)
    pixels = PixelSet((Tap("a", 1, 2),), [source])
    pixels.put(0, FeatureMaps([values.view(1, 1, 2, 2)], (4, 4)))
    found = pixels.features(torch.arange(16))
    assert found.isfinite().all() and found.max() == 65504 and found.min() == -65504


@pytest.mark.parametrize("minimum", [0, 1, 3])
def test_small_regions_are_dropped(minimum):
    target = np.array([[0, 0, 1, 1], [0, 2, 255, 1]], np.uint8)
    kept = drop_small_regions(target, minimum)
    assert (kept == 2).sum() == (1 if minimum <= 1 else 0)
    assert ((kept == target) | (target == 2)).all()
    assert drop_small_regions(target).tolist() == np.full((2, 4), 255).tolist()
