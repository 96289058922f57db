"""Random changes of images: each against torchvision's own, or by hand."""

import math

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as vision

from frugalseg.backbones.stylegan2.augmentation import geometry
from frugalseg.backbones.stylegan2.augmentation.blit import moved
from frugalseg.backbones.stylegan2.augmentation.color import color_change, recolored
from frugalseg.backbones.stylegan2.augmentation.dice import Dice
from frugalseg.backbones.stylegan2.augmentation.pipeline import NUMBERS, augmented


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def numbers(*values, count=1):
    """(count,) float64 tensors."""
    return [torch.full((count,), float(value), dtype=torch.float64) for value in values]


def smooth(side=32):
    """Waves, of which no pixel is far from its neighbours; float32 (2, 3, side, side) in [-1, 1]."""
    place = torch.arange(side) / side
    waves = [torch.sin(math.pi * (1 + n / 2) * place + n) for n in range(6)]
    pairs = [row[:, None] * column for row, column in zip(waves, waves[::-1], strict=True)]
    return torch.stack(pairs).view(2, 3, side, side)


def test_mirroring_and_quarter_turns_are_those_of_torchvision():
    images = normal(8, 3, 5, 5)
    mirrors, quarters = torch.arange(8) % 2, torch.arange(8) // 2
    found = moved(images, mirrors, quarters, *numbers(0, 0, count=8))
    for n in range(8):
        expected = vision.hflip(images[n]) if mirrors[n] else images[n]
        assert torch.equal(found[n], vision.rotate(expected, 90.0 * int(quarters[n])))


@pytest.mark.parametrize(("down", "right"), [(2, 0), (-3, 1), (9, -12)])
def test_shifts_bring_in_mirrored_pixels(down, right):
    images, zero = normal(1, 3, 6, 6), torch.zeros(1)
    found = moved(images, zero, zero, *numbers(down, right))
    padded = images
    for _ in range(3):
        padded = torch.nn.functional.pad(padded, [5] * 4, mode="reflect")
    assert torch.equal(found, padded[:, :, 15 - down : 21 - down, 15 - right : 21 - right])


def test_doubling_and_halving_give_the_image_back():
    images = normal(2, 3, 7, 9)
    torch.testing.assert_close(geometry.halved(geometry.doubled(images)), images, atol=1e-5, rtol=0)
    square = images[..., :7]
    same = geometry.resampled(square, torch.eye(3).double().expand(2, 3, 3))
    torch.testing.assert_close(same, square, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("angle", "scale", "right", "down"), [(0, 1, 3, -2), (90, 1, 0, 0), (30, 1, 0, 0), (-20, 1.2, 1, 2), (0, 0.8, 0, 0)]
)
def test_turns_scales_and_shifts_are_those_of_torchvision(angle, scale, right, down):
    """torchvision turns with the clock, and interpolates without doubling first."""
    images = smooth()
    inverse = geometry.scaling(*numbers(1 / scale, 1 / scale)) @ geometry.rotation(*numbers(-math.radians(angle)))
    inverse = inverse @ geometry.translation(*numbers(-right, -down))
    found = geometry.resampled(images, inverse.expand(2, 3, 3))
    expected = vision.affine(images, angle, [right, down], scale, [0.0, 0.0], InterpolationMode.BILINEAR)
    inside = (..., slice(9, 23), slice(9, 23))
    assert (found - expected)[inside].abs().max() < 0.02
    assert (found - images)[inside].abs().max() > 0.3


def test_a_stretch_is_along_one_axis():
    images = smooth()
    found = geometry.resampled(images, geometry.scaling(*numbers(0.5, 1, count=2)))
    wide = torch.nn.functional.interpolate(images, size=(32, 64), mode="bilinear")[..., 16:48]
    assert (found - wide)[..., 4:28].abs().max() < 0.02


def test_images_are_mirrored_beyond_their_borders():
    images = torch.linspace(-1, 1, 16).expand(1, 3, 16, 16).contiguous()
    found = geometry.resampled(images, geometry.translation(*numbers(-6, 0)))
    torch.testing.assert_close(found[0, 0, 8, 6:], images[0, 0, 8, :10], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[0, 0, 8, :6], images[0, 0, 8, 1:7].flip(0), atol=1e-4, rtol=0)


def test_sampling_can_be_differentiated_twice():
    images = normal(1, 1, 4, 4).double().requires_grad_(True)
    x, y = torch.rand(2, 1, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3

    def squared(values):
        return geometry.interpolated(values, x, y).square()

    assert torch.autograd.gradcheck(squared, images) and torch.autograd.gradgradcheck(squared, images)


def test_colors_by_hand():
    """Grey stays grey under hue and saturation; a third of the hue's circle is torchvision's, from red to green."""
    red, grey = torch.tensor([1.0, 0, 0]).double(), torch.full((3,), 0.3).double()
    third = color_change(*numbers(1, 0, 2 * math.pi / 3, 1))[0]
    assert torch.allclose(third @ red, torch.tensor([0.0, 1, 0]).double())
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = vision.adjust_hue(images, 1 / 3)
    torch.testing.assert_close(torch.einsum("ij,bjhw->bihw", third.float(), images), expected, atol=1e-5, rtol=0)
    flat = color_change(*numbers(1, 0, 0, 0))[0]
    assert torch.allclose(flat @ red, torch.full((3,), 1 / 3).double())
    for change in (third, flat, color_change(*numbers(1, 0, 1.0, 3.0))[0]):
        assert torch.allclose(change @ grey, grey)
    flipped = color_change(*numbers(1, 1, 0, 1))[0]
    assert torch.allclose(flipped @ grey, -grey)
    assert torch.allclose(flipped @ (red - 1 / 3), red - 1 / 3)
    light = vision.invert(torch.full((3, 1, 1), 0.65)) * 2 - 1
    assert torch.allclose(flipped.float() @ torch.full((3, 1), 0.3), light.flatten(1))
    assert torch.allclose(color_change(*numbers(1.5, 0, 0, 1))[0] @ red, 1.5 * red)


class Fixed(Dice):
    """Gives what is listed, one number after another."""

    def normal(self, deviation):
        return next(self.columns)

    def uniform(self, low, high):
        return next(self.columns)

    def choice(self, count):
        return next(self.columns)

    def happens(self, p):
        return next(self.columns) > 0


def test_brightness_is_added_before_the_contrast():
    images = normal(1, 3, 2, 2)
    dice = Fixed(torch.tensor([[1.0, 0.25, 1, 1, 0, 0, 0, 0, 0, 0]]))
    torch.testing.assert_close(recolored(images, dice, 1.0), 2 * (images + 0.25))


def test_dice():
    dice = Dice(normal(4000, 5))
    low, high = dice.uniform(-2, 3).aminmax()
    assert -2 <= low < -1.9 and 2.9 < high <= 3
    quarters = dice.choice(4)
    assert sorted(quarters.unique().tolist()) == [0, 1, 2, 3]
    assert all(900 < (quarters == n).sum() < 1100 for n in range(4))
    assert dice.normal(0.5).std().item() == pytest.approx(0.5, rel=0.05)
    assert dice.happens(0.3).double().mean().item() == pytest.approx(0.3, abs=0.03)
    assert dice.happens(1.5).all()


def test_all_changes_follow_their_numbers_and_p():
    images = smooth(16)
    draws = normal(2, NUMBERS)
    assert augmented(images, 0.0, draws) is images
    found = augmented(images, 1.0, draws)
    assert found.shape == images.shape and found.dtype == torch.float32
    assert ((found - images).flatten(1).std(dim=1) > 0.1).all()
    torch.testing.assert_close(found[1:], augmented(images[1:], 1.0, draws[1:]), atol=1e-5, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augmented(images, 1.0, draws), found)
    with pytest.raises(StopIteration):
        augmented(images, 1.0, draws[:, :-1])


def test_images_that_nothing_happens_to_stay_as_they_are():
    """At a small p most of a batch is not changed, while the others are."""
    images = smooth(16).repeat(20, 1, 1, 1)
    found = augmented(images, 0.02, normal(40, NUMBERS))
    changed = (found - images).abs().amax(dim=(1, 2, 3)) > 1e-4
    assert 2 < changed.sum() < 20
