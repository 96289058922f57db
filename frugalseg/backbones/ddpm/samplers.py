"""Samplers: from pure noise to images, each a free function over a `Denoiser` and falling timesteps.

Symbols: x is (N, C, H, W) float32; t runs through the timesteps and s is the one before t, which is noisier. The
denoiser's estimate of x0 at s is D. alpha_t = sqrt(abar_t), sigma_t = sqrt(1 - abar_t), and
h = log(alpha_t / sigma_t) - log(alpha_s / sigma_s).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from frugalseg.backbones.ddpm.denoiser import Denoiser
from frugalseg.backbones.ddpm.settings import SamplingMethod
from frugalseg.backbones.ddpm.timesteps import choose_timesteps

Sampler = Callable[[Denoiser, Tensor, list[int], list[torch.Generator]], Tensor]
"""Takes a denoiser, pure noise x, falling timesteps and one random generator for each image; gives x0 in [-1, 1]."""


@torch.inference_mode()
def sample(
    denoise: Denoiser,
    seeds: Sequence[int],
    *,
    steps: int | None = None,
    method: SamplingMethod = "sde-dpmsolver++",
    first: int | None = None,
    size: tuple[int, int] | None = None,
    batch_size: int = 16,
) -> Tensor:
    """New images.

    Args:
        denoise: the network and its schedule.
        seeds: one for each image, (N,). All noise of an image is drawn from its own seed, on the CPU, so an image is
            the same on any device and in any batch, up to rounding.
        steps, first: evaluations of the network for each image, and the timestep at which they begin; see
            `choose_timesteps`.
        method: a key of `METHODS`.
        size: (height, width); None: that of the training images.
        batch_size: images that go through the network together.

    Returns:
        (N, 3, H, W) float32 in [0, 1], on the CPU.

    Raises:
        InputError: see `choose_timesteps`.
    """
    timesteps = choose_timesteps(denoise, method, steps, first)
    shape = (denoise.channels, *(size or denoise.size))
    parts = []
    for start in range(0, len(seeds), batch_size):
        noises = [torch.Generator().manual_seed(seed) for seed in seeds[start : start + batch_size]]
        x = torch.stack([torch.randn(shape, generator=noise) for noise in noises])
        parts.append(METHODS[method](denoise, x.to(denoise.device), timesteps, noises).cpu())
    return ((torch.cat(parts) + 1) / 2).clamp(0, 1)


def ddim(denoise: Denoiser, x: Tensor, timesteps: list[int], _: list[torch.Generator]) -> Tensor:
    """DDIM, equation 12 of Song et al. (2021) with sigma = 0; eps is the noise that the clipped D implies.

    ``x_t = alpha_t D + sigma_t eps`` with ``eps = (x_s - alpha_s D) / sigma_s``; the last step gives D.
    """
    abars = denoise.abars.to(x.device)
    for s, t in pairwise([*timesteps, None]):
        assert s is not None
        x_0 = denoise(x, torch.tensor(s, device=x.device))
        eps = (x - abars[s].sqrt() * x_0) / (1 - abars[s]).sqrt()
        abar = torch.ones(()) if t is None else abars[t]
        x = abar.sqrt() * x_0 + (1 - abar).sqrt() * eps
    return x


def dpm_solver(denoise: Denoiser, x: Tensor, timesteps: list[int], _: list[torch.Generator]) -> Tensor:
    """DPM-Solver++(2M), algorithm 2 of Lu et al. (2022, "DPM-Solver++"): deterministic, second order, multistep.

    ``x_t = sigma_t / sigma_s x_s - alpha_t (exp(-h) - 1) D'``; D' extrapolates D from its last two values.
    """
    return multistep(denoise, x, dpm_schedule(denoise, timesteps, x.device, "dpmsolver++"))


def sde_dpm_solver(denoise: Denoiser, x: Tensor, timesteps: list[int], noises: list[torch.Generator]) -> Tensor:
    """SDE-DPM-Solver++(2M), Lu et al. (2022, "DPM-Solver++"): the same with fresh noise z in every step.

    ``x_t = sigma_t / sigma_s exp(-h) x_s + alpha_t (1 - exp(-2h)) D' + sigma_t sqrt(1 - exp(-2h)) z``.
    """
    schedule = dpm_schedule(denoise, timesteps, x.device, "sde-dpmsolver++")
    return multistep(denoise, x, schedule, generator=noises)


def unipc(denoise: Denoiser, x: Tensor, timesteps: list[int], _: list[torch.Generator]) -> Tensor:
    """UniPC of second order, Zhao et al. (2023): each UniP step is corrected by UniC once D at its end is known.

    Predictor and corrector need one evaluation of the network together; B(h) is ``exp(-h) - 1``, the paper's B2.
    """
    from diffusers import UniPCMultistepScheduler

    schedule = UniPCMultistepScheduler.from_config(denoise.scheduler.config, prediction_type="sample")
    schedule.set_timesteps(len(timesteps), device=x.device)
    # UniPC does not take a list of timesteps, so the two attributes that it derives from them are set here.
    abars = schedule.alphas_cumprod[timesteps]
    schedule.timesteps = torch.tensor(timesteps, device=x.device)
    schedule.sigmas = torch.cat([((1 - abars) / abars).sqrt(), torch.zeros(1)])
    return multistep(denoise, x, schedule)


def ancestral(denoise: Denoiser, x: Tensor, timesteps: list[int], noises: list[torch.Generator]) -> Tensor:
    """Ancestral sampling: x_t is drawn from the posterior of equation 7 of Ho et al. (2020).

    The variance is the learned one where the network has it (equation 15 of Nichol & Dhariwal 2021).
    """
    from diffusers import DDPMScheduler

    # Published files carry no schedule, so only the number of channels tells that the variance is learned.
    learned = {"variance_type": "learned_range"} if denoise.learned_variance else {}
    schedule = DDPMScheduler.from_config(denoise.scheduler.config, **learned)
    schedule.set_timesteps(timesteps=timesteps, device=x.device)
    for s in schedule.timesteps:
        step = schedule.step(denoise.output(x, s), s, x, generator=noises)
        x = step.prev_sample
    # The mean of the last step is its estimate of x0; diffusers adds noise to it unless it is step 0.
    return torch.as_tensor(step.pred_original_sample)


METHODS: dict[SamplingMethod, Sampler] = {
    "dpmsolver++": dpm_solver,
    "sde-dpmsolver++": sde_dpm_solver,
    "ddim": ddim,
    "unipc": unipc,
    "ddpm": ancestral,
}


def multistep(denoise: Denoiser, x: Tensor, schedule: Any, **options: Any) -> Tensor:
    """Walk a diffusers scheduler that was made for estimates of x0; clipped ones suit any network."""
    for s in schedule.timesteps:
        x = schedule.step(denoise(x, s), s, x, **options).prev_sample
    return x


def dpm_schedule(denoise: Denoiser, timesteps: list[int], device: torch.device, algorithm: str) -> Any:
    """A diffusers scheduler for DPM-Solver++ that visits `timesteps`."""
    from diffusers import DPMSolverMultistepScheduler

    config = denoise.scheduler.config
    schedule = DPMSolverMultistepScheduler.from_config(config, prediction_type="sample", algorithm_type=algorithm)
    schedule.set_timesteps(timesteps=timesteps, device=device)
    return schedule
