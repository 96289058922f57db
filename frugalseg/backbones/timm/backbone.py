"""Features of the timm library's networks: the levels of convolutional ones, the blocks of transformers."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frugalseg.backbones import saved
from frugalseg.backbones.base import Backbone
from frugalseg.backbones.registry import CONFIG
from frugalseg.backbones.timm.checkpoint import DEFAULT, find, tensors_for
from frugalseg.backbones.timm.network import (
    Design,
    build,
    check_registered,
    choose_layers,
    intermediates,
    is_whole,
    outline,
    pruned,
    reductions,
    require_layers,
)
from frugalseg.backbones.timm.settings import TimmOptions
from frugalseg.backbones.timm.shapes import measure
from frugalseg.backbones.weights import load_strictly, read_tensors, require_fitting
from frugalseg.features.sizes import nearest_size
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from frugalseg.support.precision import Precision, dtype_of

MAGNIFIED = 2
"""Networks with levels see images at twice the side length of their training: their finest map then shows details that
segmentation needs, and they take any size. docs/results.md has the table. Transformers know the positions of their
training."""
MOST_MAGNIFIED = 16
SPARE, SPARE_HEAD = 2, 10**8
"""A file may lack the classifier and more of the network that its folder's config describes, but not most of it."""
REMEDY = "is it the config of another network?"


class TimmBackbone(Backbone):
    """A network of the library, run no deeper than the deepest layer that is read.

    Taps are named ``layer0``, ``layer1``, ...; a transformer's are the outputs of its blocks before the last norm,
    without class and register tokens. Some networks take images of their own size only: they have a `fixed_size`. If
    that size is not a multiple of the stride, `fixed_size` is the nearest one that is, and `maps` resizes images and
    maps by the few pixels in between.

    Args:
        design: what the network is.
        network: that network, `pruned` to `layers`.
        layers: ascending.
        precision: of weights and activations.
        magnification: how much longer than in the network's training the sides of images are; None: see `MAGNIFIED`.

    Raises:
        InputError: the network's maps do not divide the image evenly.
    """

    family = "timm"

    def __init__(
        self,
        design: Design,
        network: nn.Module,
        layers: tuple[int, ...],
        precision: Precision,
        magnification: int | None = None,
    ) -> None:
        super().__init__()
        self.design, self.layers, self.precision = design, layers, precision
        self.network = network.to(dtype_of(precision)).to(memory_format=torch.channels_last)
        self.taps, self.only_size = measure(network, layers, design.input_size)
        self.stride = max(tap.stride for tap in self.taps)
        self.magnification = magnification or (MAGNIFIED if self.is_pyramid and self.only_size is None else 1)
        height, width = (self.magnification * side for side in design.input_size)
        self.native_size = nearest_size((height, width), self.stride)
        self.fixed_size = None if self.only_size is None else self.native_size
        self.register_buffer("mean", torch.tensor(design.config["mean"])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(design.config["std"])[:, None, None], persistent=False)

    @property
    def is_pyramid(self) -> bool:
        """Whether the network has levels of several resolutions, as convolutional networks have, whichever are read."""
        return len(set(reductions(self.network))) > 1

    @classmethod
    def from_checkpoint(cls, checkpoint: str | Path | None, options: TimmOptions) -> Self:
        """A backbone with weights from a file or folder, as published (fetched), or random.

        Args:
            checkpoint: see `frugalseg.backbones.timm.checkpoint.find`; None: `options.pretrained` decides, and if no
                network is named either, it is the one that comes with the set-up.
            options: which network, and what is read of it.

        Raises:
            InputError: an unknown network, weights that cannot be fetched or do not fit, or layers out of range.
        """
        if checkpoint is None and options.model is None:
            checkpoint = DEFAULT
        design, file = find(checkpoint, options.model)
        if checkpoint == DEFAULT and not options.pretrained:
            file = None
        if file is not None and design.arguments:
            require_outline(design, file)
        model = build(design, pretrained=options.pretrained and file is None)
        layers = choose_layers(model, options.layers)
        if file is None:
            return cls(design, pruned(model, layers), layers, options.precision)
        tensors = tensors_for(model, design, file)
        network = pruned(model, layers)
        wanted = network.state_dict().keys()
        load_strictly(network, {key: value for key, value in tensors.items() if key in wanted}, file)
        return cls(design, network, layers, options.precision)

    def maps(self, images: Tensor) -> list[Tensor]:
        """See `Backbone.maps`: from the shallowest layer to the deepest, in the dtype of the chosen precision."""
        height, width = images.shape[-2:]
        normal = (images.float() - self.get_buffer("mean")) / self.get_buffer("std")
        normal = normal if self.only_size is None else resized(normal, self.only_size)
        normal = normal.to(dtype_of(self.precision), memory_format=torch.channels_last)
        maps = intermediates(self.network, normal, self.layers)
        if self.only_size is None:
            return maps
        return [resized(m, (height // t.stride, width // t.stride)) for m, t in zip(maps, self.taps, strict=True)]

    def config(self) -> dict[str, Any]:
        """See `Backbone.config`."""
        return {
            **self.design.to_json(),
            "layers": list(self.layers),
            "precision": self.precision,
            "magnification": self.magnification,
        }

    def save_weights(self, folder: Path) -> None:
        """``model.safetensors`` with the library's names, without the layers that are not run."""
        saved.save_weights(self.network, folder)

    @classmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        """See `Backbone.from_saved`; nothing is fetched."""
        said = from_json(SavedTimm, config)
        check_registered(said.architecture)
        design = Design.from_json(said.architecture, said.arguments, said.config)
        network = loaded(design, said.layers, saved.read_weights(folder), folder / saved.WEIGHTS)
        return cls(design, network, said.layers, said.precision, said.magnification)

    def readable(self) -> dict[str, tuple[Any, ...]]:
        """See `Backbone.readable`: all layers down to the deepest one that is read; the network ends there."""
        return {"layers": tuple(range(max(self.layers) + 1))}

    def reading(self, **where: Sequence[Any]) -> Backbone:
        """See `Backbone.reading`. A network that is read less deeply is a copy without the layers behind."""
        if where.keys() != {"layers"}:
            return super().reading(**where)
        layers = require_layers(where["layers"], max(self.layers) + 1)
        deepest = max(layers) == max(self.layers)
        network = self.network if deepest else pruned(deepcopy(self.network), layers)
        found = type(self)(self.design, network, layers, self.precision, self.magnification)
        return found.to(self.device).eval().requires_grad_(False)

    def reinitialised(self, seed: int) -> Self:
        """See `Backbone.reinitialised`; the library's own way of drawing weights."""
        network = pruned(build(self.design, seed=seed), self.layers)
        again = type(self)(self.design, network, self.layers, self.precision, self.magnification)
        return again.to(self.device).eval().requires_grad_(False)


@dataclass(frozen=True)
class SavedTimm:
    """What `TimmBackbone.config` gives: the fields of a `Design`, and what else a `TimmBackbone` is made of.

    Earlier versions saw images at the size of the network's training, and wrote nothing of it.
    """

    architecture: str
    arguments: dict[str, Any]
    config: dict[str, Any]
    layers: tuple[int, ...]
    precision: Precision
    magnification: int = 1

    def __post_init__(self) -> None:
        if not self.layers or list(self.layers) != sorted(set(self.layers)):
            raise InputError(f"layers {', '.join(map(str, self.layers[:10])) or 'empty'}: they must rise")
        if not 1 <= self.magnification <= MOST_MAGNIFIED:
            raise InputError(f"magnification is {self.magnification}; 1 to {MOST_MAGNIFIED} are possible")


def loaded(design: Design, layers: Sequence[int], tensors: Mapping[str, Tensor], source: Path) -> nn.Module:
    """The network of a design, `pruned` to `layers`, with all of its tensors from a file.

    Raises:
        InputError: the tensors do not fit; no memory was taken for the network then.
    """
    network = outline(design, layers)
    require_fitting(network, tensors, source)
    if is_whole(network):
        network.to_empty(device="cpu")
    else:  # the library computes something that is not in the file, such as tables of places
        network = pruned(build(design), layers)
    load_strictly(network, tensors, source)
    return network


def require_outline(design: Design, file: Path) -> None:
    """Refuse a config that asks for more values than lie in the file of its weights, before any memory is taken."""
    asked = sum(values.numel() for values in outline(design).state_dict().values())
    there = sum(values.numel() for values in read_tensors(file).values())
    if asked > SPARE * there + SPARE_HEAD:
        raise FileError(
            file.parent / CONFIG, f"it asks for a network of {asked} values, of which {file.name} has {there}", REMEDY
        )


def resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h, w) at another size, bilinearly, with antialiasing where it shrinks."""
    if values.shape[-2:] == size:
        return values
    return F.interpolate(values.float(), size, mode="bilinear", antialias=True, align_corners=False).to(values.dtype)
