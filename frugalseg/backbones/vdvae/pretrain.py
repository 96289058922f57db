"""Trains a very deep VAE on unlabelled images (Child 2021); it is a backbone and a generator."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frugalseg.backbones.vdvae.checkpoint import save_network
from frugalseg.backbones.vdvae.logistic import Mixture
from frugalseg.backbones.vdvae.network import drawn_from_prior, noise_size, random_network, split_noise
from frugalseg.backbones.vdvae.pixels import Pixels
from frugalseg.backbones.vdvae.settings import VDVAEPretrainSettings
from frugalseg.pretraining.module import PretrainingModule
from frugalseg.report.grid import save_grid
from frugalseg.support.errors import WorkError
from frugalseg.training.run_folder import RunFolder, picture_path
from frugalseg.training.stream import seeded_noise

BETAS = (0.9, 0.9)
MEAN, STD = 115.92961967, 69.37404
"""By which pixels are normalised: of ImageNet, as in the published network for 64 pixels."""
MOST_SKIPPED = 100
"""A training that skips so many steps in a row will never learn."""
TEMPERATURE = 0.85
ROWS, COLUMNS = 3, 8
"""Samples in a picture; it shows as many images as it has columns."""


class VDVAEPretraining(PretrainingModule):
    """Minimises the negative evidence lower bound: how badly pixels are predicted, and what the latents tell of them.

    ``-log p(x | z) + sum_i KL(q(z_i | x, z_<i) || p(z_i | z_<i))``, in nats for each color of each pixel (eq. 2 and 3).
    """

    settings: VDVAEPretrainSettings

    def __init__(self, settings: VDVAEPretrainSettings, channels_last: bool = False) -> None:
        """`settings` must be complete (`VDVAEPretrainSettings.chosen_for`)."""
        super().__init__(settings, channels_last)
        pixels = Pixels(MEAN, STD, 5 if settings.bits == 5 else 8)
        self.network = random_network(settings.shape, pixels, settings.seed).to(memory_format=self.format)
        self._skipped_in_a_row = 0

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        """The loss of this process's part of a batch (see `BatchStream`)."""
        if batch["step"] != self.global_step:
            raise RuntimeError(f"batch {batch['step']} came in step {self.global_step}")
        distortion, rate = self.losses(batch["images"], self.noise(batch["seeds"]))
        self.log("rate", rate.mean())
        return (distortion + rate).mean()

    def losses(self, images: Tensor, noise: list[Tensor]) -> tuple[Tensor, Tensor]:
        """(b,) distortion and (b,) rate, in nats for each color of each pixel; their sum is what is minimised.

        Args:
            images: (b, 3, H, W) uint8.
            noise: standard normal, for each latent; see `VDVAE.forward`.
        """
        pixels = self.network.pixels
        inputs = pixels.inputs(images.float() / 255).contiguous(memory_format=self.format)
        parameters, rate = self.network(inputs, noise, self.settings.checkpointing)
        with torch.autocast(images.device.type, enabled=False):
            return Mixture.of(parameters).loss(pixels.targets(images), pixels), rate

    def noise(self, seeds: list[int]) -> list[Tensor]:
        """Standard normal numbers for the latents of each sample, from its seed."""
        shape = self.network.shape
        return split_noise(seeded_noise(seeds, (noise_size(shape),), self.device), shape)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradients, or drop them where their norm is too large or not a number: then nothing changes.

        Optimizers leave weights without gradients as they are, and the step counts all the same.
        """
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), self.settings.gradient_clip)
        self.skipped = not bool(norm < self.settings.skip_above)
        self._skipped_in_a_row = self._skipped_in_a_row + 1 if self.skipped else 0
        if self._skipped_in_a_row >= MOST_SKIPPED:
            raise WorkError(
                f"the gradients of the last {MOST_SKIPPED} steps were all too large, or not numbers; begin again with "
                "a lower learning rate, or a larger skip_above"
            )
        if self.skipped:
            optimizer.zero_grad(set_to_none=True)

    def configure_optimizers(self) -> Any:
        """AdamW with the published betas and weight decay, warm-up and cosine decay."""
        settings = self.settings
        # Not fused: Lightning cannot clip the gradients of fused optimizers under mixed precision.
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=settings.learning_rate, betas=BETAS, weight_decay=settings.weight_decay, foreach=True
        )
        return self.with_warm_up(optimizer)

    def compile_network(self) -> None:
        """Compile the network in place."""
        self.network.compile()

    def export(self, folder: Path) -> None:
        """Write the network as ``config.json`` and ``model.safetensors``."""
        save_network(self.network, folder)

    @torch.no_grad()
    def draw(self, run: RunFolder, step: int, examples: Tensor) -> None:
        """Save a picture of images with their reconstructions, and one of samples."""
        shown = examples[:: max(1, len(examples) // COLUMNS)][:COLUMNS].to(self.device)
        again = self.network.reconstructions(shown)
        save_grid(torch.stack([shown, again]), picture_path(run, "reconstructions", step))
        count = ROWS * COLUMNS
        samples = self.network.drawn(None, drawn_from_prior(self.noise(list(range(count))), TEMPERATURE), count)
        save_grid(samples.unflatten(0, (ROWS, COLUMNS)), picture_path(run, "samples", step))
