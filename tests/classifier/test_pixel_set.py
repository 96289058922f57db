import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalseg.classifier.pixel_set import PixelSet
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.map_store import MapStore
from frugalseg.features.taps import Tap

TAPS = (Tap("a", 3, 2), Tap("b", 5, 4), Tap("c", 1, 2))


def random_set(rng, count):
    """A filled store, its maps on the grids of the targets, and the targets."""
    networks = [(4 * int(rng.integers(1, 4)), 4 * int(rng.integers(1, 4))) for _ in range(count)]
    grids = [tuple(rng.integers(1, 30, 2)) for _ in range(count)]
    targets = [rng.choice(np.array([0, 1, 2, 255], np.uint8), grid) for grid in grids]
    maps = [
        FeatureMaps([torch.randn(1, t.channels, h // t.stride, w // t.stride) for t in TAPS], g)
        for (h, w), g in zip(networks, grids, strict=True)
    ]
    store = MapStore(TAPS, networks)
    for number, each in enumerate(maps):
        store.put(number, each)
    return store, maps, targets


def literal(maps, targets):
    """Features and labels of all labelled pixels, image by image."""
    vectors, labels = [], []
    for each, target in zip(maps, targets, strict=True):
        where = np.flatnonzero(target.ravel() != 255)
        vectors.append(each.to(torch.float16).at(torch.from_numpy(where)))
        labels.append(torch.from_numpy(target.ravel()[where]).long())
    return torch.cat(vectors), torch.cat(labels)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_features_equal_the_maps_at_the_labelled_pixels(seed):
    store, maps, targets = random_set(np.random.default_rng(seed), 3)
    pixels = PixelSet(store, targets)
    vectors, labels = literal(maps, targets)
    order = torch.randperm(len(pixels))
    torch.testing.assert_close(pixels.features(order), vectors[order], atol=1e-6, rtol=1e-6)
    assert torch.equal(pixels.labels, labels)
    counts = torch.tensor([int((target != 255).sum()) for target in targets])
    assert torch.equal(pixels.image.bincount(minlength=3), counts)


def test_one_store_serves_other_labels_taps_and_folds():
    store, maps, targets = random_set(np.random.default_rng(3), 4)
    fewer = [np.where(np.arange(target.size).reshape(target.shape) % 3, np.uint8(255), target) for target in targets]
    vectors, labels = literal(maps, fewer)
    pixels = PixelSet(store, fewer)
    torch.testing.assert_close(pixels.features(torch.arange(len(pixels))), vectors)
    assert torch.equal(pixels.labels, labels)

    fold = [3, 1]
    part = PixelSet(store.select(["b"]).subset(fold), [targets[i] for i in fold])
    vectors, labels = literal([maps[i] for i in fold], [targets[i] for i in fold])
    assert part.channels == (5,) and part.dim == 5 and torch.equal(part.labels, labels)
    torch.testing.assert_close(part.features(torch.arange(len(part))), vectors[:, 3:8])


def test_a_target_for_each_image():
    store, _, targets = random_set(np.random.default_rng(0), 2)
    with pytest.raises(ValueError, match="1 targets for the maps of 2 images"):
        PixelSet(store, targets[:1])


def test_features_are_the_same_however_many_are_interpolated_at_a_time(monkeypatch):
    store, _, targets = random_set(np.random.default_rng(0), 3)
    pixels = PixelSet(store, targets)
    order = torch.randperm(len(pixels))
    whole = pixels.features(order)
    monkeypatch.setattr("frugalseg.classifier.pixel_set.AT_ONCE", 7 * pixels.dim)
    assert torch.equal(pixels.features(order), whole)
    assert pixels.features(order[:0]).shape == (0, pixels.dim)
