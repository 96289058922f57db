"""The paper's features: activations of a diffusion UNet's decoder for images noised to a few steps (section 3)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from frugalseg.backbones.base import Backbone
from frugalseg.backbones.ddpm.decoder import block_shapes, walk
from frugalseg.backbones.ddpm.denoiser import image_size
from frugalseg.backbones.ddpm.generator import DDPMGenerator
from frugalseg.backbones.ddpm.noise import shared_noise, signal_and_noise
from frugalseg.backbones.ddpm.settings import (
    SWEPT,
    DDPMGeneration,
    DDPMOptions,
    FeatureSettings,
    check_numbers,
    choose_settings,
)
from frugalseg.backbones.ddpm.source import load_network
from frugalseg.backbones.generator import drawing_options
from frugalseg.features.taps import Tap
from frugalseg.support.files import usual_permissions
from frugalseg.support.precision import dtype_of, precision_of

COMPILED_VERSIONS = 256
"""Of a block's function, one for each kind of block and size of its input; as many as dynamo allows in all."""


class DDPMBackbone(Backbone):
    """A diffusion model's UNet, run only as deep as the deepest tap, all steps and images in one batch.

    Args:
        unet: an unconditional `diffusers.UNet2DModel`.
        scheduler: a diffusers scheduler; its betas define the forward process.
        settings: what is read.
    """

    family = "ddpm"
    passes = "timesteps"

    def __init__(self, unet: Any, scheduler: Any, settings: FeatureSettings) -> None:
        super().__init__()
        self.unet = unet
        self.scheduler = scheduler
        self.settings = settings
        shapes = block_shapes(unet)
        self.taps = tuple(
            Tap(
                f"t{t}.{'in' if settings.inputs else 'block'}{b}",
                shapes[b].inputs if settings.inputs else shapes[b].outputs,
                shapes[b].input_stride if settings.inputs else shapes[b].output_stride,
                (("timesteps", t), ("blocks", b)),
            )
            for t in settings.timesteps
            for b in settings.blocks
        )
        self.stride = 2 ** (len(unet.down_blocks) - 1)
        self.native_size = image_size(unet)

    @classmethod
    def from_checkpoint(cls, checkpoint: str | Path | None, options: DDPMOptions) -> Self:
        """A backbone from a diffusers pipeline folder, a Hub id or a published guided-diffusion file.

        Args:
            checkpoint: see `frugalseg.backbones.ddpm.source.load_network`.
            options: what is read, and how the network runs.

        Raises:
            InputError: no checkpoint, one that cannot be used, or settings out of range.
        """
        dtype = dtype_of(options.precision)
        unet, scheduler = load_network(checkpoint, **options.guided())
        settings = choose_settings(
            len(block_shapes(unet)),
            scheduler.config.num_train_timesteps,
            preset=options.preset,
            timesteps=options.timesteps,
            blocks=options.blocks,
            inputs=bool(options.inputs),
            noise_seed=options.noise_seed,
            noise_draws=options.noise_draws,
        )
        lay_out(unet, dtype=dtype)
        if options.compile:
            compile_blocks(unet)
        return cls(unet, scheduler, settings)

    def noised(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Images at every step and noise draw.

        Args:
            images: (B, 3, H, W) float32 in [0, 1].
            noise: (draws, 3, H, W) standard normal float32.

        Returns:
            x_t, (draws * S * B, 3, H, W) in the UNet's dtype, draws slowest and images fastest; and t of each, int64.
        """
        clean = 2 * images - 1
        signal, spread = signal_and_noise(self.scheduler, self.settings.timesteps)
        signal, spread = (v.to(clean.device)[:, None, None, None, None] for v in (signal, spread))
        noisy = signal * clean + spread * noise.to(clean.device)[:, None, None]
        steps = torch.tensor(self.settings.timesteps, device=clean.device).repeat_interleave(len(clean))
        flat = noisy.flatten(0, 2).to(self.unet.dtype, memory_format=torch.channels_last)
        return flat, steps.repeat(len(noise))

    def maps(self, images: Tensor) -> list[Tensor]:
        """See `Backbone.maps`: step by step, and within a step block by block, with the noise of the seed."""
        size = (images.shape[2], images.shape[3])
        return self.maps_for_noise(images, shared_noise(self.settings.noise_seed, self.settings.noise_draws, size))

    def maps_for_noise(self, images: Tensor, noise: Tensor) -> list[Tensor]:
        """`maps` with a given noise, (draws, 3, H, W) standard normal float32."""
        settings, found = self.settings, {}
        for number, (entering, leaving) in enumerate(walk(self.unet, *self.noised(images, noise))):
            if number in settings.blocks:
                found[number] = entering if settings.inputs else leaving
            if number == max(settings.blocks):
                break
        shape = (len(noise), len(settings.timesteps), len(images))
        by_step = {number: self.average(values.unflatten(0, shape)) for number, values in found.items()}
        return [by_step[b][step] for step in range(len(settings.timesteps)) for b in settings.blocks]

    @staticmethod
    def average(values: Tensor) -> Tensor:
        """(S, B, C, h, w): the mean over the noise draws, the first dimension."""
        return values[0] if len(values) == 1 else values.float().mean(0).to(values.dtype)

    def config(self) -> dict[str, Any]:
        """See `Backbone.config`: what is read, and in which precision the network runs."""
        return {**self.settings.to_json(), "precision": precision_of(self.unet.dtype)}

    def save_weights(self, folder: Path) -> None:
        """A diffusers pipeline folder: ``model_index.json``, ``unet/`` and ``scheduler/``."""
        from diffusers import DDPMPipeline

        DDPMPipeline(unet=self.unet, scheduler=self.scheduler).save_pretrained(folder)
        usual_permissions(folder)

    @classmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        """See `Backbone.from_saved`."""
        # Models of earlier versions name no precision: they ran in float32 whatever they were fitted in.
        precision = config.get("precision", "fp32")
        settings = {name: value for name, value in config.items() if name != "precision"}
        read = FeatureSettings.from_json(settings)
        unet, scheduler = load_network(folder)
        require_places(read, unet, scheduler)
        return cls(lay_out(unet, dtype=dtype_of(precision)), scheduler, read)

    def readable(self) -> dict[str, tuple[Any, ...]]:
        """See `Backbone.readable`: some steps, and all blocks."""
        steps = [min(round(t * self.training_steps / 1000), self.training_steps - 1) for t in SWEPT]
        return {"timesteps": tuple(dict.fromkeys(steps)), "blocks": tuple(range(len(block_shapes(self.unet))))}

    def reading(self, **where: Sequence[Any]) -> Backbone:
        """See `Backbone.reading`; any step can be read."""
        if not where.keys() <= {"timesteps", "blocks"}:
            return super().reading(**where)
        own = {"timesteps": self.settings.timesteps, "blocks": self.settings.blocks, **where}
        settings = replace(self.settings, timesteps=tuple(own["timesteps"]), blocks=tuple(own["blocks"]))
        require_places(settings, self.unet, self.scheduler)
        return type(self)(self.unet, self.scheduler, settings).eval().requires_grad_(False)

    @property
    def training_steps(self) -> int:
        """Diffusion steps that the network was trained with."""
        return int(self.scheduler.config.num_train_timesteps)

    def reinitialised(self, seed: int) -> Self:
        """See `Backbone.reinitialised`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            unet = type(self.unet).from_config(self.unet.config)
        lay_out(unet, dtype=self.unet.dtype, device=self.device)
        return type(self)(unet, self.scheduler, self.settings).eval().requires_grad_(False)

    def generator(self, options: DDPMGeneration | None = None) -> DDPMGenerator:
        """See `Backbone.generator`."""
        return DDPMGenerator(self.unet, self.scheduler, drawing_options(options, DDPMGeneration))


def require_places(settings: FeatureSettings, unet: Any, scheduler: Any) -> None:
    """Raise `InputError` for steps or blocks that the network does not have."""
    check_numbers("timesteps", settings.timesteps, scheduler.config.num_train_timesteps)
    check_numbers("blocks", settings.blocks, len(block_shapes(unet)))


def lay_out(unet: Any, **place: Any) -> Any:
    """Move a UNet, in the memory order that convolutions like best."""
    # nn.Module's own `to`: that of diffusers warns of a list of float32 modules which UNet2DModel leaves empty.
    return nn.Module.to(unet, memory_format=torch.channels_last, **place)


def compile_blocks(unet: Any, **options: Any) -> None:
    """Compile each residual block and attention in place: the walk stays lazy, and equal blocks compile once.

    Args:
        unet: a `diffusers.UNet2DModel`.
        options: of `torch.compile`.
    """
    # All residual blocks share one function, and dynamo leaves what goes beyond its limit uncompiled: 8 versions of a
    # function, where the LSUN networks have more kinds of blocks, and each size of image or batch needs its own.
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, COMPILED_VERSIONS)
    levels = [*unet.down_blocks, *unet.up_blocks, *([unet.mid_block] if unet.mid_block is not None else [])]
    for level in levels:
        for part in [*level.resnets, *(getattr(level, "attentions", None) or ())]:
            if part is not None:
                part.compile(dynamic=False, **options)
