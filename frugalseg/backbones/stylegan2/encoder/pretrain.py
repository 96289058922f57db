"""Trains an encoder for a StyleGAN2 on photographs (e4e, Tov et al. 2021); it is a backbone, and inverts the GAN."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from frugalseg.backbones.stylegan2.checkpoints.source import load_generator
from frugalseg.backbones.stylegan2.encoder.inverter import Inverter, per_layer, resized
from frugalseg.backbones.stylegan2.encoder.latent import LatentDiscriminator
from frugalseg.backbones.stylegan2.encoder.losses import deception, delta_lengths, detection, image_distance
from frugalseg.backbones.stylegan2.encoder.network import Encoder, in_range, random_network
from frugalseg.backbones.stylegan2.encoder.pair import discriminator_beside, save_inverter
from frugalseg.backbones.stylegan2.encoder.settings import E4EPretrainSettings
from frugalseg.backbones.stylegan2.encoder.shape import HeadShape, TrunkShape
from frugalseg.pretraining.alternating import AlternatingModule
from frugalseg.report.grid import save_grid
from frugalseg.training.gradients import frozen
from frugalseg.training.run_folder import RunFolder, picture_path
from frugalseg.training.stream import seeded_noise

BETAS = (0.9, 0.999)
R1_INTERVAL = 16
"""Steps from one penalty of the latent discriminator to the next, whose weight is as many times larger."""
SHOWN = 8
"""Images in a picture."""


class E4EPretraining(AlternatingModule):
    """An encoder whose codes make a frozen generator draw the images again, near the latents that it knows.

    At first all codes of an image are one; then they are told apart one after another. A latent discriminator, which
    learns meanwhile, tells them from latents of the mapping network.
    """

    settings: E4EPretrainSettings
    not_averaged = ("judge",)

    def __init__(self, settings: E4EPretrainSettings, channels_last: bool = False) -> None:
        """`settings` must be complete (`E4EPretrainSettings.chosen_for`)."""
        super().__init__(settings, channels_last)
        assert settings.generator is not None and settings.image_size is not None
        generator = load_generator(settings.generator)
        trunk, heads = shapes(settings, generator.shape.num_ws, generator.shape.w_width)
        encoder = random_network(Encoder, trunk, heads, seed=settings.seed).to(memory_format=self.format)
        average = per_layer(generator.mapping.mean, heads.codes)
        critic = discriminator_beside(Path(settings.generator))
        self.network = Inverter(encoder, generator, critic, average, settings.image_size)
        for fixed in (self.network.generator, self.network.discriminator):
            if fixed is not None:
                fixed.requires_grad_(False)
        self.judge = LatentDiscriminator(heads.width, settings.seed + 1)

    def make_optimizers(self) -> dict[str, Optimizer]:
        """Adam for the encoder and for the latent discriminator."""
        settings, encoder = self.settings, self.network.encoder
        return {
            "encoder": Adam(encoder.parameters(), settings.learning_rate, BETAS, foreach=True),
            "judge": Adam(self.judge.parameters(), settings.latent_rate, BETAS, foreach=True),
        }

    def step_kind(self, step: int) -> Hashable:
        """See `PretrainingModule`: how many codes are told apart, and whether there is a penalty."""
        return self.apart(step), self.has_penalty(step)

    def apart(self, step: int) -> int:
        """How many codes are told apart in a step."""
        return self.settings.codes_apart(step, self.network.encoder.heads.codes)

    def has_penalty(self, step: int) -> bool:
        """Whether the latent discriminator's penalty is taken in a step."""
        return self.settings.latent_gamma > 0 and step % R1_INTERVAL == 0

    def updates(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """See `AlternatingModule`."""
        apart = self.apart(batch["step"])
        images = in_range(batch["images"].float() / 255).contiguous(memory_format=self.format)
        codes = self.network.codes(images, apart)
        terms = self.encoder_update(images, codes, apart)
        known = self.known_latents(batch["seeds"])
        terms["detection"] = self.judge_update(known, codes.detach()[:, :apart])
        if self.has_penalty(batch["step"]):
            terms["r1"] = self.penalty_update(known)
        return terms

    def encoder_update(self, images: Tensor, codes: Tensor, apart: int) -> dict[str, Tensor]:
        """Bring the drawn images nearer to the given ones, and the codes nearer to each other and to known latents."""
        settings, network = self.settings, self.network
        target = resized(images, network.frame)
        distance = image_distance(network, network.drawn(codes), target, settings.feature_weight).mean()
        deltas = delta_lengths(codes, apart)
        with frozen(self.judge):
            deceived = deception(self.judge(codes[:, :apart].flatten(0, 1)))
            loss = distance + settings.delta_weight * deltas + settings.latent_weight * deceived
            self.update(loss, "encoder")
        return {"loss": loss, "distance": distance, "deltas": deltas, "deception": deceived}

    def judge_update(self, known: Tensor, codes: Tensor) -> Tensor:
        """Teach the latent discriminator to tell known latents from codes."""
        loss = detection(self.judge(known), self.judge(codes.flatten(0, 1)))
        self.update(loss, "judge")
        return loss

    def penalty_update(self, known: Tensor) -> Tensor:
        """Keep the latent discriminator smooth around known latents (R1), in float32."""
        with torch.autocast(self.device.type, enabled=False):
            places = known.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.judge(places).sum(), places, create_graph=True)
            penalty = slope.square().sum(dim=1).mean()
        self.update(penalty * (self.settings.latent_gamma / 2 * R1_INTERVAL), "judge")
        return penalty

    @torch.no_grad()
    def known_latents(self, seeds: list[int]) -> Tensor:
        """(B, W): latents of the mapping network, one for each sample."""
        mapping = self.network.generator.mapping
        return mapping.latents(seeded_noise(seeds, (self.network.generator.shape.z_width,), self.device))

    def compile_network(self) -> None:
        """Compile the encoder in place."""
        self.network.encoder.compile()

    def export(self, folder: Path) -> None:
        """Write encoder, generator and discriminator as ``config.json`` and ``model.safetensors``."""
        save_inverter(self.network, folder)

    @torch.no_grad()
    def draw(self, run: RunFolder, step: int, examples: Tensor) -> None:
        """Save a picture of images above those that are drawn from their codes."""
        shown = examples[:: max(1, len(examples) // SHOWN)][:SHOWN].to(self.device)
        network, training = self.network, self.network.training
        network.eval()
        drawn = network.framed(network.drawn(network.codes(in_range(shown), self.apart(max(step - 1, 0)))))
        network.train(training)
        seen = resized(shown, network.frame).clamp(0, 1)
        save_grid(torch.stack([seen, drawn / 2 + 0.5]), picture_path(run, "inversions", step))


def shapes(settings: E4EPretrainSettings, codes: int, code_width: int) -> tuple[TrunkShape, HeadShape]:
    """The encoder that complete settings describe, for a generator that takes so many codes of such a width."""
    width, units, first_stride = settings.width, settings.units, settings.first_stride
    assert width and units and first_stride and settings.image_size
    trunk = TrunkShape(width, (width, 2 * width, 4 * width, 8 * width), (*units,), first_stride)  # type: ignore[arg-type]
    halvings = (settings.image_size[1] // trunk.stride).bit_length() - 1
    return trunk, HeadShape(codes, code_width, halvings)
