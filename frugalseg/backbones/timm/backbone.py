"""Features of the timm library's networks: the levels of convolutional ones, the blocks of transformers."""

from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frugalseg.backbones import saved
from frugalseg.backbones.base import Backbone
from frugalseg.backbones.timm.checkpoint import find, tensors_for
from frugalseg.backbones.timm.embedded import DEFAULT
from frugalseg.backbones.timm.network import Design, build, choose_layers, intermediates, pruned, reductions
from frugalseg.backbones.timm.settings import TimmOptions
from frugalseg.backbones.timm.shapes import measure
from frugalseg.backbones.weights import load_strictly
from frugalseg.support.precision import Precision, dtype_of

MAGNIFIED = 2
"""Networks with levels see images at twice the side length of their training: their finest map then shows details that
segmentation needs, and they take any size. docs/results.md has the table. Transformers know the positions of their
training."""


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
        magnification: how much larger than in the network's own training images are seen, a side; None: see `MAGNIFIED`.

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
        sides = (self.magnification * side for side in design.input_size)
        height, width = (max(1, round(side / self.stride)) * self.stride for side in sides)
        self.native_size = (height, width)
        self.fixed_size = None if self.only_size is None else self.native_size
        self.register_buffer("mean", torch.tensor(design.config["mean"])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(design.config["std"])[:, None, None], persistent=False)

    @property
    def is_pyramid(self) -> bool:
        """Whether the network has levels of several resolutions, as convolutional networks have; not only one read."""
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
        design = Design.from_json(config["architecture"], config["arguments"], config["config"])
        layers = tuple(config["layers"])
        network = pruned(build(design), layers)
        load_strictly(network, saved.read_weights(folder), folder / saved.WEIGHTS)
        # Earlier versions saw images at the size of the network's training, and wrote nothing of it.
        return cls(design, network, layers, config["precision"], config.get("magnification", 1))

    def reinitialised(self, seed: int) -> Self:
        """See `Backbone.reinitialised`; the library's own way of drawing weights."""
        network = pruned(build(self.design, seed=seed), self.layers)
        again = type(self)(self.design, network, self.layers, self.precision, self.magnification)
        return again.to(self.device).eval().requires_grad_(False)


def resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h, w) at another size, bilinearly, with antialiasing where it shrinks."""
    if values.shape[-2:] == size:
        return values
    return F.interpolate(values.float(), size, mode="bilinear", antialias=True, align_corners=False).to(values.dtype)
