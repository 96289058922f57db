"""Two layers of random convolutions, and what draws pictures for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frugalseg.backbones import Backbone, saved
from frugalseg.backbones.generator import Drawn, drawing_options
from frugalseg.backbones.weights import load_strictly
from frugalseg.features.taps import Tap
from tests.backbones.new_family.settings import GrainGeneration, GrainOptions

SIZE = (16, 24)


def random_network(seed: int) -> nn.ModuleList:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.ModuleList([nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 12, 3, 2, 1)])


class GrainBackbone(Backbone):
    family = "grain"

    def __init__(self, network: nn.ModuleList, layers: Sequence[int]) -> None:
        super().__init__()
        self.network, self.layers = network, tuple(layers)
        self.taps = tuple(Tap(f"layer{n}", network[n].out_channels, 2 ** (n + 1)) for n in self.layers)
        self.stride, self.native_size = 4, SIZE

    @classmethod
    def from_checkpoint(cls, checkpoint: str | Path | None, options: GrainOptions) -> Self:
        network = random_network(0)
        if checkpoint is not None:
            saved.read_config(Path(checkpoint), cls.family)
            load_strictly(network, saved.read_weights(Path(checkpoint)), checkpoint)
        return cls(network, options.layers or (0, 1))

    def maps(self, images: Tensor) -> list[Tensor]:
        values, found = images * 2 - 1, []
        for layer in self.network:
            found.append(values := layer(values).relu())
        return [found[n] for n in self.layers]

    def config(self) -> dict[str, Any]:
        return {"layers": list(self.layers)}

    def save_weights(self, folder: Path) -> None:
        saved.save_network(self.network, folder, {"family": self.family})

    @classmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        return cls.from_checkpoint(folder, GrainOptions(tuple(config["layers"])))

    def reinitialised(self, seed: int) -> Self:
        return type(self)(random_network(seed), self.layers).eval().requires_grad_(False)

    def generator(self, options: GrainGeneration | None = None) -> "GrainGenerator":
        return GrainGenerator(self, drawing_options(options, GrainGeneration))


class GrainGenerator:
    def __init__(self, backbone: GrainBackbone, options: GrainGeneration) -> None:
        self.maps_of, self.options, self.size = backbone, options, SIZE

    def draw(self, seeds: Sequence[int]) -> Drawn:
        smooth, grain = [], []
        for seed in seeds:
            noise = torch.Generator().manual_seed(seed)
            smooth.append(F.interpolate(torch.rand(1, 3, 2, 3, generator=noise), SIZE, mode="bilinear")[0])
            grain.append(torch.randn(3, *SIZE, generator=noise) * self.options.grain)
        clean = torch.stack(smooth)
        return Drawn((clean + torch.stack(grain)).clamp(0, 1), self.maps_of(clean))

    def settings(self) -> dict[str, Any]:
        return {"grain": self.options.grain, "size": list(SIZE)}
