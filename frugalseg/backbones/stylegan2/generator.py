"""Draws images with a StyleGAN2, and gives the maps of the pass that drew them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from frugalseg.backbones.generator import Drawn
from frugalseg.backbones.seeds import checked_seeds
from frugalseg.backbones.stylegan2.network.generator import Generator
from frugalseg.backbones.stylegan2.settings import StyleGAN2Generation
from frugalseg.features.feature_maps import FeatureMaps

if TYPE_CHECKING:
    from frugalseg.backbones.stylegan2.backbone import StyleGAN2Backbone


class StyleGAN2Generator:
    """An `ImageGenerator`.

    Args:
        backbone: its network draws, at its taps the maps are read.
        options: how it draws.
    """

    def __init__(self, backbone: "StyleGAN2Backbone", options: StyleGAN2Generation) -> None:
        self.maps_of, self.options = backbone, options

    @property
    def size(self) -> tuple[int, int]:
        """See `ImageGenerator`."""
        return self.maps_of.native_size

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """(N, Z) float32 on the CPU: the normal numbers z of the images of `seeds`."""
        return latents_of(self.maps_of.network, seeds)

    @torch.inference_mode()
    def draw(self, seeds: Sequence[int]) -> Drawn:
        """See `ImageGenerator`. The random numbers are drawn on the CPU: they are the same on all devices."""
        device, mapping = self.maps_of.device, self.maps_of.network.mapping
        numbers = [_numbers(seed) for seed in checked_seeds(seeds)]
        z = torch.cat([_z(self.maps_of.network, each) for each in numbers])
        noise = self._noise(numbers)
        ws = mapping(z.to(device), self.options.truncation)
        images, maps = self.maps_of.synthesize(ws, noise)
        return Drawn((images.cpu() / 2 + 0.5).clamp(0, 1), FeatureMaps(maps, self.size))

    def settings(self) -> dict[str, Any]:
        """See `ImageGenerator`."""
        return {**asdict(self.options), "size": list(self.size)}

    def _noise(self, numbers: Sequence[torch.Generator]) -> list[Tensor] | None:
        """What each convolution adds; what a sample's own is comes from its random numbers, after its z."""
        synthesis = self.maps_of.network.synthesis
        if self.options.noise == "none":
            return None
        if self.options.noise == "constant":
            return synthesis.constant_noise
        shapes = [(1, 1, *noise.shape) for noise in synthesis.constant_noise]
        drawn = [[torch.randn(shape, generator=each) for shape in shapes] for each in numbers]
        return [torch.cat(layer).to(self.maps_of.device) for layer in zip(*drawn, strict=True)]


def latents_of(network: Generator, seeds: Sequence[int]) -> Tensor:
    """(N, Z) float32 on the CPU: the normal numbers z of the images that a network draws from `seeds`.

    Raises:
        InputError: no seeds, or something that is none.
    """
    return torch.cat([_z(network, _numbers(seed)) for seed in checked_seeds(seeds)])


def _z(network: Generator, numbers: torch.Generator) -> Tensor:
    """(1, Z): the first of a sample's random numbers."""
    return torch.randn(1, network.shape.z_width, generator=numbers)


def _numbers(seed: int) -> torch.Generator:
    """The random numbers of a sample."""
    return torch.Generator().manual_seed(seed)
