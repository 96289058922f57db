"""Views by matrix products against torchvision's operations on one image at a time."""

import math

import pytest
import torch
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as TF

from frugalseg.backbones.swav.crops import (
    NUMBERS,
    ViewKind,
    apply_separably,
    blur,
    distort_colours,
    hue_turn,
    random_views,
    resampling,
    resized,
    saturate,
    uniform_numbers,
)


def images(count=3, size=(24, 16)):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0))


def plain(**changes):
    return ViewKind(**{"count": 2, "size": (12, 8), "area": (0.2, 0.6), "colour": 0.0, "flip": False, **changes})


def numbers(**at):
    """Numbers of one view of one image: 0.99 leaves everything out that has a probability."""
    u = torch.full((1, 1, NUMBERS), 0.99)
    for index, value in at.items():
        u[..., int(index.removeprefix("n"))] = value
    return u


@pytest.mark.parametrize("size", [(12, 8), (9, 16), (30, 40), (24, 16)])
def test_resizing_is_torchvision_s(size):
    expected = TF.resize(images(), list(size), antialias=True)
    torch.testing.assert_close(resized(images(), size), expected, atol=1e-5, rtol=1e-5)


def test_a_piece_inside_is_what_a_larger_picture_shows():
    """A piece of half the side, resized to the whole's size, is the enlarged whole's middle, its border aside."""
    half, start = torch.full((3, 1), 0.5), torch.full((3, 1), 0.25)
    rows, columns = resampling(start, half, 24, 24), resampling(start, half, 16, 16)
    piece = apply_separably(rows, columns, images())[:, 0]
    expected = F.interpolate(images(), scale_factor=2, mode="bilinear")[:, :, 12:36, 8:24]
    torch.testing.assert_close(piece, expected, atol=1e-5, rtol=1e-5)


def test_views_show_the_asked_share_of_the_image():
    """In an image whose red is the height and green the width, a view's extent tells what it shows."""
    y, x = torch.linspace(0, 1, 64)[:, None].expand(64, 64), torch.linspace(0, 1, 64).expand(64, 64)
    ramp = torch.stack([y, x, x])[None].expand(200, -1, -1, -1)
    kind = plain(count=1, size=(16, 16), area=(0.2, 0.3))
    views = random_views(ramp, uniform_numbers(range(200), 1), kind)[0]
    tall = (views[:, 0, -1].mean(-1) - views[:, 0, 0].mean(-1)) * 16 / 15 * 63 / 64
    wide = (views[:, 1, :, -1].mean(-1) - views[:, 1, :, 0].mean(-1)) * 16 / 15 * 63 / 64
    inner = (views[:, 0].amin((1, 2)) > 0.03) & (views[:, 0].amax((1, 2)) < 0.97)
    inner &= (views[:, 1].amin((1, 2)) > 0.03) & (views[:, 1].amax((1, 2)) < 0.97)
    area, aspect = (tall * wide)[inner], (wide / tall)[inner]
    assert inner.sum() > 80
    assert 0.19 < area.min() < 0.21 and 0.29 < area.max() < 0.32
    assert 0.74 < aspect.min() < 0.8 and 1.25 < aspect.max() < 1.35


def test_a_view_depends_on_its_own_seed_alone():
    kind = plain(colour=1.0, flip=True)
    alone = random_views(images()[1:2], uniform_numbers([7], 2), kind)
    among = random_views(images(), uniform_numbers([3, 7, 5], 2), kind)
    assert alone.shape == (2, 1, 3, 12, 8)
    torch.testing.assert_close(alone, among[:, 1:2])
    assert not torch.allclose(alone[0], alone[1])
    assert not torch.allclose(among, random_views(images(), uniform_numbers([3, 8, 5], 2), kind), atol=1e-2)


def test_no_small_views():
    assert random_views(images(), uniform_numbers([1, 2, 3], 0), plain(count=0)).shape == (0, 3, 3, 12, 8)


def test_mirrored_views():
    kind = plain(count=1, area=(1.0, 1.0), size=(24, 16), flip=True)
    whole = images(1)
    shown = random_views(whole, numbers(n1=0.5), kind)[0]
    torch.testing.assert_close(shown, whole)
    torch.testing.assert_close(random_views(whole, numbers(n1=0.5, n4=0.2), kind)[0], whole.flip(-1))


def test_blur_is_torchvision_s():
    sigma = torch.tensor([1.2])
    rows, columns = blur(sigma, 24)[None], blur(sigma, 16)[None]
    ours = apply_separably(rows, columns, images(1))[0, 0]
    expected = TF.gaussian_blur(images(1)[0], [15, 15], [1.2, 1.2])
    torch.testing.assert_close(ours[:, 8:16, 7:9], expected[:, 8:16, 7:9], atol=1e-4, rtol=1e-3)
    assert torch.equal(blur(torch.zeros(1), 5)[0], torch.eye(5))


@pytest.mark.parametrize(
    ("number", "operation"), [(1, TF.adjust_brightness), (2, TF.adjust_contrast), (3, TF.adjust_saturation)]
)
@pytest.mark.parametrize("amount", [-0.5, 0.25])
def test_colours_are_torchvision_s(number, operation, amount):
    """Within the range: a small contrast of grey-ish colours is never cut off."""
    soft = 0.4 + 0.2 * images(1)
    u = torch.tensor([0.0, 0.5, 0.5, 0.5, 0.5, 0.9])
    u[number] = (amount + 1) / 2
    expected = operation(soft[0], 1 + 0.8 * amount)
    torch.testing.assert_close(distort_colours(soft, u[None], 1.0)[0], expected, atol=1e-3, rtol=1e-3)


def test_grey_and_untouched_colours():
    u = torch.tensor([[0.9, 0.1, 0.1, 0.1, 0.1, 0.1]])
    grey = distort_colours(images(1), u, 1.0)[0]
    torch.testing.assert_close(grey, TF.rgb_to_grayscale(images(1)[0], 3), atol=1e-3, rtol=1e-3)
    u[0, 5] = 0.9
    torch.testing.assert_close(distort_colours(images(1), u, 1.0), images(1))
    torch.testing.assert_close(distort_colours(images(1), torch.zeros(1, 6), 0.0), images(1))


def test_hue_turns_red_to_green_and_keeps_grey():
    third = hue_turn(torch.tensor(2 * math.pi / 3))
    torch.testing.assert_close(third @ torch.eye(3)[0], torch.eye(3)[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(third @ torch.ones(3), torch.ones(3))
    torch.testing.assert_close(saturate(torch.tensor(1.0)), torch.eye(3))
