"""Trains a masked autoencoder on unlabelled images (He et al. 2022); its encoder is a backbone."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frugalseg.backbones.mae.checkpoint import save_network
from frugalseg.backbones.mae.crops import cut, random_windows
from frugalseg.backbones.mae.network import (
    DecoderShape,
    EncoderShape,
    MaskedAutoencoder,
    denormalised,
    from_patches,
    loss_of_images,
    normalised,
    random_network,
    statistics,
    to_patches,
)
from frugalseg.backbones.mae.settings import HEAD_WIDTH, MAEPretrainSettings
from frugalseg.pretraining.module import PretrainingModule
from frugalseg.report.grid import save_grid
from frugalseg.training.run_folder import RunFolder, picture_path
from frugalseg.training.stream import seeded_noise

BETAS = (0.9, 0.95)
SHOWN = 8
"""Images in a picture."""
HIDDEN_GREY = 0.5


class MAEPretraining(PretrainingModule):
    """Hides most patches of an image and predicts their pixels from the others.

    The loss is the squared error over the hidden patches, whose pixels are normalised patch by patch (section 3).
    """

    settings: MAEPretrainSettings

    def __init__(self, settings: MAEPretrainSettings, channels_last: bool = False) -> None:
        """`settings` must be complete (`MAEPretrainSettings.chosen_for`)."""
        super().__init__(settings, channels_last)
        self.network = random_network(MaskedAutoencoder, *shapes(settings), seed=settings.seed)

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        """The loss of this process's part of a batch (see `BatchStream`)."""
        if batch["step"] != self.global_step:
            raise RuntimeError(f"batch {batch['step']} came in step {self.global_step}")
        with torch.autocast(self.device.type, enabled=False):
            images = normalised(self.windows(batch["images"], batch["seeds"]))
        predicted, mask = self.network(images, self.noise(batch["seeds"]), self.settings.mask_ratio)
        return loss_of_images(images, predicted, mask, self.network.shape.patch).mean()

    def windows(self, images: Tensor, seeds: list[int]) -> Tensor:
        """(B, 3, H, W) float32 in [0, 1], of the training size: a random window of each (B, 3, ., .) uint8 image."""
        size, smallest = self.network.shape.image_size, self.settings.smallest_crop
        assert smallest is not None
        scaled = images.float() / 255
        if smallest == 1 and images.shape[2:] == size:
            return scaled
        return cut(scaled, random_windows(seeds, smallest), size)

    def noise(self, seeds: list[int]) -> Tensor:
        """(B, L): what decides which patches of each sample are hidden."""
        rows, columns = self.network.shape.grid
        return seeded_noise(seeds, (rows * columns,), self.device)

    def configure_optimizers(self) -> Any:
        """AdamW with the paper's betas and weight decay (appendix A.1), warm-up and cosine decay."""
        settings = self.settings
        weights = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in weights if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
        ]
        # Not fused: Lightning cannot clip the gradients of fused optimizers under mixed precision.
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=BETAS, foreach=True)
        return self.with_warm_up(optimizer)

    def compile_network(self) -> None:
        """Compile the network in place."""
        self.network.compile()

    def export(self, folder: Path) -> None:
        """Write encoder and decoder as ``config.json`` and ``model.safetensors``."""
        save_network(self.network, folder)

    @torch.no_grad()
    def draw(self, run: RunFolder, step: int, examples: Tensor) -> None:
        """Save a picture of images, of what is left of them, and of what the network makes of that."""
        shown = examples[:: max(1, len(examples) // SHOWN)][:SHOWN].to(self.device)
        whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.float64).expand(len(shown), 4)
        images = cut(shown, whole, self.network.shape.image_size)
        save_grid(torch.stack([images, *self.filled(images)]), picture_path(run, "reconstructions", step))

    def filled(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images with most patches hidden, and with the predictions in their place; (B, 3, H, W) in [0, 1] all three.

        The network predicts pixels in units of each patch's mean and deviation; those of the true patch are put back.
        """
        patch, grid = self.network.shape.patch, self.network.shape.grid
        target = normalised(images)
        predicted, mask = self.network(target, self.noise(list(range(len(images)))), self.settings.mask_ratio)
        mean, deviation = statistics(to_patches(target, patch))
        guessed = denormalised(from_patches(predicted * deviation + mean, grid, patch))
        hidden = from_patches(mask[..., None].expand_as(predicted), grid, patch).bool()
        return torch.where(hidden, HIDDEN_GREY, images), torch.where(hidden, guessed, images)


def shapes(settings: MAEPretrainSettings) -> tuple[EncoderShape, DecoderShape]:
    """The network that complete settings describe."""
    assert settings.image_size and settings.patch and settings.width and settings.depth
    assert settings.decoder_width and settings.decoder_depth
    return (
        EncoderShape(settings.image_size, settings.patch, settings.width, settings.depth, settings.width // HEAD_WIDTH),
        DecoderShape(settings.decoder_width, settings.decoder_depth, settings.decoder_width // (HEAD_WIDTH // 2)),
    )
