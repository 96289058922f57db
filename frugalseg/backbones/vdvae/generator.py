"""A very deep VAE as an `ImageGenerator`: where the decoder alone is read, the maps come from the pass that draws."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from frugalseg.backbones.generator import Drawn
from frugalseg.backbones.seeds import checked_seeds
from frugalseg.backbones.vdvae.logistic import Mixture
from frugalseg.backbones.vdvae.network import drawn_from_prior, noise_size, split_noise
from frugalseg.backbones.vdvae.pixels import to_images
from frugalseg.backbones.vdvae.settings import VDVAEGeneration
from frugalseg.features.feature_maps import FeatureMaps

if TYPE_CHECKING:
    from frugalseg.backbones.vdvae.backbone import VDVAEBackbone


class VDVAEGenerator:
    """Draws each latent from its prior, all those of an image from one seed.

    Args:
        backbone: whose network draws, at whose taps the maps are read.
        options: how images are drawn.
    """

    def __init__(self, backbone: "VDVAEBackbone", options: VDVAEGeneration) -> None:
        self.backbone, self.options = backbone, options

    @property
    def size(self) -> tuple[int, int]:
        """See `ImageGenerator`."""
        return self.backbone.native_size

    @property
    def maps_of(self) -> "VDVAEBackbone | None":
        """See `ImageGenerator`; None where the encoder is read, which does not take part in drawing."""
        return None if self.backbone.encoder_resolutions else self.backbone

    @torch.inference_mode()
    def draw(self, seeds: Sequence[int]) -> Drawn:
        """See `ImageGenerator`."""
        seeds, backbone, network = checked_seeds(seeds), self.backbone, self.backbone.network
        noise, uniform = self.numbers(seeds)
        latent = drawn_from_prior(split_noise(noise.to(backbone.device), network.shape), self.options.temperature)
        steps = network.decoder.walk(len(seeds), None, latent)
        maps, last = backbone.read(steps, len(network.shape.decoder_places) - 1)
        mixture = Mixture.of(network.out(last))
        pixels = mixture.most_likely() if uniform is None else mixture.sample(uniform.to(backbone.device))
        return Drawn(to_images(pixels).cpu(), FeatureMaps(maps, self.size) if self.maps_of else None)

    def numbers(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Normal numbers for the latents of each image, (N, .), and uniform ones for its pixels, (N, ., H, W)."""
        shape, generator = self.backbone.network.shape, torch.Generator()
        latents, pixels = [], []
        for seed in seeds:
            generator.manual_seed(seed)
            latents.append(torch.randn(noise_size(shape), generator=generator))
            if self.options.pixel_noise:
                pixels.append(torch.rand(shape.mixtures + 3, *shape.image_size, generator=generator))
        return torch.stack(latents), torch.stack(pixels) if pixels else None

    def settings(self) -> dict[str, Any]:
        """See `ImageGenerator`."""
        return {**asdict(self.options), "size": list(self.size)}
