"""Trains a StyleGAN2 on unlabelled images, with adaptive augmentation (Karras et al. 2020, both papers)."""

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from frugalseg.backbones.stylegan2.adaptive import AdaptiveProbability
from frugalseg.backbones.stylegan2.augmentation.pipeline import NUMBERS, augmented
from frugalseg.backbones.stylegan2.checkpoints.source import save_discriminator, save_generator
from frugalseg.backbones.stylegan2.losses import (
    PATH_DECAY,
    PATH_INTERVAL,
    R1_INTERVAL,
    discriminator_loss,
    generator_loss,
    laziness,
    path_lengths,
    r1_penalty,
)
from frugalseg.backbones.stylegan2.network.discriminator import Discriminator
from frugalseg.backbones.stylegan2.network.generator import Generator
from frugalseg.backbones.stylegan2.network.initial import random_network
from frugalseg.backbones.stylegan2.settings import StyleGAN2PretrainSettings
from frugalseg.pretraining.alternating import AlternatingModule
from frugalseg.report.grid import save_grid
from frugalseg.training.gradients import averaged, frozen
from frugalseg.training.run_folder import RunFolder, picture_path
from frugalseg.training.stream import seeded_noise

BETAS, EPS = (0.0, 0.99), 1e-8
OF_GENERATOR, OF_DISCRIMINATOR, OF_PHOTOGRAPHS, OF_PATHS, DIRECTIONS, CHANGES = range(6)
"""Uses of random numbers in a step, each of which has its own; from the last on, those that change images."""
ROWS, COLUMNS = 3, 8
"""Of a picture."""


@dataclass(frozen=True)
class Sampled:
    """What is drawn in a step.

    Attributes:
        ws: (B, N, W) latents of each layer.
        images: (B, 3, R, R) drawn from them, in [-1, 1] and beyond.
    """

    ws: Tensor
    images: Tensor


class StyleGAN2Pretraining(AlternatingModule):
    """Generator and discriminator take turns; now and then each takes one more step, down its penalty alone.

    The penalties are computed in float32 in any case: they differentiate gradients.
    """

    settings: StyleGAN2PretrainSettings
    not_averaged = ("discriminator", "augmentation")

    def __init__(self, settings: StyleGAN2PretrainSettings, channels_last: bool = False) -> None:
        """`settings` must be complete (`StyleGAN2PretrainSettings.chosen_for`)."""
        super().__init__(settings, channels_last)
        assert settings.augment_images is not None
        shape, judge, seed = settings.generator_shape, settings.discriminator_shape, settings.seed
        self.generator = random_network(Generator, shape, seed=seed).to(memory_format=self.format)
        self.discriminator = random_network(Discriminator, judge, seed=seed + 1).to(memory_format=self.format)
        self.augmentation = AdaptiveProbability(settings.augment_target, settings.augment_images)
        self.register_buffer("path_length", torch.zeros([]))

    def make_optimizers(self) -> dict[str, Optimizer]:
        """Adam for each network, a little slower for the steps that its penalty adds."""
        settings, made = self.settings, {}
        for name, network, interval in (
            ("generator", self.generator, PATH_INTERVAL if settings.path_weight else None),
            ("discriminator", self.discriminator, R1_INTERVAL if settings.gamma else None),
        ):
            share = laziness(interval)
            betas = (BETAS[0] ** share, BETAS[1] ** share)
            made[name] = Adam(network.parameters(), settings.learning_rate * share, betas, EPS, foreach=True)
        return dict(made)

    def step_kind(self, step: int) -> Hashable:
        """See `PretrainingModule`: which penalties it has."""
        return self.has_path(step), self.has_r1(step)

    def has_path(self, step: int) -> bool:
        """Whether the penalty on path lengths is taken in a step."""
        return self.settings.path_weight > 0 and step % PATH_INTERVAL == 0

    def has_r1(self, step: int) -> bool:
        """Whether the penalty on the discriminator's gradients is taken in a step."""
        assert self.settings.gamma is not None
        return self.settings.gamma > 0 and step % R1_INTERVAL == 0

    def updates(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """See `AlternatingModule`."""
        step, seeds = batch["step"], batch["seeds"]
        real = (batch["images"].float() / 127.5 - 1).contiguous(memory_format=self.format)
        terms = {}
        with frozen(self.discriminator):
            deceived = generator_loss(self.judged(self.sampled(seeds, OF_GENERATOR).images, seeds, OF_GENERATOR))
            self.update(deceived, "generator")
        if self.has_path(step):
            terms["paths"] = self.lengths_penalty(seeds[: max(1, len(seeds) // 2)])
            self.update(terms["paths"] * (self.settings.path_weight * PATH_INTERVAL), "generator")
        with torch.no_grad():
            drawn = self.sampled(seeds, OF_DISCRIMINATOR).images
        logits = self.judged(real, seeds, OF_PHOTOGRAPHS)
        loss = discriminator_loss(logits, self.judged(drawn, seeds, OF_DISCRIMINATOR))
        self.update(loss, "discriminator")
        if self.has_r1(step):
            terms["r1"] = self.gradient_penalty(real, seeds)
            self.update(terms["r1"] * (self.half_gamma * R1_INTERVAL), "discriminator")
        self.augmentation.follow(averaged(logits.detach().float().sign().mean()), self.settings.images_per_step)
        return {"loss": loss, "generator": deceived, **terms, "augmented": self.augmentation.get_buffer("p")}

    @property
    def half_gamma(self) -> float:
        """The weight of the penalty on the discriminator's gradients."""
        assert self.settings.gamma is not None
        return self.settings.gamma / 2

    def sampled(self, seeds: list[int], use: int) -> Sampled:
        """Latents and the images that are drawn from them.

        Most latents are two: the first for the layers before some layer, the second from there on (Karras et al. 2019,
        section 3.1). Where they change is drawn for each image; the published code draws it for a whole batch.
        """
        shape, count = self.generator.shape, len(seeds)
        sides = [noise.shape[-1] for noise in self.generator.synthesis.constant_noise]
        sizes = [shape.z_width, shape.z_width, 2, *(side**2 for side in sides)]
        z, other, mixing, *maps = seeded_noise(used_for(seeds, use), (sum(sizes),), self.device).split(sizes, dim=1)
        ws = self.latents(z, other, mixing)
        noise = [values.view(count, 1, side, side) for values, side in zip(maps, sides, strict=True)]
        return Sampled(ws, self.generator.synthesis(ws, noise))

    def latents(self, z: Tensor, other: Tensor, mixing: Tensor) -> Tensor:
        """(B, N, W): latents, two of them mixed where the (B, 2) numbers `mixing` say so. Their mean moves along."""
        mapping = self.generator.mapping
        first = mapping.latents(z)
        mapping.update_mean(averaged(first.float().mean(dim=0))[None])
        mixed, place = torch.special.ndtr(mixing.float()).unbind(1)
        cut = 1 + (place * (mapping.num_ws - 1)).floor()
        cut = torch.where(mixed < self.settings.style_mixing, cut, mapping.num_ws)
        takes_first = torch.arange(mapping.num_ws, device=z.device) < cut[:, None]
        return torch.where(takes_first[:, :, None], first[:, None], mapping.latents(other)[:, None])

    def judged(self, images: Tensor, seeds: list[int], use: int) -> Tensor:
        """(B, 1): logits of images that are changed at random."""
        numbers = seeded_noise(used_for(seeds, CHANGES + use), (NUMBERS,))
        logits: Tensor = self.discriminator(augmented(images, self.augmentation.probability, numbers))
        return logits

    def lengths_penalty(self, seeds: list[int]) -> Tensor:
        """The variance of the path lengths around their mean, which moves along (section 3.2)."""
        with torch.autocast(self.device.type, enabled=False):
            found = self.sampled(seeds, OF_PATHS)
            noise = seeded_noise(used_for(seeds, DIRECTIONS), tuple(found.images.shape[1:]), self.device)
            lengths = path_lengths(found.images, found.ws, noise)
        mean = self.get_buffer("path_length")
        mean.lerp_(averaged(lengths.mean()), PATH_DECAY)
        penalty: Tensor = (lengths - mean).square().mean()
        return penalty

    def gradient_penalty(self, real: Tensor, seeds: list[int]) -> Tensor:
        """R1 on photographs that are changed at random."""
        with torch.autocast(self.device.type, enabled=False):
            return r1_penalty(lambda images: self.judged(images, seeds, OF_PHOTOGRAPHS), real)

    def export(self, folder: Path) -> None:
        """Write the generator as ``config.json`` and ``model.safetensors``, and the discriminator in a folder below."""
        save_generator(self.generator, folder)
        save_discriminator(self.discriminator, folder)

    @torch.no_grad()
    def draw(self, run: RunFolder, step: int, examples: Tensor) -> None:
        """Save a picture of images from the same latents each time, with the network's constant noise."""
        generator = self.generator
        z = seeded_noise(range(ROWS * COLUMNS), (generator.shape.z_width,)).to(self.device)
        images = generator(z, generator.synthesis.constant_noise) / 2 + 0.5
        save_grid(images.unflatten(0, (ROWS, COLUMNS)), picture_path(run, "samples", step))


def used_for(seeds: list[int], use: int) -> list[int]:
    """Seeds of one use of random numbers, from those of the samples."""
    return [(seed + use) % 2**63 for seed in seeds]
