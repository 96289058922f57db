"""Trains a DDPM on unlabelled images; a diffusers folder comes out, which is a backbone and a generator."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frugalseg.backbones.ddpm.denoiser import Denoiser, noised_and_denoised
from frugalseg.backbones.ddpm.network import build_unet
from frugalseg.backbones.ddpm.samplers import sample
from frugalseg.backbones.ddpm.settings import SCHEDULES, DDPMPretrainSettings
from frugalseg.pretraining.module import PretrainingModule
from frugalseg.report.grid import save_grid
from frugalseg.training.run_folder import RunFolder, picture_path
from frugalseg.training.stream import STEP, random_numbers, seeded_noise

TIMESTEPS = 1000
DENOISED_AT = (50, 150, 250, 400, 600)
"""Timesteps of the pictures of denoised images."""


class DDPMPretraining(PretrainingModule):
    """Predicts the noise in noisy images: ``L = E w_t |eps - eps_theta(x_t, t)|^2`` (Ho et al. 2020, eq. 14).

    ``x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps``; t is uniform, and stratified over the global batch (as in VDM,
    Kingma et al. 2021, appendix I.1), which makes the loss of a batch less noisy.
    """

    settings: DDPMPretrainSettings

    def __init__(self, settings: DDPMPretrainSettings, channels_last: bool = False) -> None:
        """See `PretrainingModule`."""
        from diffusers import DDPMScheduler

        super().__init__(settings, channels_last)
        assert settings.image_size is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.unet = build_unet(settings.image_size, settings.shape).to(memory_format=self.format)
        self.scheduler = DDPMScheduler(TIMESTEPS, beta_schedule=SCHEDULES[settings.noise_schedule])

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        """The loss of this process's part of a batch (see `BatchStream`)."""
        if batch["step"] != self.global_step:
            raise RuntimeError(f"batch {batch['step']} came in step {self.global_step}")
        x_0 = (batch["images"].float() / 127.5 - 1).contiguous(memory_format=self.format)
        noise = seeded_noise(batch["seeds"], tuple(x_0.shape[1:]), x_0.device)
        t = self.timesteps(batch["step"], self.trainer.global_rank, self.trainer.world_size).to(x_0.device)
        predicted: Tensor = self.unet(self.scheduler.add_noise(x_0, noise, t), t).sample.float()
        return (self.loss_weights(t) * (predicted - noise).pow(2).mean(dim=(1, 2, 3))).mean()

    def timesteps(self, step: int, rank: int, world_size: int) -> Tensor:
        """(b,) int64, this rank's timesteps: evenly spaced over the global batch, shifted at random."""
        shift = random_numbers(self.settings.seed, STEP, step).random()
        places = torch.arange(rank, self.settings.images_per_step, world_size, dtype=torch.float64)
        return ((places / self.settings.images_per_step + shift) % 1 * TIMESTEPS).long().clamp_max(TIMESTEPS - 1)

    def loss_weights(self, t: Tensor) -> Tensor:
        """(b,) weights of the loss: ``min(SNR_t, gamma) / SNR_t``, or 1 (Hang et al. 2023, for predicted noise)."""
        if self.settings.min_snr is None:
            return torch.ones(len(t), device=t.device)
        abar: Tensor = self.scheduler.alphas_cumprod.to(t.device)[t]
        snr = abar / (1 - abar)
        return snr.clamp_max(self.settings.min_snr) / snr

    def compile_network(self) -> None:
        """Compile the UNet in place."""
        self.unet.compile()

    def export(self, folder: Path) -> None:
        """Write a diffusers pipeline folder."""
        from diffusers import DDPMPipeline, UNet2DModel

        # safetensors stores only tensors in the plain memory order.
        plain = UNet2DModel.from_config(self.unet.config)
        plain.load_state_dict(self.unet.state_dict())
        DDPMPipeline(unet=plain, scheduler=self.scheduler).save_pretrained(folder)

    def draw(self, run: RunFolder, step: int, examples: Tensor) -> None:
        """Save a picture of samples, and one of 8 images, noised and denoised in a single step."""
        examples = examples[:: max(1, len(examples) // 8)][:8]
        denoise = Denoiser(self.unet, self.scheduler)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision != "fp32"):
            samples = sample(denoise, range(24), batch_size=24)
            at = torch.tensor(DENOISED_AT)
            noisy, clean = noised_and_denoised(denoise, examples, at, torch.Generator().manual_seed(1))
        save_grid(samples.unflatten(0, (3, 8)), picture_path(run, "samples", step))
        pairs = torch.stack([noisy / 2 + 0.5, clean], dim=1).flatten(0, 1)
        save_grid(torch.cat([examples[None], pairs]), picture_path(run, "denoised", step))
