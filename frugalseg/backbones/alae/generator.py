"""An autoencoder as an `ImageGenerator`: its feature maps come from the pass that draws."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from frugalseg.backbones.alae.network import colors
from frugalseg.backbones.alae.noise import STEADY, Noise, given_noise
from frugalseg.backbones.alae.settings import ALAEGeneration
from frugalseg.backbones.generator import Drawn
from frugalseg.backbones.seeds import checked_seeds
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.training.stream import seeded_noise

if TYPE_CHECKING:
    from frugalseg.backbones.alae.backbone import ALAEBackbone


class ALAEGenerator:
    """Draws z from a seed, maps it to a code with F, moves that towards the mean code and gives it to G.

    The maps are the same function of the code that the backbone gives for an image: only the code is drawn instead of
    found by the encoder.

    Args:
        backbone: whose networks draw, at whose taps the maps are read.
        options: how images are drawn.
    """

    def __init__(self, backbone: "ALAEBackbone", options: ALAEGeneration) -> None:
        self.backbone = backbone
        self.noise = options.noise or backbone.noise
        self.options = options

    @property
    def size(self) -> tuple[int, int]:
        """See `ImageGenerator`."""
        return self.backbone.native_size

    @property
    def maps_of(self) -> "ALAEBackbone | None":
        """See `ImageGenerator`; None where the noise is another than that of the features."""
        return self.backbone if self.noise == self.backbone.noise else None

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """(N, latent) float32 on the CPU: z of each seed."""
        return seeded_noise(checked_seeds(seeds), (self.backbone.network.shape.latent,))

    @torch.inference_mode()
    def draw(self, seeds: Sequence[int]) -> Drawn:
        """See `ImageGenerator`."""
        seeds, backbone, network = checked_seeds(seeds), self.backbone, self.backbone.network
        codes = network.mapping_fl(self.latents(seeds).to(backbone.device))
        styles = network.styles(codes, self.options.truncation, self.options.truncated_styles)
        top = network.shape.layers - 1
        maps, last = backbone.read(styles, top, self.noise_of(seeds))
        images = colors(network.generator.to_rgb[top](last))
        return Drawn(images.cpu(), FeatureMaps(maps, self.size) if self.maps_of else None)

    def noise_of(self, seeds: Sequence[int]) -> Noise:
        """What is added between the layers of the generator for the images of the seeds."""
        if self.noise in STEADY:
            return STEADY[self.noise]
        shape = self.backbone.network.shape
        sides = [shape.side(slot // 2) for slot in range(shape.slots)]
        # Behind the numbers of z in each seed's sequence, in which all maps lie one after another.
        numbers = seeded_noise(seeds, (shape.latent + sum(side**2 for side in sides),))[:, shape.latent :]
        parts = numbers.to(self.backbone.device).split([side**2 for side in sides], dim=1)
        return given_noise([part.view(-1, 1, side, side) for part, side in zip(parts, sides, strict=True)])

    def settings(self) -> dict[str, Any]:
        """See `ImageGenerator`."""
        return {**asdict(self.options), "noise": self.noise, "size": list(self.size)}
