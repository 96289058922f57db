"""The timesteps that sampling visits: where it begins, and how it gets down to 0."""

import math

import torch
from torch import Tensor

from frugalseg.backbones.ddpm.denoiser import Denoiser
from frugalseg.backbones.ddpm.settings import FEW_STEPS, SAMPLERS, SamplingMethod
from frugalseg.support.errors import InputError

SIGNALS = (0.006, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3)
"""Where sampling may begin, as the signal sqrt(abar_t) of the step; `noisiest_known_step` tries them in this order.
Less signal than the first cannot be told from pure noise. With more than the last, pure noise would be too far from
what the network was trained on at that step."""
OUTSIDE = 0.012
"""The network knows a step if at most this share of its estimates of x0 from pure noise lies outside [-1, 1]. With
this value, the samples of the networks in docs/results.md came closest to real images."""
PROBED = 32
"""How many noise images the share is measured on. The values of one image tend to be wrong together, so one image
alone would say little."""
VALUES = 2**18
"""The most values (images x channels x pixels) that the share is measured on. Networks for large images take seconds
per image, so they get fewer images than `PROBED`, but at least 4."""


def choose_timesteps(denoise: Denoiser, method: SamplingMethod, steps: int | None, first: int | None) -> list[int]:
    """The timesteps that a sampler visits, falling.

    Args:
        denoise: the network and its schedule.
        method: one of `SAMPLERS`.
        steps: how many; None: all of the schedule for ``ddpm``, otherwise `FEW_STEPS`.
        first: the timestep at which pure noise is put in; None: the last of the schedule for ``ddpm``, otherwise
            `noisiest_known_step`.

    Raises:
        InputError: an unknown method, or a step that the schedule does not have.
    """
    if method not in SAMPLERS:
        raise InputError(f"no sampling method {method!r}; known: {', '.join(SAMPLERS)}")
    last = len(denoise.abars) - 1
    if first is None:
        first = last if method == "ddpm" else noisiest_known_step(denoise)
    if steps is None:
        steps = last + 1 if method == "ddpm" else FEW_STEPS
    if not 0 <= first <= last or steps < 1:
        raise InputError(
            f"sampling from step {first} in {steps} steps does not work; the schedule has steps 0 to {last}, "
            "and at least one must be taken"
        )
    return evenly_falling(first, steps)


def evenly_falling(first: int, steps: int) -> list[int]:
    """At most `steps` timesteps, falling evenly from `first`; all timesteps down to 0 where there are that many.

    The distance from the last timestep to 0 equals that between two timesteps, up to rounding.
    """
    if steps > first:
        return list(range(first, -1, -1))
    return sorted({round(first * (i + 1) / steps) for i in range(steps)}, reverse=True)


@torch.inference_mode()
def noisiest_known_step(denoise: Denoiser) -> int:
    """The noisiest step that the network has learned, where sampling may begin.

    From pure noise, a good network estimates an average image. At the noisiest steps the estimate divides the
    network's small errors by a signal near 0, so a network that was trained briefly gives values that no image has,
    and all samples that start there have glaring colors. The result is the noisiest step of `SIGNALS` at which at most
    the share `OUTSIDE` of the estimated values is impossible; where there is none, the last step of `SIGNALS`.
    """
    noise = probing_noise(denoise)
    for step in dict.fromkeys(step_of_signal(denoise, signal) for signal in SIGNALS):
        t = torch.tensor(step, device=denoise.device)
        estimates = torch.cat([denoise.estimate_x0(part.to(denoise.device), t) for part in noise.split(8)])
        if float((estimates.abs() > 1).float().mean()) <= OUTSIDE:
            break
    return step


def probing_noise(denoise: Denoiser) -> Tensor:
    """(N, C, H, W) float32 on the CPU: always the same noise for a size, `PROBED` images or as `VALUES` allows."""
    shape = (denoise.channels, *denoise.size)
    count = min(PROBED, max(4, VALUES // math.prod(shape)))
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))


def step_of_signal(denoise: Denoiser, signal: float) -> int:
    """The noisiest timestep t with sqrt(abar_t) >= `signal`; 0 where there is none."""
    enough = denoise.abars.sqrt() >= signal
    return int(enough.sum().clamp_min(1)) - 1
