"""Images from noise, and noise out of images, with the UNet and the noise schedule of a diffusers folder."""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from frugalseg.backbones.ddpm.settings import SAMPLERS, DDPMGeneration, SamplingMethod
from frugalseg.support.errors import InputError
from frugalseg.support.precision import dtype_of

SIGNALS = (0.006, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3)
"""Shares of an image in the noise at which sampling may begin. Less is as good as none, and more would be missed."""
OUTSIDE = 0.012
"""Share of the values that may be impossible in what a network that knows a step makes of pure noise: from where this
holds, images of the networks in docs/results.md came nearest to real ones."""
PROBED = 32
"""Images that this share is counted over, for one image's values stand or fall together; of larger images fewer, 4 at
least, of `VALUES` values together, for their networks take seconds for each."""
VALUES = 2**18
FEW_STEPS = 25
"""Evaluations of the network for an image, unless all steps are taken."""

# Shapes: N images, H x W pixels, T timesteps.


class Sampler:
    """A UNet with its noise schedule, ready to draw images.

    Networks that also predict their variance (twice as many output channels as input channels, Nichol & Dhariwal 2021)
    are understood: the variance serves ancestral sampling and is dropped everywhere else.

    Attributes:
        unet: a `diffusers.UNet2DModel` (or anything called like one).
        scheduler: the diffusers scheduler it was trained with; only its configuration is read.
    """

    def __init__(self, unet: Any, scheduler: Any) -> None:
        self.unet = unet
        self.scheduler = scheduler

    @classmethod
    def from_folder(cls, folder: str | Path) -> "Sampler":
        """The sampler of a diffusers pipeline folder; `InputError` where it is none."""
        from diffusers import DDPMScheduler, UNet2DModel

        folder = Path(folder)
        if not (folder / "unet").is_dir() or not (folder / "scheduler").is_dir():
            raise InputError(f"{folder} is not a diffusers pipeline; expected the folders unet and scheduler in it")
        unet = UNet2DModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False)
        return cls(unet.eval().requires_grad_(False), DDPMScheduler.from_pretrained(folder / "scheduler"))

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        device: torch.device = next(self.unet.parameters()).device
        return device

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) that the network was trained on."""
        size = self.unet.config.sample_size
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    def step_of_signal(self, signal: float) -> int:
        """The noisiest timestep whose images still hold `signal` of the clean one: sqrt(abar_t) >= `signal`."""
        enough = self.scheduler.alphas_cumprod.sqrt() >= signal
        return int(enough.sum().clamp_min(1)) - 1

    @torch.inference_mode()
    def noisiest_known_step(self) -> int:
        """The noisiest step that the network has learnt, where sampling may begin.

        Of pure noise a good network makes an average image; at the noisiest steps, where its small errors are divided
        by next to no signal, one that was trained briefly makes colours that no image has, and whatever is drawn from
        them glares. This is the noisiest step (of `SIGNALS`) at which all but `OUTSIDE` of the values of the estimate
        of x0 are possible, or the last of those steps where none is.
        """
        shape = (self.unet.config.in_channels, *self.size)
        count = min(PROBED, max(4, VALUES // math.prod(shape)))
        noise = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
        for step in dict.fromkeys(map(self.step_of_signal, SIGNALS)):
            t = torch.tensor(step, device=self.device)
            parts = [part.to(self.device) for part in noise.split(8)]
            estimates = torch.cat([self.estimate_x0(part, self._predict(part, t), t) for part in parts])
            if float((estimates.abs() > 1).float().mean()) <= OUTSIDE:
                break
        return step

    def timesteps(self, method: SamplingMethod, steps: int | None, first: int | None) -> list[int]:
        """The timesteps that `sample` visits; see its arguments.

        Raises:
            InputError: an unknown method, or a step that the schedule does not have.
        """
        if method not in SAMPLERS:
            raise InputError(f"no sampling method {method!r}; known: {', '.join(SAMPLERS)}")
        last = len(self.scheduler.alphas_cumprod) - 1
        if first is None:
            first = last if method == "ddpm" else self.noisiest_known_step()
        if steps is None:
            steps = last + 1 if method == "ddpm" else FEW_STEPS
        if not 0 <= first <= last or steps < 1:
            raise InputError(
                f"sampling from step {first} in {steps} steps does not work; the schedule has steps 0 to {last}, "
                "and at least one must be taken"
            )
        return spread(first, steps)

    @torch.inference_mode()
    def sample(
        self,
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
            seeds: one an image, (N,). All noise of an image is drawn from its own seed, on the CPU: the image is the
                same on any device and in any company, up to rounding.
            steps: evaluations of the network for an image; by default all of the schedule for ``ddpm``, else
                `FEW_STEPS`.
            method: ``dpmsolver++`` (Lu et al. 2022, second order), ``sde-dpmsolver++`` (the same with fresh noise in
                every step), ``unipc`` (Zhao et al. 2023, second order), ``ddim`` (Song et al. 2021, deterministic) or
                ``ddpm`` (ancestral, Ho et al. 2020; wants hundreds of steps).
            first: the timestep that pure noise is taken for; by default the last for ``ddpm``, else
                `noisiest_known_step`.
            size: (height, width); the training size by default.
            batch_size: images that go through the network together.

        Returns:
            (N, 3, H, W) float32 in [0, 1], on the CPU.

        Raises:
            InputError: see `timesteps`.
        """
        timesteps = self.timesteps(method, steps, first)
        denoise = {"ddim": self._ddim, "ddpm": self._ddpm}.get(method, self._multistep)
        shape = (self.unet.config.in_channels, *(size or self.size))
        parts = []
        for start in range(0, len(seeds), batch_size):
            noises = [torch.Generator().manual_seed(seed) for seed in seeds[start : start + batch_size]]
            x = torch.stack([torch.randn(shape, generator=noise) for noise in noises])
            parts.append(denoise(x.to(self.device), timesteps, method, noises).cpu())
        return ((torch.cat(parts) + 1) / 2).clamp(0, 1)

    def _ddim(self, x: Tensor, timesteps: list[int], *_: Any) -> Tensor:
        """Equation 12 of Song et al. (2021) with sigma = 0, the noise being what the clipped estimate of x0 implies."""
        abars = self.scheduler.alphas_cumprod.to(x.device)
        for t, following in pairwise([*timesteps, None]):
            assert t is not None
            x_0 = self._denoised(x, torch.tensor(t, device=x.device))
            eps = (x - abars[t].sqrt() * x_0) / (1 - abars[t]).sqrt()
            abar = torch.ones(()) if following is None else abars[following]
            x = abar.sqrt() * x_0 + (1 - abar).sqrt() * eps
        return x

    def _multistep(
        self, x: Tensor, timesteps: list[int], method: SamplingMethod, noises: list[torch.Generator]
    ) -> Tensor:
        """DPM-Solver++ and UniPC: diffusers' schedulers, told the clipped estimate of x0, which suits any network."""
        scheduler = solver(method, self.scheduler, timesteps, x.device)
        chance = {"generator": noises} if method == "sde-dpmsolver++" else {}
        for t in scheduler.timesteps:
            x = scheduler.step(self._denoised(x, t), t, x, **chance).prev_sample
        return x

    def _ddpm(self, x: Tensor, timesteps: list[int], _: Any, noises: list[torch.Generator]) -> Tensor:
        """Ancestral sampling, equation 7 of Ho et al. (2020), with the learned variance where the network has one."""
        from diffusers import DDPMScheduler

        # Published files carry no schedule, so that only the network itself says that its variance is learned.
        learned = {"variance_type": "learned_range"} if self.unet.config.out_channels == 2 * x.shape[1] else {}
        scheduler = DDPMScheduler.from_config(self.scheduler.config, **learned)
        scheduler.set_timesteps(timesteps=timesteps, device=x.device)
        for t in scheduler.timesteps:
            step = scheduler.step(self._output(x, t), t, x, generator=noises)
            x = step.prev_sample
        # The mean of the last step is its estimate of x0; diffusers adds noise to it unless it is step 0.
        return torch.as_tensor(step.pred_original_sample)

    def _denoised(self, x: Tensor, t: Tensor) -> Tensor:
        """(N, 3, H, W) float32 in [-1, 1]: the estimate of x0, clipped."""
        return self.estimate_x0(x, self._predict(x, t), t).clamp(-1, 1)

    def _output(self, x: Tensor, t: Tensor | int) -> Tensor:
        """All that the network says, (N, 3 or 6, H, W) float32."""
        dtype = next(self.unet.parameters()).dtype
        output: Tensor = self.unet(x.to(dtype), torch.as_tensor(t, device=x.device)).sample
        return output.float()

    def _predict(self, x: Tensor, t: Tensor | int) -> Tensor:
        """The prediction alone, (N, 3, H, W) float32, without a learned variance."""
        return self._output(x, t)[:, : x.shape[1]]

    @torch.inference_mode()
    def noised(self, images: Tensor, timesteps: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noisy images, and what the network makes of each in a single step: its estimate of x0.

        Args:
            images: (N, 3, H, W) float32 in [0, 1].
            timesteps: (T,) int64 in [0, steps of the schedule).
            generator: draws one noise an image, used at all timesteps; on the CPU.

        Returns:
            x_t and the estimates of x0, each (T, N, 3, H, W) float32 on the CPU, the latter in [0, 1].
        """
        x_0 = images.to(self.device) * 2 - 1
        noise = torch.randn(images.shape, generator=generator).to(self.device)
        noisy, clean = [], []
        for t in timesteps.to(self.device):
            x_t = self.scheduler.add_noise(x_0, noise, t.expand(len(x_0)))
            noisy.append(x_t.cpu())
            clean.append(((self.estimate_x0(x_t, self._predict(x_t, t), t).cpu() + 1) / 2).clamp(0, 1))
        return torch.stack(noisy), torch.stack(clean)

    def estimate_x0(self, x_t: Tensor, output: Tensor, t: Tensor) -> Tensor:
        """The clean image that a prediction stands for.

        ``x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps``, solved for x0, given eps, v or x0 itself as
        `scheduler.config.prediction_type` says.
        """
        abar: Tensor = self.scheduler.alphas_cumprod.to(x_t.device)[t]
        kind = self.scheduler.config.prediction_type
        if kind == "epsilon":
            return (x_t - (1 - abar).sqrt() * output) / abar.sqrt()
        if kind == "v_prediction":
            return abar.sqrt() * x_t - (1 - abar).sqrt() * output
        return output


def solver(method: SamplingMethod, trained_with: Any, timesteps: list[int], device: torch.device) -> Any:
    """A diffusers scheduler of second order that goes through `timesteps` and takes estimates of x0.

    Args:
        method: ``dpmsolver++``, ``sde-dpmsolver++`` or ``unipc``.
        trained_with: the scheduler whose noise schedule holds.
        timesteps: falling.
        device: where they are wanted.
    """
    from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

    config = trained_with.config
    if method != "unipc":
        scheduler = DPMSolverMultistepScheduler.from_config(config, prediction_type="sample", algorithm_type=method)
        scheduler.set_timesteps(timesteps=timesteps, device=device)
        return scheduler
    scheduler = UniPCMultistepScheduler.from_config(config, prediction_type="sample")
    scheduler.set_timesteps(len(timesteps), device=device)
    # UniPC has no argument for timesteps of one's own; these two are all that it derives from them.
    abars = scheduler.alphas_cumprod[timesteps]
    scheduler.timesteps = torch.tensor(timesteps, device=device)
    scheduler.sigmas = torch.cat([((1 - abars) / abars).sqrt(), torch.zeros(1)])
    return scheduler


def spread(first: int, steps: int) -> list[int]:
    """At most `steps` timesteps, falling evenly from `first`, the smallest as far from 0 as from its neighbour; all
    down to 0 where there are that many."""
    if steps > first:
        return list(range(first, -1, -1))
    return sorted({round(first * (i + 1) / steps) for i in range(steps)}, reverse=True)


class DDPMGenerator:
    """An `ImageGenerator`: a network of its own for sampling, in the number format that sampling wants.

    Args:
        unet: a `diffusers.UNet2DModel`; it is copied where its number format changes.
        scheduler: the diffusers scheduler it was trained with.
        options: how it samples.
    """

    def __init__(self, unet: Any, scheduler: Any, options: DDPMGeneration) -> None:
        device = next(unet.parameters()).device
        precision = options.precision or ("fp32" if device.type == "cpu" else "bf16")
        dtype = dtype_of(precision)
        if next(unet.parameters()).dtype != dtype:
            unet = nn.Module.to(deepcopy(unet), dtype=dtype)
        self.sampler = Sampler(unet, scheduler)
        self.options, self.precision = options, precision
        self.steps = self.sampler.timesteps(options.sampler, options.sampling_steps, options.first_step)

    @property
    def size(self) -> tuple[int, int]:
        """See `ImageGenerator`."""
        return self.sampler.size

    def generate(self, seeds: Sequence[int]) -> Tensor:
        """See `ImageGenerator`."""
        options = self.options
        return self.sampler.sample(
            seeds,
            steps=options.sampling_steps,
            method=options.sampler,
            first=self.steps[0],
            batch_size=max(1, len(seeds)),
        )

    def settings(self) -> dict[str, Any]:
        """See `ImageGenerator`."""
        chosen = {"sampling_steps": len(self.steps), "first_step": self.steps[0], "precision": self.precision}
        return {**asdict(self.options), **chosen, "size": list(self.size)}
