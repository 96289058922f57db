"""The encoder of Tov et al., "Designing an Encoder for StyleGAN Image Manipulation" (e4e, 2021): image -> W+.

A residual network with squeeze and excitation (the IR-SE of ArcFace), a feature pyramid of three levels, and a small
network for each code. Modules have the names of the published files. Letters: B images, N codes, W numbers in a code.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from frugalseg.backbones.stylegan2.encoder.shape import REDUCTION, HeadShape, TrunkShape
from frugalseg.backbones.stylegan2.network.layers import Linear
from frugalseg.training.batch_norm import GlobalBatchNorm

LEVELS = ("p2", "p1")
"""The levels of the pyramid that are not outputs of the body, in the order in which they are computed."""
Network = TypeVar("Network", bound="Trunk")


class Gate(nn.Module):
    """Squeeze and excitation (Hu et al. 2018): weighs each channel by what the image as a whole shows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // REDUCTION)
        self.fc1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.fc2 = nn.Conv2d(inner, channels, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w), weighed."""
        weights = self.fc2(self.fc1(maps.mean(dim=(2, 3), keepdim=True)).relu())
        weighed: Tensor = maps * weights.sigmoid()
        return weighed


class Unit(nn.Module):
    """A residual unit with its norm in front; the stride is that of its second convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.widens = inputs != outputs
        if self.widens:
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut_layer = nn.Sequential(convolution, GlobalBatchNorm(outputs))
        self.res_layer = nn.Sequential(
            GlobalBatchNorm(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False),
            GlobalBatchNorm(outputs),
            Gate(outputs),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, outputs, h / stride, w / stride)."""
        # Where no convolution takes the maps along, each value at the stride stands for itself.
        past = self.shortcut_layer(maps) if self.widens else maps[:, :, :: self.stride, :: self.stride]
        passed: Tensor = self.res_layer(maps) + past
        return passed


class Trunk(nn.Module):
    """Body and pyramid: all of the encoder but what makes codes of it."""

    def __init__(self, shape: TrunkShape) -> None:
        super().__init__()
        self.shape = shape
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, shape.stem, 3, padding=1, bias=False), GlobalBatchNorm(shape.stem), nn.PReLU(shape.stem)
        )
        self.body = nn.Sequential(*_units(shape))
        self.latlayer1 = nn.Conv2d(shape.widths[2], shape.widths[3], 1)
        self.latlayer2 = nn.Conv2d(shape.widths[1], shape.widths[3], 1)

    def passes(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Run as far as the caller iterates.

        Args:
            images: (B, 3, H, W) in [-1, 1]; the sides are multiples of the shape's stride.

        Yields:
            Names and maps, (B, C, h, w): ``body0`` to the last unit, then ``p2`` and ``p1`` of the pyramid.
        """
        maps = self.input_layer(images)
        levels = []
        for number, unit in enumerate(self.body):
            maps = unit(maps)
            yield f"body{number}", maps
            if number in self.shape.last_units:
                levels.append(maps)
        _, fine, middle, deep = levels
        second = merged(deep, self.latlayer1(middle))
        yield "p2", second
        yield "p1", merged(second, self.latlayer2(fine))

    def pyramid(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The three levels that codes are made of, the deepest first; see `passes`."""
        deepest, wanted = f"body{self.shape.last_units[-1]}", {}
        for name, maps in self.passes(images):
            if name in (deepest, *LEVELS):
                wanted[name] = maps
        return wanted[deepest], wanted["p2"], wanted["p1"]


class CodeHead(nn.Module):
    """Gives one code: a level of the pyramid is halved until one place is left."""

    def __init__(self, inputs: int, outputs: int, halvings: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number in range(halvings):
            layers += [nn.Conv2d(outputs if number else inputs, outputs, 3, 2, padding=1), nn.LeakyReLU()]
        self.convs = nn.Sequential(*layers)
        self.linear = Linear(outputs, outputs)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w), the longer side 2 ** halvings -> (B, W)."""
        code: Tensor = self.linear(self.convs(maps).flatten(1))
        return code


class Encoder(Trunk):
    """Encoder4Editing: the codes of images, each as a difference from the average code of the generator."""

    def __init__(self, shape: TrunkShape, heads: HeadShape) -> None:
        super().__init__(shape)
        self.heads = heads
        self.styles = nn.ModuleList(
            CodeHead(shape.widths[3], heads.width, heads.halvings + heads.level(code)) for code in range(heads.codes)
        )

    @property
    def side(self) -> int:
        """Pixels along the longer side of the images that get codes."""
        return self.shape.stride << self.heads.halvings

    def forward(self, images: Tensor, apart: int | None = None) -> Tensor:
        """The codes of images.

        Args:
            images: (B, 3, H, W) in [-1, 1]; the longer side is `side`, and both are multiples of the shape's stride.
            apart: so many codes are told apart, at least 1; those behind equal the first. None: all.

        Returns:
            (B, N, W): the first code, and for each other one the sum of the first and what it differs by.
        """
        levels = self.pyramid(images)
        heads = list(self.styles)[:apart]
        first, *differences = [head(levels[self.heads.level(code)]) for code, head in enumerate(heads)]
        none = torch.zeros_like(first)
        behind = [none] * (self.heads.codes - len(heads))
        codes: Tensor = first[:, None] + torch.stack([none, *differences, *behind], dim=1)
        return codes


def merged(deeper: Tensor, finer: Tensor) -> Tensor:
    """The sum of two levels of the pyramid, the deeper one enlarged with its corners on the other's corners."""
    return functional.interpolate(deeper, size=finer.shape[2:], mode="bilinear", align_corners=True) + finer


def _units(shape: TrunkShape) -> Iterator[Unit]:
    """The units of all stages; the first one of a stage has its stride."""
    inputs = shape.stem
    for stage, (outputs, units) in enumerate(zip(shape.widths, shape.units, strict=True)):
        for number in range(units):
            stride = 1 if number else (2 if stage else shape.first_stride)
            yield Unit(inputs, outputs, stride)
            inputs = outputs


def random_network(kind: Callable[..., Network], *shapes: Any, seed: int) -> Network:
    """``kind(*shapes)`` with random weights; torch's own random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = kind(*shapes)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, Linear):  # whose weights are empty until then
                module.draw(torch.Generator().manual_seed(seed))
    return network


def in_range(images: Tensor) -> Tensor:
    """Images in [0, 1] as the networks take them, in [-1, 1]."""
    return images * 2 - 1
