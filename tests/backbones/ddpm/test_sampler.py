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

from frugalseg.backbones.ddpm.sampler import Sampler, spread
from frugalseg.errors import InputError


class ExactDenoiser(nn.Module):
    """The best possible network for images that are all the same one: it knows x0, so its noise estimate is exact."""

    def __init__(self, x_0: Tensor, abar: Tensor, prediction: str, variance_channels: bool = False) -> None:
        super().__init__()
        self.x_0 = nn.Parameter(x_0)
        self.abar, self.prediction, self.variance_channels = abar, prediction, variance_channels
        self.config = SimpleNamespace(sample_size=tuple(x_0.shape[1:]), in_channels=3)

    def forward(self, x_t: Tensor, t: Tensor) -> Any:
        abar = self.abar[t].view(-1, 1, 1, 1)
        eps = (x_t - abar.sqrt() * self.x_0) / (1 - abar).sqrt()
        output = {"epsilon": eps, "v_prediction": abar.sqrt() * eps - (1 - abar).sqrt() * self.x_0}[self.prediction]
        if self.variance_channels:
            output = torch.cat([output, torch.zeros_like(output)], dim=1)
        return SimpleNamespace(sample=output)


def exact_sampler(beta_schedule: str, prediction: str = "epsilon", learned: bool = False) -> tuple[Sampler, Tensor]:
    from diffusers import DDPMScheduler

    x_0 = torch.rand(3, 8, 12, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    scheduler = DDPMScheduler(
        1000,
        beta_schedule=beta_schedule,
        prediction_type=prediction,
        variance_type="learned_range" if learned else "fixed_small",
    )
    return Sampler(ExactDenoiser(x_0, scheduler.alphas_cumprod, prediction, learned), scheduler), (x_0 + 1) / 2


@pytest.mark.parametrize("schedule", ["linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("method", ["ddim", "dpm", "ddpm"])
@pytest.mark.parametrize("learned", [False, True])
def test_an_exact_network_gives_its_image(schedule: str, method: Any, learned: bool) -> None:
    sampler, image = exact_sampler(schedule, learned=learned)
    samples = sampler.sample(3, torch.Generator().manual_seed(1), steps=20, method=method, batch_size=2)
    assert samples.shape == (3, 3, 8, 12)
    torch.testing.assert_close(samples, image.expand(3, -1, -1, -1), atol=0.02, rtol=0)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_one_step_estimates_invert_the_noising(prediction: str) -> None:
    sampler, image = exact_sampler("squaredcos_cap_v2", prediction, learned=True)
    noisy, clean = sampler.noised(image[None], torch.tensor([50, 400]), torch.Generator().manual_seed(0))
    torch.testing.assert_close(clean, image.expand(2, 1, -1, -1, -1), atol=1e-4, rtol=0)
    abar = sampler.scheduler.alphas_cumprod[[50, 400]]
    noise = torch.randn(image[None].shape, generator=torch.Generator().manual_seed(0))
    expected = (
        abar[:, None, None, None, None].sqrt() * (image * 2 - 1) + (1 - abar)[:, None, None, None, None].sqrt() * noise
    )
    torch.testing.assert_close(noisy, expected)


def test_samples_follow_the_generator_not_the_batching(tiny_ddpm: Path) -> None:
    sampler = Sampler.from_folder(tiny_ddpm)
    first, again = (sampler.sample(5, torch.Generator().manual_seed(7), steps=3, batch_size=b) for b in (2, 5))
    torch.testing.assert_close(first, again, atol=1e-4, rtol=0)
    other = sampler.sample(5, torch.Generator().manual_seed(8), steps=3)
    assert not torch.allclose(first, other, atol=0.01)
    assert first.min() >= 0 and first.max() <= 1


def test_other_sizes_than_the_training_size(tiny_ddpm: Path) -> None:
    sampler = Sampler.from_folder(tiny_ddpm)
    assert sampler.size == (16, 16)
    assert sampler.sample(1, torch.Generator(), steps=1, size=(8, 24)).shape == (1, 3, 8, 24)


def test_what_is_no_pipeline_is_refused(tmp_path: Path, tiny_ddpm: Path) -> None:
    with pytest.raises(InputError, match="not a diffusers pipeline"):
        Sampler.from_folder(tmp_path)
    with pytest.raises(InputError, match="known: ddim, dpm, ddpm"):
        Sampler.from_folder(tiny_ddpm).sample(1, torch.Generator(), method="euler")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="0 to 999"):
        Sampler.from_folder(tiny_ddpm).sample(1, torch.Generator(), first=1000)


@given(st.integers(0, 999), st.integers(1, 1000))
def test_timesteps_fall_evenly(first: int, steps: int) -> None:
    timesteps = spread(first, steps)
    assert timesteps[0] == first and len(timesteps) <= steps and timesteps == sorted(set(timesteps), reverse=True)
    assert steps > first or max(a - b for a, b in pairwise([*timesteps, 0])) <= first / steps + 1


def test_the_noisiest_steps_are_known_by_their_signal() -> None:
    linear, cosine = exact_sampler("linear")[0], exact_sampler("squaredcos_cap_v2")[0]
    assert linear.step_of_signal(0.006) == 999 and 980 < cosine.step_of_signal(0.006) < 999
    abar = cosine.scheduler.alphas_cumprod
    assert abar[cosine.step_of_signal(0.1)] >= 0.01 > abar[cosine.step_of_signal(0.1) + 1]
