"""A diffusion model as an `ImageGenerator`."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict
from typing import Any

from torch import nn

from frugalseg.backbones.ddpm.denoiser import Denoiser
from frugalseg.backbones.ddpm.samplers import sample
from frugalseg.backbones.ddpm.settings import DDPMGeneration
from frugalseg.backbones.ddpm.timesteps import choose_timesteps
from frugalseg.backbones.generator import Drawn
from frugalseg.backbones.seeds import checked_seeds
from frugalseg.support.precision import dtype_of
from frugalseg.support.processor import slow_in_bf16, warn_of_slow_bf16


class DDPMGenerator:
    """Draws images with a UNet, in the number format that sampling wants. It gives no feature maps.

    Args:
        unet: a `diffusers.UNet2DModel`; it is copied where its number format changes.
        scheduler: the diffusers scheduler it was trained with.
        options: how it samples.
    """

    maps_of = None

    def __init__(self, unet: Any, scheduler: Any, options: DDPMGeneration) -> None:
        device = next(unet.parameters()).device
        precision = options.precision or ("fp32" if device.type == "cpu" else "bf16")
        dtype = dtype_of(precision)
        if slow_in_bf16(device.type, precision):
            warn_of_slow_bf16()
        if next(unet.parameters()).dtype != dtype:
            unet = nn.Module.to(deepcopy(unet), dtype=dtype)
        self.denoise = Denoiser(unet, scheduler)
        self.options, self.precision = options, precision
        self.steps = choose_timesteps(self.denoise, options.sampler, options.sampling_steps, options.first_step)

    @property
    def size(self) -> tuple[int, int]:
        """See `ImageGenerator`."""
        return self.denoise.size

    def draw(self, seeds: Sequence[int]) -> Drawn:
        """See `ImageGenerator`."""
        seeds, options = checked_seeds(seeds), self.options
        images = sample(
            self.denoise,
            seeds,
            steps=options.sampling_steps,
            method=options.sampler,
            first=self.steps[0],
            batch_size=max(1, len(seeds)),
        )
        return Drawn(images)

    def settings(self) -> dict[str, Any]:
        """See `ImageGenerator`."""
        chosen = {"sampling_steps": len(self.steps), "first_step": self.steps[0], "precision": self.precision}
        return {**asdict(self.options), **chosen, "size": list(self.size)}
