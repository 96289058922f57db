"""A generator of two layers whose activations are the features."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frugalseg.backbones import Backbone, saved
from frugalseg.backbones.generator import Drawn, drawing_options
from frugalseg.backbones.seeds import checked_seeds
from frugalseg.backbones.weights import load_strictly
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.taps import Tap
from tests.backbones.blind_family.settings import PaintGeneration, PaintOptions

SIZE = (16, 24)
LATENT = 6


def random_network(seed: int) -> nn.ModuleList:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.ModuleList([nn.Linear(LATENT, 8 * 4 * 6), nn.Conv2d(8, 12, 3, 1, 1), nn.Conv2d(12, 3, 1, bias=False)])


class PaintBackbone(Backbone):
    family = "paint"
    reads_images = False
    reader = "grain"

    def __init__(self, network: nn.ModuleList, layers: Sequence[int]) -> None:
        super().__init__()
        self.network, self.layers = network, tuple(layers)
        every = (Tap("layer0", 8, 4), Tap("layer1", 12, 2))
        self.taps = tuple(every[n] for n in self.layers)
        self.stride, self.native_size, self.fixed_size = 4, SIZE, SIZE

    @classmethod
    def from_checkpoint(cls, checkpoint: str | Path | None, options: PaintOptions) -> Self:
        network = random_network(0)
        if checkpoint is not None:
            saved.read_config(Path(checkpoint), cls.family)
            load_strictly(network, saved.read_weights(Path(checkpoint)), checkpoint)
        return cls(network, options.layers or (0, 1))

    def config(self) -> dict[str, Any]:
        return {"layers": list(self.layers)}

    def save_weights(self, folder: Path) -> None:
        saved.save_network(self.network, folder, {"family": self.family})

    @classmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        return cls.from_checkpoint(folder, PaintOptions(tuple(config["layers"])))

    def reinitialised(self, seed: int) -> Self:
        return type(self)(random_network(seed), self.layers).eval().requires_grad_(False)

    def generator(self, options: PaintGeneration | None = None) -> "PaintGenerator":
        return PaintGenerator(self, drawing_options(options, PaintGeneration))


class PaintGenerator:
    def __init__(self, backbone: PaintBackbone, options: PaintGeneration) -> None:
        self.maps_of, self.options, self.size = backbone, options, SIZE

    def latents(self, seeds: Sequence[int]) -> Tensor:
        numbers = map(torch.Generator().manual_seed, checked_seeds(seeds))
        return torch.stack([torch.randn(LATENT, generator=each) for each in numbers])

    @torch.inference_mode()
    def draw(self, seeds: Sequence[int]) -> Drawn:
        first, second, last = self.maps_of.network
        values, found = first(self.latents(seeds) * self.options.truncation).view(-1, 8, 4, 6), []
        found.append(values)
        found.append(values := second(F.interpolate(values.relu(), scale_factor=2.0)))
        images = (20 * last(F.interpolate(values.relu(), scale_factor=2.0))).sigmoid()
        return Drawn(images, FeatureMaps([found[n] for n in self.maps_of.layers], SIZE))

    def settings(self) -> dict[str, Any]:
        return {"truncation": self.options.truncation, "size": list(SIZE)}
