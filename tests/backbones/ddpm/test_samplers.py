"""Sampling: explicit randomness, few steps, networks with a learned variance."""

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from frugalseg.backbones import load_backbone
from frugalseg.backbones.ddpm.backbone import DDPMBackbone
from frugalseg.backbones.ddpm.denoiser import Denoiser, noised_and_denoised
from frugalseg.backbones.ddpm.samplers import sample
from frugalseg.backbones.ddpm.settings import SAMPLERS, DDPMGeneration, DDPMOptions
from frugalseg.backbones.ddpm.timesteps import (
    SIGNALS,
    choose_timesteps,
    evenly_falling,
    noisiest_known_step,
    step_of_signal,
)
from frugalseg.support.errors import InputError


class ExactDenoiser(nn.Module):
    """The best possible network for images that are all the same one: it knows x0, so its noise estimate is exact."""

    def __init__(self, x_0: Tensor, abar: Tensor, prediction: str, variance_channels: bool = False) -> None:
        super().__init__()
        self.x_0 = nn.Parameter(x_0)
        self.abar, self.prediction, self.variance_channels = abar, prediction, variance_channels
        channels = 6 if variance_channels else 3
        self.config = SimpleNamespace(sample_size=tuple(x_0.shape[1:]), in_channels=3, out_channels=channels)

    def forward(self, x_t: Tensor, t: Tensor) -> Any:
        abar = self.abar[t].view(-1, 1, 1, 1)
        eps = (x_t - abar.sqrt() * self.x_0) / (1 - abar).sqrt()
        output = {"epsilon": eps, "v_prediction": abar.sqrt() * eps - (1 - abar).sqrt() * self.x_0}[self.prediction]
        if self.variance_channels:
            output = torch.cat([output, torch.zeros_like(output)], dim=1)
        return SimpleNamespace(sample=output)


def exact_denoiser(beta_schedule: str, prediction: str = "epsilon", learned: bool = False) -> tuple[Denoiser, Tensor]:
    from diffusers import DDPMScheduler

    x_0 = torch.rand(3, 8, 12, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    scheduler = DDPMScheduler(
        1000,
        beta_schedule=beta_schedule,
        prediction_type=prediction,
        variance_type="learned_range" if learned else "fixed_small",
    )
    return Denoiser(ExactDenoiser(x_0, scheduler.alphas_cumprod, prediction, learned), scheduler), (x_0 + 1) / 2


def denoiser_in(folder: Path) -> Denoiser:
    backbone = DDPMBackbone.from_checkpoint(folder, DDPMOptions())
    return Denoiser(backbone.unet, backbone.scheduler)


@pytest.mark.parametrize("schedule", ["linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("method", SAMPLERS)
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_an_exact_network_gives_its_image(schedule: str, method: Any, learned: bool, prediction: str) -> None:
    denoise, image = exact_denoiser(schedule, prediction, learned=learned)
    samples = sample(denoise, [1, 2, 3], steps=20, method=method, batch_size=2)
    assert samples.shape == (3, 3, 8, 12)
    torch.testing.assert_close(samples, image.expand(3, -1, -1, -1), atol=1e-4, rtol=0)


# What the version before the samplers became functions drew for the seeds 3, 4 and 5 in 7 steps, every 457th value.
DRAWN = {
    "dpmsolver++": [0.2298, 0.9209, 0.2593, 0.9917, 0.0018, 0.0],
    "sde-dpmsolver++": [0.0, 0.0, 0.6031, 0.7505, 1.0, 0.9533],
    "ddim": [0.244, 0.9348, 0.237, 0.9906, 0.0053, 0.0],
    "unipc": [0.2283, 0.9193, 0.2612, 0.9919, 0.0016, 0.0],
    "ddpm": [0.0, 0.1823, 0.1688, 0.0037, 0.9976, 0.6552],
}


@pytest.mark.parametrize("method", SAMPLERS)
def test_images_are_those_of_earlier_versions(tiny_ddpm: Path, method: Any) -> None:
    denoise = denoiser_in(tiny_ddpm)
    found = sample(denoise, [3, 4, 5], steps=7, method=method).flatten()[::457]
    torch.testing.assert_close(found, torch.tensor(DRAWN[method]), atol=2e-3, rtol=0)


class GaussianDenoiser(ExactDenoiser):
    """The best possible network for images of independent N(mean, 0.2^2) pixels."""

    def forward(self, x_t: Tensor, t: Tensor) -> Any:
        abar = self.abar[t].view(-1, 1, 1, 1)
        variance = abar * 0.04 + 1 - abar
        eps = (1 - abar).sqrt() * (x_t - abar.sqrt() * self.x_0) / variance
        return SimpleNamespace(
            sample=torch.cat([eps, torch.full_like(eps, self.says)], 1)[:, : self.config.out_channels]
        )

    says = 0.0


@pytest.mark.parametrize(
    ("method", "steps"),
    [("dpmsolver++", 50), ("sde-dpmsolver++", 50), ("unipc", 50), ("ddim", 100), ("ddpm", None)],
)
def test_samples_have_the_spread_of_the_images(method: Any, steps: int | None) -> None:
    """A sampler that only finds the mean would pass the test above."""
    exact, _ = exact_denoiser("squaredcos_cap_v2")
    network = GaussianDenoiser(torch.zeros(3, 8, 12), exact.scheduler.alphas_cumprod, "epsilon")
    samples = sample(Denoiser(network, exact.scheduler), range(40), steps=steps, method=method) * 2 - 1
    assert samples.mean().abs() < 0.01
    assert 0.19 < samples.std() < 0.21


@pytest.mark.parametrize("says", [-1.0, 1.0])
def test_ancestral_sampling_draws_with_the_learned_variance(says: float) -> None:
    """Published files bring no schedule of their own: the six channels alone say that the variance is learned. -1 and 1
    stand for its bounds, the posterior variance and beta (Nichol & Dhariwal 2021, eq. 15)."""
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(1000, clip_sample=False)
    network = GaussianDenoiser(torch.zeros(3, 32, 32), scheduler.alphas_cumprod, "epsilon", variance_channels=True)
    network.says = says
    t, previous = 600, 300
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    sample(Denoiser(network, scheduler), range(8), steps=2, first=t, method="ddpm")
    abar, before = scheduler.alphas_cumprod[[t, previous]].double()
    beta = 1 - abar / before
    bounds = {-1.0: beta * (1 - before) / (1 - abar), 1.0: beta}
    x_0 = abar.sqrt() * 0.04 / (abar * 0.04 + 1 - abar) * seen[0]
    mean = before.sqrt() * beta / (1 - abar) * x_0 + (abar / before).sqrt() * (1 - before) / (1 - abar) * seen[0]
    assert float((seen[1] - mean).var()) == pytest.approx(float(bounds[says]), rel=0.03)


def test_the_last_step_adds_no_noise() -> None:
    """Also where it is not step 0, and the network's variance is as large as it can be."""
    denoise, image = exact_denoiser("linear", learned=True)
    samples = sample(denoise, [0], steps=2, first=600, method="ddpm")
    torch.testing.assert_close(samples, image[None], atol=1e-4, rtol=0)


def test_all_steps_of_ddpm_are_the_published_ones() -> None:
    denoise, _ = exact_denoiser("linear")
    assert choose_timesteps(denoise, "ddpm", None, None) == list(range(999, -1, -1))
    assert len(choose_timesteps(denoise, "dpmsolver++", None, None)) == 25


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_one_step_estimates_invert_the_noising(prediction: str) -> None:
    denoise, image = exact_denoiser("squaredcos_cap_v2", prediction, learned=True)
    noisy, clean = noised_and_denoised(denoise, image[None], torch.tensor([50, 400]), torch.Generator().manual_seed(0))
    torch.testing.assert_close(clean, image.expand(2, 1, -1, -1, -1), atol=1e-4, rtol=0)
    abar = denoise.scheduler.alphas_cumprod[[50, 400]]
    noise = torch.randn(image[None].shape, generator=torch.Generator().manual_seed(0))
    expected = (
        abar[:, None, None, None, None].sqrt() * (image * 2 - 1) + (1 - abar)[:, None, None, None, None].sqrt() * noise
    )
    torch.testing.assert_close(noisy, expected)


@pytest.mark.parametrize("method", SAMPLERS)
def test_samples_follow_their_seeds_not_their_company(tiny_ddpm: Path, method: Any) -> None:
    denoise, how = denoiser_in(tiny_ddpm), {"steps": 3, "method": method, "first": 900}
    first, again = (sample(denoise, [7, 8, 9, 10, 11], batch_size=size, **how) for size in (2, 5))
    torch.testing.assert_close(first, again, atol=1e-4, rtol=0)
    alone = sample(denoise, [10], **how)
    torch.testing.assert_close(first[3:4], alone, atol=1e-4, rtol=0)
    other = sample(denoise, [12], **how)
    assert all(not torch.allclose(image, other[0], atol=0.01) for image in first)
    assert first.min() >= 0 and first.max() <= 1


def test_a_backbone_generates_in_the_precision_asked_for(tiny_ddpm: Path) -> None:
    backbone = DDPMBackbone.from_checkpoint(tiny_ddpm, DDPMOptions())
    exact, rough = (backbone.generator(DDPMGeneration(sampling_steps=3, precision=p)) for p in (None, "bf16"))
    assert exact.settings() == {
        "sampler": "sde-dpmsolver++",
        "sampling_steps": 3,
        "first_step": noisiest_known_step(exact.denoise),
        "precision": "fp32",
        "size": [16, 16],
    }
    assert exact.size == (16, 16) and next(backbone.unet.parameters()).dtype == torch.float32
    a, b = exact.draw([1, 2]).images, rough.draw([1, 2]).images
    assert a.dtype == b.dtype == torch.float32
    assert 0 < (a - b).abs().mean() < 0.02
    torch.testing.assert_close(a, sample(denoiser_in(tiny_ddpm), [1, 2], steps=3), atol=1e-3, rtol=0)


def test_families_without_a_generator_name_those_that_have_one() -> None:
    with pytest.raises(InputError, match=r"a colour backbone cannot generate images; those of the .*ddpm"):
        load_backbone("colour").generator(None)


def test_other_sizes_than_the_training_size(tiny_ddpm: Path) -> None:
    denoise = denoiser_in(tiny_ddpm)
    assert denoise.size == (16, 16)
    assert sample(denoise, [1], steps=1, size=(8, 24)).shape == (1, 3, 8, 24)


def test_what_no_sampler_can_do_is_refused(tiny_ddpm: Path) -> None:
    with pytest.raises(InputError, match=r"known: dpmsolver\+\+, sde-dpmsolver\+\+, ddim, unipc, ddpm"):
        sample(denoiser_in(tiny_ddpm), [1], method="euler")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="0 to 999"):
        sample(denoiser_in(tiny_ddpm), [1], first=1000)


@given(st.integers(0, 999), st.integers(1, 1000))
def test_timesteps_fall_evenly(first: int, steps: int) -> None:
    timesteps = evenly_falling(first, steps)
    assert timesteps[0] == first and len(timesteps) <= steps and timesteps == sorted(set(timesteps), reverse=True)
    assert steps > first or max(a - b for a, b in pairwise([*timesteps, 0])) <= first / steps + 1


class MistakenDenoiser(ExactDenoiser):
    """Knows the noise up to a constant mistake, which the estimate of x0 divides by the signal."""

    mistake = 0.0

    def forward(self, x_t: Tensor, t: Tensor) -> Any:
        return SimpleNamespace(sample=super().forward(x_t, t).sample + self.mistake)


@pytest.mark.parametrize("mistake", [0.0, 0.005, 0.025, 0.09, 0.25, 0.5])
@pytest.mark.parametrize("schedule", ["linear", "squaredcos_cap_v2"])
def test_sampling_begins_where_mistakes_stay_small(schedule: str, mistake: float) -> None:
    exact, _ = exact_denoiser(schedule)
    network = MistakenDenoiser(torch.zeros(3, 8, 12), exact.scheduler.alphas_cumprod, "epsilon")
    network.mistake = mistake
    denoise = Denoiser(network, exact.scheduler)
    amplified = [(signal, mistake * (1 - signal**2) ** 0.5 / signal) for signal in SIGNALS]
    first = next((signal for signal, error in amplified if error <= 1), SIGNALS[-1])
    assert noisiest_known_step(denoise) == step_of_signal(denoise, first)
    assert choose_timesteps(denoise, "sde-dpmsolver++", None, None)[0] == step_of_signal(denoise, first)
    assert choose_timesteps(denoise, "ddpm", None, None)[0] == 999


def test_the_noisiest_steps_are_known_by_their_signal() -> None:
    linear, cosine = exact_denoiser("linear")[0], exact_denoiser("squaredcos_cap_v2")[0]
    assert step_of_signal(linear, 0.006) == 999 and 980 < step_of_signal(cosine, 0.006) < 999
    abar = cosine.scheduler.alphas_cumprod
    assert abar[step_of_signal(cosine, 0.1)] >= 0.01 > abar[step_of_signal(cosine, 0.1) + 1]
