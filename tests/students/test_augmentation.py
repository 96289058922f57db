"""Random changes are the same whatever number format the network runs in."""

import torch

from frugalseg.students.augmentation import Augmentation, augment


def test_autocast_does_not_coarsen_what_is_moved():
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(64).expand(2, 64, 64)
    expected = augment(images, targets, Augmentation(), torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        found = augment(images, targets, Augmentation(), torch.Generator().manual_seed(1))
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype and torch.equal(one, other)
