"""The features of a SwAV network: the inputs of every second block (Baranchuk et al. 2022, section 4)."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from frugalseg.backbones.base import Backbone
from frugalseg.backbones.swav.checkpoint import load_folder, load_network, save_network
from frugalseg.backbones.swav.network import ResNet, block_shapes, build_network
from frugalseg.backbones.swav.settings import SwAVOptions
from frugalseg.backbones.swav.shape import ResNetShape
from frugalseg.features.sizes import nearest_size
from frugalseg.features.taps import Tap, names
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError
from frugalseg.support.precision import dtype_of

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours, which all published networks expect to be taken out."""


class SwAVBackbone(Backbone):
    """A residual network, run only as deep as the deepest tap.

    Taps are named after block and side, ``layer1.0.in`` or ``layer1.0.out``.

    Args:
        network: the trunk.
        options: what is read.
        image_size: (height, width) of the images that it was trained for; `native_size` is the nearest one that its
            stride divides.

    Raises:
        InputError: the network has fewer layers than are asked for.
    """

    family = "swav"

    def __init__(self, network: ResNet, options: SwAVOptions, image_size: tuple[int, int]) -> None:
        super().__init__()
        # Channels-last is a tenth faster on CPUs, but its convolutions round more: not where exactness is asked for.
        self.format = torch.contiguous_format if options.precision == "fp32" else torch.channels_last
        self.network = network.to(dtype_of(options.precision)).to(memory_format=self.format)
        self.options = options
        self.image_size = image_size
        self.taps = choose_taps(network.shape, options)
        self.stride = max(tap.stride for tap in self.taps)
        self.native_size = nearest_size(image_size, self.stride)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)

    @classmethod
    def from_checkpoint(cls, checkpoint: str | Path | None, options: SwAVOptions) -> Self:
        """A backbone from a published file or a folder of ``pretrain swav``: see `load_network`.

        Raises:
            InputError: no checkpoint, one that cannot be used, or layers that it does not have.
        """
        network, size = load_network(checkpoint)
        return cls(network, options, size)

    def maps(self, images: Tensor) -> list[Tensor]:
        """See `Backbone.maps`: layer by layer, in the dtype of the chosen precision."""
        normal = (images.float() - self.get_buffer("mean")) / self.get_buffer("std")
        normal = normal.to(dtype_of(self.options.precision)).contiguous(memory_format=self.format)
        wanted = names(self.taps)
        found: dict[str, Tensor] = {}
        for name, entering, leaving in self.network.walk(normal):
            found |= {f"{name}.in": entering, f"{name}.out": leaving}
            found = {name: values for name, values in found.items() if name in wanted}
            if wanted[-1] in found:
                break
        return [found[name] for name in wanted]

    def config(self) -> dict[str, Any]:
        """See `Backbone.config`."""
        return asdict(self.options)

    def save_weights(self, folder: Path) -> None:
        """``config.json`` and ``model.safetensors``, as pretraining writes them."""
        save_network(self.network, self.image_size, folder)

    @classmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        """See `Backbone.from_saved`."""
        network, size = load_folder(folder)
        return cls(network, from_json(SwAVOptions, config), size)

    def readable(self) -> dict[str, tuple[Any, ...]]:
        """See `Backbone.readable`: all layers."""
        return {"layers": tuple(range(1, len(self.network.shape.depths) + 1))}

    def reading(self, **where: Sequence[Any]) -> Backbone:
        """See `Backbone.reading`."""
        if where.keys() != {"layers"}:
            return super().reading(**where)
        options = replace(self.options, layers=tuple(where["layers"]))
        found = type(self)(self.network, options, self.image_size)
        return found.to(self.device).eval().requires_grad_(False)

    def reinitialised(self, seed: int) -> Self:
        """See `Backbone.reinitialised`."""
        network = build_network(self.network.shape, seed).to(self.device)
        return type(self)(network, self.options, self.image_size).to(self.device).eval().requires_grad_(False)


def choose_taps(shape: ResNetShape, options: SwAVOptions) -> tuple[Tap, ...]:
    """What is read from a network of this shape, from the first layer to the last.

    Raises:
        InputError: it has fewer layers than are asked for.
    """
    layers = options.layers or tuple(range(1, len(shape.depths) + 1))
    wrong = [n for n in layers if n > len(shape.depths)]
    if wrong:
        raise InputError(f"layers {', '.join(map(str, wrong))}: this network has layers 1 to {len(shape.depths)}")
    taps = []
    for name, block in block_shapes(shape).items():
        layer, number = name.removeprefix("layer").split(".")
        if int(layer) in layers and int(number) % options.every == 0:
            place = (("layers", int(layer)),)
            if options.inputs is False:
                taps.append(Tap(f"{name}.out", block.outputs, block.output_stride, place))
            else:
                taps.append(Tap(f"{name}.in", block.inputs, block.input_stride, place))
    return tuple(taps)
