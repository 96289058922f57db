"""Losses, penalties and the probability of changes: by hand, or by another way of computing them."""

import math

import pytest
import torch
from torch import nn

from frugalseg.backbones.stylegan2.adaptive import INTERVAL, AdaptiveProbability
from frugalseg.backbones.stylegan2.augmentation.pipeline import NUMBERS, augmented
from frugalseg.backbones.stylegan2.losses import (
    discriminator_loss,
    generator_loss,
    laziness,
    path_lengths,
    r1_penalty,
)
from frugalseg.backbones.stylegan2.network.shape import GeneratorShape
from tests.backbones.stylegan2.layouts import small_discriminator, small_generator


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_losses_by_hand():
    real, drawn = torch.tensor([[0.5], [-1.0]]), torch.tensor([[2.0], [0.0]])
    expected = sum(math.log(1 + math.exp(-v)) for v in (2.0, 0.0)) / 2
    assert generator_loss(drawn).item() == pytest.approx(expected)
    expected = sum(math.log(1 + math.exp(v)) for v in (-0.5, 1.0, 2.0, 0.0)) / 2
    assert discriminator_loss(real, drawn).item() == pytest.approx(expected)


def test_r1_of_a_linear_judge_is_the_norm_of_its_weights():
    weights = normal(3, 4, 4).requires_grad_(True)
    penalty = r1_penalty(lambda images: (images * weights).sum(dim=(1, 2, 3))[:, None], normal(5, 3, 4, 4))
    assert penalty.item() == pytest.approx(weights.square().sum().item())
    (gradient,) = torch.autograd.grad(penalty, weights)
    torch.testing.assert_close(gradient, 2 * weights)


def test_r1_and_its_gradient_by_finite_differences():
    """In float64: the gradient of some pixels, the penalty of each image, and the gradient of the penalty."""
    judge, images = small_discriminator().double(), normal(1, 3, 16, 16).double() * 0.5
    weight, place, step = judge.b16.conv0.weight.requires_grad_(True), (1, 2, 0, 1), 1e-5
    penalty = r1_penalty(judge, images)
    (gradient,) = torch.autograd.grad(penalty, weight)
    own = images.clone().requires_grad_(True)
    (found,) = torch.autograd.grad(judge(own).sum(), own)
    assert penalty.item() == pytest.approx(found.square().sum().item())
    for pixel in ((0, 0, 3, 4), (0, 2, 15, 15), (0, 1, 8, 0)):
        assert found[pixel].item() == pytest.approx(slope(lambda x: judge(x).item(), images, pixel, step), rel=1e-4)
    expected = slope(lambda _: r1_penalty(judge, images).item(), weight.detach(), place, step)
    assert gradient[place].item() == pytest.approx(expected, rel=1e-3)


def slope(function, values, place, step):
    """The derivative of a function by one of the values, which are changed in place for it."""
    found = []
    for change in (step, -2 * step):
        values[place] += change
        found.append(function(values))
    values[place] += step
    return (found[0] - found[1]) / (2 * step)


def test_r1_goes_through_the_changes_of_images():
    weights, draws, images = normal(3, 8, 8), normal(1, NUMBERS), normal(1, 3, 8, 8)

    def judge(values):
        return (augmented(values, 1.0, draws) * weights).sum(dim=(1, 2, 3))[:, None]

    own = images.clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(judge(own).sum(), own)
    assert r1_penalty(judge, images).item() == pytest.approx(expected.square().sum().item(), rel=1e-5)
    assert expected.square().sum().item() != pytest.approx(weights.square().sum().item(), rel=0.01)


def test_path_lengths_against_the_jacobian():
    """The product of the noise and the Jacobian, from the Jacobian itself."""
    network = small_generator(shape=GeneratorShape((4,), 4, 4, 1, 4)).train()
    ws = network.mapping(normal(2, 4)).contiguous().requires_grad_(True)
    noise = normal(2, 3, 4, 4)
    found = path_lengths(network.synthesis(ws, None), ws, noise)
    for n in range(2):
        jacobian = torch.autograd.functional.jacobian(lambda w: network.synthesis(w[None], None)[0], ws[n].detach())
        product = torch.einsum("chw,chwnd->nd", noise[n] / 4, jacobian)
        assert found[n].item() == pytest.approx(product.square().sum(dim=1).mean().sqrt().item(), rel=1e-4)
    assert found.requires_grad


def test_laziness():
    assert laziness(4) == 4 / 5 and laziness(16) == 16 / 17 and laziness(None) == 1


def test_the_probability_follows_the_mean_sign():
    """Closed form: a batch of 10, of 1000 images until 1, moves p by 0.04 every four steps, and never below 0."""
    ada = AdaptiveProbability(0.6, 1000)
    found = []
    for sign in [1.0, 1, 1, 1, 1, 0.5, 0.5, 0.6, 0.0, 0, 0, 0, -1, -1, -1, -1]:
        ada.follow(torch.tensor(sign), 10)
        found.append(round(ada.probability, 6))
    assert found == [0] * 3 + [0.04] * 4 + [0.08] * 4 + [0.04] * 4 + [0]
    for _ in range(INTERVAL):
        ada.follow(torch.tensor(-1.0), 10)
    assert ada.probability == 0
    assert set(ada.state_dict()) == {"p", "signs", "steps"}


def test_a_target_of_one_never_changes_images():
    ada = AdaptiveProbability(1.0, 10)
    for _ in range(3 * INTERVAL):
        ada.follow(torch.ones([]), 100)
    assert ada.probability == 0
    assert isinstance(ada, nn.Module)
