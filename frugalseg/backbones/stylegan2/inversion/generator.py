"""Draws images with the generator of an inversion, and gives the maps of the pass that drew them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from frugalseg.backbones.generator import Drawn
from frugalseg.backbones.stylegan2.generator import latents_of
from frugalseg.backbones.stylegan2.inversion.settings import GANInversionGeneration
from frugalseg.features.feature_maps import FeatureMaps

if TYPE_CHECKING:
    from frugalseg.backbones.stylegan2.inversion.backbone import GANInversionBackbone


class GANInversionGenerator:
    """An `ImageGenerator`.

    The maps are the same function of the code that the backbone gives for an image: only the code is drawn instead of
    found by the encoder. So a model that learned from photographs labels what is drawn here.

    Args:
        backbone: its generator draws, at its taps the maps are read.
        options: how it draws.
    """

    def __init__(self, backbone: "GANInversionBackbone", options: GANInversionGeneration) -> None:
        self.maps_of, self.options = backbone, options

    @property
    def size(self) -> tuple[int, int]:
        """See `ImageGenerator`."""
        return self.maps_of.native_size

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """(N, Z) float32 on the CPU: the normal numbers z of the images of `seeds`, as those of a StyleGAN2."""
        return latents_of(self.maps_of.network.generator, seeds)

    @torch.inference_mode()
    def draw(self, seeds: Sequence[int]) -> Drawn:
        """See `ImageGenerator`."""
        backbone = self.maps_of
        z = self.latents(seeds).to(backbone.device)
        codes = backbone.network.generator.mapping(z, self.options.truncation)
        images, maps = backbone.drawn(codes)
        return Drawn(images.cpu(), FeatureMaps(maps, self.size))

    def settings(self) -> dict[str, Any]:
        """See `ImageGenerator`."""
        return {**asdict(self.options), "size": list(self.size)}
