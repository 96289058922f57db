"""Random changes keep shapes, and are the same whatever number format the network runs in."""

import math

import pytest
import torch

from frugalseg.students.augmentation import Augmentation, augment, random_affine


def test_autocast_does_not_coarsen_what_is_moved():
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(64).expand(2, 64, 64)
    expected = augment(images, targets, Augmentation(), torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        found = augment(images, targets, Augmentation(), torch.Generator().manual_seed(1))
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype and torch.equal(one, other)


@pytest.mark.parametrize(("height", "width"), [(48, 96), (96, 48), (64, 64)])
def test_a_turned_disk_stays_a_disk(height, width):
    """Also where the image is not square."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    inside = (rows + 0.5 - height / 2) ** 2 + (columns + 0.5 - width / 2) ** 2 < 20**2
    images, targets = inside.float().expand(4, 3, height, width), inside.long().expand(4, height, width)
    turn = Augmentation(scale=(1, 1), stretch=0, rotation=60, shift=0, flip=False, color=0)
    _, turned = augment(images, targets, turn, torch.Generator().manual_seed(0))
    edge = 2 * math.pi * 20  # a pixel at the edge may fall to either side
    assert (turned != targets).flatten(1).sum(1).max() < edge / 2


def test_an_image_is_turned_by_the_angle():
    """A bar across a wide image, turned by a quarter, stands upright and keeps its length."""
    targets = torch.zeros(1, 40, 80, dtype=torch.long)
    targets[:, 18:22, 30:50] = 1
    quarter = torch.tensor([[[0.0, -40 / 80, 0.0], [80 / 40, 0.0, 0.0]]])
    turn = Augmentation(scale=(1, 1), stretch=0, rotation=90, shift=0, flip=False, color=0)
    seeds = (torch.Generator().manual_seed(seed) for seed in range(10_000))
    generator = next(g for g in seeds if (random_affine(1, turn, g, 2.0) - quarter).abs().max() < 1e-2)
    generator.manual_seed(generator.initial_seed())
    _, turned = augment(targets[:, None].expand(1, 3, 40, 80).float(), targets, turn, generator)
    found = turned[0, :, 20:60].nonzero()  # what lies beyond is a mirror image
    assert (found.amax(0) - found.amin(0) + 1).tolist() == [20, 4]
