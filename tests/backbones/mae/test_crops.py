"""Random windows: where they are, and that cutting and resizing is what torch does with a crop."""

import pytest
import torch
from torch.nn import functional

from frugalseg.backbones.mae.crops import cut, random_windows

WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.float64)


def images(height=24, width=16):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(12, 8), (7, 5), (24, 16), (40, 33)])
def test_the_whole_image_is_resized_as_torch_does(size):
    expected = functional.interpolate(images(), size=size, mode="bicubic", antialias=True).clamp(0, 1)
    torch.testing.assert_close(cut(images(), WHOLE, size), expected, atol=2e-5, rtol=0)


def test_a_window_is_what_lies_in_it():
    """Away from the window's border, where a crop by slicing lacks the neighbours."""
    window = torch.tensor([[4 / 24, 3 / 16, 12 / 24, 10 / 16]], dtype=torch.float64)
    expected = images()[:, :, 4:16, 3:13]
    torch.testing.assert_close(cut(images(), window, (12, 10)), expected, atol=1e-6, rtol=0)
    half = functional.interpolate(expected, size=(6, 5), mode="bicubic", antialias=True).clamp(0, 1)
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    torch.testing.assert_close(cut(images(), window, (6, 5))[inner], half[inner], atol=2e-5, rtol=0)


def test_each_image_has_its_own_window():
    windows = random_windows([1, 2], 0.2)
    both = cut(images().expand(2, -1, -1, -1), windows, (6, 4))
    assert torch.equal(both[1:], cut(images(), windows[1:], (6, 4)))
    assert not torch.equal(both[0], both[1])


def test_windows_lie_inside_and_have_the_areas_asked_for():
    windows = random_windows(range(2000), 0.2)
    top, left, height, width = windows.unbind(1)
    assert windows.min() >= 0 and (top + height).max() <= 1 + 1e-12 and (left + width).max() <= 1 + 1e-12
    area, stretch = height * width, width / height
    assert area.min() > 0.2 and area.max() < 1 and abs(area.mean() - 0.6) < 0.02
    assert stretch.min() > 0.74 and stretch.max() < 1.35 and abs(stretch.log().mean()) < 0.01
    assert torch.equal(random_windows([7, 8], 0.2)[1], random_windows([8], 0.2)[0])


def test_whole_images_stay_whole():
    torch.testing.assert_close(random_windows([3], 1.0), WHOLE)
