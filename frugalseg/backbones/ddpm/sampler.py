"""Images from noise, and noise out of images, with the UNet and the noise schedule of a diffusers folder."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from frugalseg.errors import InputError

Method = Literal["ddim", "dpm", "ddpm"]

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
        unet = UNet2DModel.from_pretrained(folder / "unet")
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

    @torch.inference_mode()
    def sample(
        self,
        count: int,
        generator: torch.Generator,
        *,
        steps: int = 50,
        method: Method = "ddim",
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
            size: (height, width); the training size by default.
            batch_size: images that go through the network together.

        Returns:
            (N, 3, H, W) float32 in [0, 1], on the CPU.
        """
        height, width = size or self.size
        noise = torch.randn((count, self.unet.config.in_channels, height, width), generator=generator)
        images = [self._denoise_fully(part, steps, method, generator) for part in noise.split(batch_size)]
        return torch.cat(images) if images else noise

    def _denoise_fully(self, noise: Tensor, steps: int, method: Method, generator: torch.Generator) -> Tensor:
        """(N, 3, H, W) images in [0, 1] from (N, 3, H, W) Gaussian noise."""
        scheduler = _few_step_scheduler(self.scheduler, method)
        scheduler.set_timesteps(steps, device=self.device)
        options: dict[str, Any] = {}
        if method == "ddim":
            options = {"use_clipped_model_output": True}
        elif method == "ddpm":
            options = {"generator": generator}
        x: Tensor = noise.to(self.device) * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            prediction = self.unet(scheduler.scale_model_input(x, t), t).sample.float()
            if method != "ddpm":
                prediction = prediction[:, : x.shape[1]]
            x = scheduler.step(prediction, t, x, **options).prev_sample
        return ((x.cpu() + 1) / 2).clamp(0, 1)

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
            output = self.unet(x_t, t).sample.float()[:, : x_0.shape[1]]
            noisy.append(x_t.cpu())
            clean.append(((self.estimate_x0(x_t, output, t).cpu() + 1) / 2).clamp(0, 1))
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


def _few_step_scheduler(scheduler: Any, method: Method) -> Any:
    """A scheduler of another method over the same noise schedule."""
    from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

    config = scheduler.config
    if method == "ddpm":
        return DDPMScheduler.from_config(config, timestep_spacing="trailing")
    if method == "ddim":
        return DDIMScheduler.from_config(config, timestep_spacing="trailing")
    if method == "dpm":
        # A schedule that ends in pure noise makes the first step divide by almost nothing; its log-SNR is cut off.
        return DPMSolverMultistepScheduler.from_config(config, timestep_spacing="trailing", lambda_min_clipped=-5.1)
    raise InputError(f"no sampling method {method!r}; known: ddim, dpm, ddpm")
