"""Images from noise, and noise out of images, with the UNet and the noise schedule of a diffusers folder."""

from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from frugalseg.errors import InputError

Method = Literal["ddim", "dpm", "ddpm"]
SIGNAL = 0.006
"""Noise with less of an image in it than this is as good as pure, and dividing by so little would blow up errors."""

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
    def sample(
        self,
        count: int,
        generator: torch.Generator,
        *,
        steps: int = 50,
        method: Method = "ddim",
        first: int | None = None,
        size: tuple[int, int] | None = None,
        batch_size: int = 16,
    ) -> Tensor:
        """New images.

        Args:
            count: N, how many.
            generator: the only source of randomness, on the CPU; the same state gives the same images on any device up
                to rounding (and, but for ``ddpm``, with any `batch_size`).
            steps: evaluations of the network for an image.
            method: ``ddim`` (Song et al. 2021, deterministic), ``dpm`` (DPM-Solver++, Lu et al. 2022, second order) or
                ``ddpm`` (ancestral, Ho et al. 2020; wants hundreds of steps).
            first: the timestep that pure noise is taken for; by default the last that leaves any signal to speak of
                (`SIGNAL`). Networks that were trained for a short time know the noisiest steps badly, which shows as
                glaring colours; they gain from beginning at ``step_of_signal(0.1)``.
            size: (height, width); the training size by default.
            batch_size: images that go through the network together.

        Returns:
            (N, 3, H, W) float32 in [0, 1], on the CPU.

        Raises:
            InputError: an unknown method, or a step that the schedule does not have.
        """
        first = self.step_of_signal(SIGNAL) if first is None else first
        if not 0 <= first < len(self.scheduler.alphas_cumprod) or steps < 1:
            raise InputError(
                f"sampling from step {first} in {steps} steps does not work; the schedule has steps "
                f"0 to {len(self.scheduler.alphas_cumprod) - 1}, and at least one must be taken"
            )
        timesteps = spread(first, steps)
        denoise = {"ddim": self._ddim, "dpm": self._dpm, "ddpm": self._ddpm}.get(method)
        if denoise is None:
            raise InputError(f"no sampling method {method!r}; known: ddim, dpm, ddpm")
        height, width = size or self.size
        noise = torch.randn((count, self.unet.config.in_channels, height, width), generator=generator)
        parts = [denoise(part.to(self.device), timesteps, generator).cpu() for part in noise.split(batch_size)]
        return ((torch.cat(parts) + 1) / 2).clamp(0, 1)

    def _ddim(self, x: Tensor, timesteps: list[int], _: torch.Generator) -> Tensor:
        """Equation 12 of Song et al. (2021) with sigma = 0, the noise being what the clipped estimate of x0 implies."""
        abars = self.scheduler.alphas_cumprod.to(x.device)
        for t, following in pairwise([*timesteps, None]):
            assert t is not None
            x_0 = self.estimate_x0(x, self._predict(x, t), torch.tensor(t, device=x.device)).clamp(-1, 1)
            eps = (x - abars[t].sqrt() * x_0) / (1 - abars[t]).sqrt()
            abar = torch.ones(()) if following is None else abars[following]
            x = abar.sqrt() * x_0 + (1 - abar).sqrt() * eps
        return x

    def _dpm(self, x: Tensor, timesteps: list[int], _: torch.Generator) -> Tensor:
        from diffusers import DPMSolverMultistepScheduler

        scheduler = DPMSolverMultistepScheduler.from_config(self.scheduler.config)
        scheduler.set_timesteps(timesteps=timesteps, device=x.device)
        for t in scheduler.timesteps:
            x = scheduler.step(self._predict(x, t), t, x).prev_sample
        return x

    def _ddpm(self, x: Tensor, timesteps: list[int], generator: torch.Generator) -> Tensor:
        from diffusers import DDPMScheduler

        scheduler = DDPMScheduler.from_config(self.scheduler.config)
        scheduler.set_timesteps(timesteps=timesteps, device=x.device)
        for t in scheduler.timesteps:
            x = scheduler.step(self._output(x, t), t, x, generator=generator).prev_sample
        return x

    def _output(self, x: Tensor, t: Tensor | int) -> Tensor:
        """All that the network says, (N, 3 or 6, H, W) float32."""
        output: Tensor = self.unet(x, torch.as_tensor(t, device=x.device)).sample
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


def spread(first: int, steps: int) -> list[int]:
    """At most `steps` timesteps, falling evenly from `first`, the smallest as far from 0 as from its neighbour."""
    return sorted({round(first * (i + 1) / steps) for i in range(steps)}, reverse=True)
