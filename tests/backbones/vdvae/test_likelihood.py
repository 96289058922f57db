"""What is minimised: the mixture of logistic distributions against sums by hand, divergences against torch's."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from frugalseg.backbones.vdvae.gaussian import Gaussian, divergence
from frugalseg.backbones.vdvae.logistic import Mixture, log_masses
from frugalseg.backbones.vdvae.pixels import Pixels

EIGHT, FIVE = Pixels(120.0, 60.0), Pixels(120.0, 60.0, bits=5)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def every_value() -> torch.Tensor:
    """(256,): what a color of a pixel can be."""
    pixels = torch.arange(256, dtype=torch.uint8)
    return EIGHT.targets(pixels[:, None, None, None])[:, 0, 0, 0]


def test_the_masses_of_all_values_sum_to_one() -> None:
    """Also of wide distributions, whose tails belong to the first and the last value, and of means beyond them."""
    means = torch.tensor([0.0, 0.3, -1.2, 0.9, 3.0])
    log_scales = torch.tensor([-3.0, -1.0, 0.0, 1.0, -2.0])
    masses = log_masses(every_value()[:, None].double(), means.double(), log_scales.double(), EIGHT.half_bin).exp()
    torch.testing.assert_close(masses.sum(0), torch.ones(5, dtype=torch.float64), rtol=2e-4, atol=0)


def test_what_blue_may_be_sums_to_what_red_and_green_are() -> None:
    """Brute force over the 256 values of blue: p(red, green, blue) sums to p(red, green), blue's own mean or not."""
    parameters = normal(1, 30, 1, 1)
    pixels = torch.tensor([40, 130, 0], dtype=torch.uint8).repeat(256, 1)
    pixels[:, 2] = torch.arange(256, dtype=torch.uint8)
    whole = Mixture.of(parameters.expand(256, -1, -1, -1)).loss(EIGHT.targets(pixels[..., None, None]), EIGHT)
    expected = by_hand(parameters[0, :, 0, 0], pixels[0], levels=255, colors=2)
    assert float((-3 * whole.double()).exp().sum()) == pytest.approx(expected, rel=2e-4)


def by_hand(parameters: torch.Tensor, pixel: torch.Tensor, levels: int, colors: int = 3) -> float:
    """The likelihood of the first colors of one pixel from the parts' distribution functions, number by number."""
    count = len(parameters) // 10
    values = [(float(p) - 127.5) / 127.5 for p in pixel]
    logits = [float(v) for v in parameters[:count]]
    total = 0.0
    for k in range(count):
        share = math.exp(logits[k]) / sum(map(math.exp, logits))
        for c in range(colors):
            own = parameters[count + 3 * count * c :]
            mean, log_scale = float(own[k]), max(float(own[count + k]), -7.0)
            mix = [math.tanh(float(parameters[count + 3 * count * j + 2 * count + k])) for j in range(3)]
            mean += [0.0, mix[0] * values[0], mix[1] * values[0] + mix[2] * values[1]][c]
            low = -math.inf if pixel[c] == 0 else values[c] - 1 / levels
            high = math.inf if pixel[c] == 255 else values[c] + 1 / levels
            share *= cumulative(high, mean, log_scale) - cumulative(low, mean, log_scale)
        total += share
    return total


def cumulative(value: float, mean: float, log_scale: float) -> float:
    return 1 / (1 + math.exp(-max(min((value - mean) / math.exp(log_scale), 700), -700)))


@pytest.mark.parametrize(("pixels", "levels"), [(EIGHT, 255), (FIVE, 31)])
def test_the_likelihood_is_that_of_the_definition(pixels: Pixels, levels: int) -> None:
    parameters = 0.5 * normal(1, 40, 1, 4)
    image = torch.tensor([[[[0, 16, 128, 255]], [[255, 120, 8, 0]], [[64, 136, 80, 248]]]], dtype=torch.uint8)
    if pixels.bits == 5:
        image = image // 8 * 8
    expected = [by_hand(parameters[0, :, 0, i], image[0, :, 0, i], levels) for i in range(4)]
    found = Mixture.of(parameters).loss(pixels.targets(image), pixels)
    assert float(found) == pytest.approx(-sum(map(math.log, expected)) / 12, rel=1e-4)


def test_five_bits_leave_the_lowest_three_out() -> None:
    image = torch.arange(256, dtype=torch.uint8)[None, None, None]
    assert len(FIVE.targets(image).unique()) == 32 and len(EIGHT.targets(image).unique()) == 256
    assert torch.equal(FIVE.targets(image), EIGHT.targets(image // 8 * 8))


def test_gradients_are_finite_where_a_bin_is_all_but_empty() -> None:
    parameters = torch.tensor([0.0, *[5.0, -9.0, 0.0] * 3])[None, :, None, None].requires_grad_()
    targets = EIGHT.targets(torch.tensor([10, 0, 255], dtype=torch.uint8)[None, :, None, None])
    Mixture.of(parameters).loss(targets, EIGHT).sum().backward()
    assert parameters.grad is not None and parameters.grad.isfinite().all()


def test_samples_follow_the_distribution() -> None:
    """Means and spread of many draws of one pixel whose colors hang together; the most likely pixel is the middle."""
    parameters = torch.zeros(1, 20, 1, 1)
    parameters[0, :2, 0, 0] = torch.tensor([8.0, -8.0])
    colors = [[0.1, 0, -4, 0, 1, 0], [0.2, 0, -4, 0, -1, 0], [0, 0, -4, 0, 0.5, 0]]  # for the first and the second part
    parameters[0, 2:, 0, 0] = torch.tensor(colors).flatten()
    count = 20_000
    uniform = torch.rand(count, 5, 1, 1, generator=torch.Generator().manual_seed(0))
    mixture = Mixture.of(parameters)
    drawn = Mixture.of(parameters.expand(count, -1, -1, -1)).sample(uniform)[:, :, 0, 0]
    middle = mixture.most_likely()[0, :, 0, 0]
    red, green = 0.1, 0.2 + math.tanh(1) * 0.1
    torch.testing.assert_close(middle, torch.tensor([red, green, math.tanh(-1) * red + math.tanh(0.5) * green]))
    torch.testing.assert_close(drawn.mean(0), middle, atol=2e-3, rtol=0)
    assert float(drawn[:, 0].std()) == pytest.approx(math.exp(-4) * math.pi / 3**0.5, rel=0.05)


def test_divergences_are_those_of_torch() -> None:
    ours = [Gaussian(normal(2, 3, 4, 4, seed=seed), 0.5 * normal(2, 3, 4, 4, seed=seed + 9)) for seed in (1, 2)]
    theirs = [Normal(each.mean, each.log_std.exp()) for each in ours]
    torch.testing.assert_close(divergence(*ours), kl_divergence(*theirs), atol=1e-5, rtol=1e-5)
    assert divergence(ours[0], ours[0]).abs().max() < 1e-6


def test_temperature_scales_the_deviation() -> None:
    noise, chosen = normal(2, 3, 4, 4), Gaussian(normal(2, 3, 4, 4, seed=1), normal(2, 3, 4, 4, seed=2))
    torch.testing.assert_close(chosen.sample(noise, 0.5), chosen.mean + 0.5 * chosen.log_std.exp() * noise)
