"""Trains an adversarial latent autoencoder on unlabelled images (Pidhorskyi et al. 2020), growing as it goes."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer

from frugalseg.backbones.alae.checkpoint import save_network
from frugalseg.backbones.alae.growth import Growth, Stage
from frugalseg.backbones.alae.losses import at_size, discriminator_loss, faded, generator_loss, reciprocity_loss
from frugalseg.backbones.alae.network import PSI, colors, random_network
from frugalseg.backbones.alae.noise import Noise, given_noise
from frugalseg.backbones.alae.optimizer import EqualizedAdam, groups_of
from frugalseg.backbones.alae.settings import ALAEPretrainSettings, layers_for
from frugalseg.pretraining.alternating import AlternatingModule
from frugalseg.report.grid import save_grid
from frugalseg.training.gradients import averaged, frozen
from frugalseg.training.run_folder import RunFolder, picture_path
from frugalseg.training.stream import STEP, random_numbers, seeded_noise

MEAN_CODE_RATE = 0.005
"""How far the mean code moves towards the mean of a batch, each time that codes are drawn."""
DRAWS = 3
"""Times that a step draws images: for the discriminator, for the generator, and for the codes."""
SHOWN = 8
"""Images in a row of a picture."""


@dataclass(frozen=True)
class Randomness:
    """What is random about one drawing of images.

    Attributes:
        z: (B, latent) normal numbers.
        other: (B, latent) normal numbers for the second code, where two are mixed.
        noise: between the layers of the generator.
    """

    z: Tensor
    other: Tensor
    noise: Noise


class ALAEPretraining(AlternatingModule):
    """Three updates a batch: E and D tell images from drawn ones, G and F deceive them, and E, G and F agree on codes.

    The network begins with small images and grows. Each time it does, the optimizers forget their means.
    """

    settings: ALAEPretrainSettings

    def __init__(self, settings: ALAEPretrainSettings, channels_last: bool = False) -> None:
        """`settings` must be complete (`ALAEPretrainSettings.chosen_for`)."""
        super().__init__(settings, channels_last)
        assert settings.growing_steps is not None
        self.network = random_network(settings.shape, settings.seed).to(memory_format=self.format)
        first = layers_for(settings.first_size) - 1
        self.growth = Growth(first, settings.shape.layers - 1, settings.growing_steps)

    def make_optimizers(self) -> dict[str, Optimizer]:
        """One for what sees images, one for what draws them."""
        network, rate = self.network, self.settings.learning_rate
        return {
            "encoder": EqualizedAdam(groups_of(network.discriminator, network.mapping_tl), rate),
            "generator": EqualizedAdam(groups_of(network.generator, network.mapping_fl), rate),
        }

    def step_kind(self, step: int) -> Hashable:
        """See `PretrainingModule`: the resolution, and whether it fades in."""
        stage = self.growth.at(step)
        return stage.level, stage.blend < 1

    def updates(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """See `AlternatingModule`."""
        stage, network = self.growth.at(batch["step"]), self.network
        if stage.begins:
            self.forget()
        level, blend, draws = stage.level, stage.blend, self.draws(batch, stage.level)
        real = self.images(batch["images"], stage)
        with torch.no_grad():
            fake = self.drawn(next(draws), stage, batch["step"])
        loss, penalty = discriminator_loss(network, real, fake, blend, self.settings.penalty)
        self.update(loss, "encoder")
        with frozen(network.discriminator, network.mapping_tl):
            deceived = generator_loss(network, self.drawn(next(draws), stage, batch["step"]), blend)
            self.update(deceived, "generator")
        last = next(draws)
        agreed = reciprocity_loss(network, self.codes(last.z), level, blend, last.noise)
        self.update(agreed, "encoder", "generator")
        return {"loss": loss, "generator": deceived, "reciprocity": agreed, "penalty": penalty}

    def forget(self) -> None:
        """Let the optimizers begin anew."""
        for name in self.rates:
            optimizer = self.optimizer(name)
            assert isinstance(optimizer, EqualizedAdam)
            optimizer.forget()

    def images(self, images: Tensor, stage: Stage) -> Tensor:
        """(B, 3, S, S) float32 in [-1, 1] at a stage, from uint8 images at full size."""
        scaled = at_size(images.float() / 127.5 - 1, self.settings.shape.side(stage.level))
        return faded(scaled, stage.blend).contiguous(memory_format=self.format)

    def draws(self, batch: dict[str, Any], level: int) -> Iterator[Randomness]:
        """What is random about each drawing of a step, from the seeds of the samples alone."""
        latent, shape = self.settings.shape.latent, self.settings.shape
        sides = [shape.side(slot // 2) for slot in range(2 * level + 2)]
        sizes = [latent, latent, *(side**2 for side in sides)]
        for numbers in seeded_noise(batch["seeds"], (DRAWS, sum(sizes)), self.device).unbind(1):
            z, other, *maps = numbers.split(sizes, dim=1)
            yield Randomness(z, other, given_noise([m.view(-1, 1, s, s) for m, s in zip(maps, sides, strict=True)]))

    def drawn(self, random: Randomness, stage: Stage, step: int) -> Tensor:
        """(B, 3, S, S) images; most are drawn from two codes (Karras et al. 2019, section 3.1)."""
        styles = self.network.styles(self.codes(random.z))
        cut = self.cut(step, 2 * stage.level + 2)
        if cut is not None:
            others = self.network.styles(self.network.mapping_fl(random.other))
            styles = torch.cat([styles[:, :cut], others[:, cut:]], dim=1)
        images: Tensor = self.network.generator(styles, stage.level, stage.blend, random.noise)
        return images

    def cut(self, step: int, styles: int) -> int | None:
        """The first style of the second code in a step; None where there is only one."""
        numbers = random_numbers(self.settings.seed, STEP, step)
        return int(numbers.integers(1, styles)) if numbers.random() < self.settings.style_mixing else None

    def codes(self, z: Tensor) -> Tensor:
        """(B, latent) codes of random vectors, towards which the mean code moves."""
        codes: Tensor = self.network.mapping_fl(z)
        mean = averaged(codes.float().mean(dim=0))
        self.network.dlatent_avg.buff.lerp_(mean.expand_as(self.network.dlatent_avg.buff), MEAN_CODE_RATE)
        return codes

    def export(self, folder: Path) -> None:
        """Write all networks as ``config.json`` and ``model.safetensors``."""
        save_network(self.network, folder)

    @torch.no_grad()
    def draw(self, run: RunFolder, step: int, examples: Tensor) -> None:
        """Save a picture of images beside their reconstructions, and one of drawn images."""
        stage, network = self.growth.at(max(step - 1, 0)), self.network
        examples = examples[:: max(1, len(examples) // SHOWN)][:SHOWN].to(self.device)
        images = at_size(2 * examples - 1, self.settings.shape.side(stage.level))
        codes = network.discriminator(images, stage.blend)
        found = self.shown(network.styles(codes), stage)
        save_grid(torch.stack([examples, found]), picture_path(run, "reconstructions", step))
        z = seeded_noise(range(3 * SHOWN), (self.settings.shape.latent,)).to(self.device)
        samples = self.shown(network.styles(network.mapping_fl(z), PSI), stage)
        save_grid(samples.unflatten(0, (3, SHOWN)), picture_path(run, "samples", step))

    def shown(self, styles: Tensor, stage: Stage) -> Tensor:
        """(B, 3, H, W) in [0, 1]: images of a stage, at full size."""
        images = colors(self.network.generator(styles, stage.level, stage.blend))
        return functional.interpolate(images, size=self.settings.image_size)
