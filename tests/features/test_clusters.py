"""Clusters and components: a cluster and a color mean the same on all images, and follow the seed."""

import numpy as np
import torch

from frugalseg.features import clusters as module
from frugalseg.features.clusters import clusters, components, renumbered


def halves(number):
    """A map (4, 6, 8) whose upper rows, `number` of them, are of one value and the others of another, with noise."""
    noise = torch.rand(4, 6, 8, generator=torch.Generator().manual_seed(number)) / 10
    return torch.where(torch.arange(6)[:, None] < number, 3.0, -1.0) + noise


def test_what_is_alike_is_one_cluster_on_all_images(monkeypatch):
    maps = [halves(1), halves(2).half(), halves(1)[:, :4]]
    for most in (module.MOST_ROWS, 40):  # the second: found on a sample
        monkeypatch.setattr(module, "MOST_ROWS", most)
        found = clusters(maps, 2, seed=3)
        assert [each.shape for each in found] == [(6, 8), (6, 8), (4, 8)]
        for rows, each in zip((1, 2, 1), found, strict=True):
            assert (each[:rows] == 1).all() and (each[rows:] == 0).all()  # 0 is the larger one
    assert all(np.array_equal(a, b) for a, b in zip(clusters(maps, 2, 3), found, strict=True))


def test_values_that_are_all_alike_are_one_cluster():
    (found,) = clusters([torch.ones(3, 4, 4)], 5)
    assert (found == found[0, 0]).all()


def test_components_tell_the_halves_apart_on_all_images():
    first, second = components([halves(2), halves(4)])
    assert first.shape == (6, 8, 3) and first.dtype == np.uint8
    red = [int(np.median(part[..., 0])) for part in (first[:2], second[:4], first[2:], second[4:])]
    assert abs(red[0] - red[1]) < 30 and abs(red[2] - red[3]) < 30 and abs(red[0] - red[2]) > 150
    (narrow,) = components([torch.arange(8.0).view(2, 2, 2)])
    assert (narrow[..., 2] == 0).all() and narrow[..., 0].max() == 255


def test_clusters_take_the_numbers_of_those_that_they_cover():
    reference = [np.array([[0, 0, 1, 1], [2, 2, 2, 2]], np.uint8)]
    other = [np.array([[2, 2, 0, 0], [1, 1, 1, 0]], np.uint8)]
    (found,) = renumbered(other, reference, 3)
    assert found.tolist() == [[0, 0, 1, 1], [2, 2, 2, 1]]
