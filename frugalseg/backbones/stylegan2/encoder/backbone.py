"""The paper's GAN Encoder: the activations of an e4e encoder, which was trained to find codes for a generator."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from frugalseg.backbones.base import Backbone
from frugalseg.backbones.stylegan2.encoder.checkpoint import SavedTrunk, load_trunk, save_trunk
from frugalseg.backbones.stylegan2.encoder.network import LEVELS, Trunk, in_range, random_network
from frugalseg.backbones.stylegan2.encoder.settings import GANEncoderOptions
from frugalseg.backbones.stylegan2.encoder.shape import TrunkShape
from frugalseg.features.taps import Tap
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError
from frugalseg.support.precision import dtype_of


class GANEncoderBackbone(Backbone):
    """Body and pyramid of an encoder, run only as far as the last tap.

    Nothing in them depends on the size of the images. The heads, which make codes of the pyramid, are left out.

    Args:
        trunk: the network.
        size: (height, width) of the images that it was trained on.
        options: what is read, and how exactly.

    Raises:
        InputError: a layer that the encoder does not have.
    """

    family = "gan_encoder"

    def __init__(self, trunk: Trunk, size: tuple[int, int], options: GANEncoderOptions) -> None:
        super().__init__()
        known = taps_of(trunk.shape)
        self.layers = options.layers or default_layers(trunk.shape)
        unknown = [name for name in self.layers if name not in known]
        if unknown:
            raise InputError(f"layers {', '.join(unknown)}: this encoder has {', '.join(known)}")
        self.precision = options.precision
        self.trunk = trunk.to(dtype_of(self.precision))
        self.taps = tuple(known[name] for name in self.layers)
        self.stride = trunk.shape.stride
        self.native_size = size

    @classmethod
    def from_checkpoint(cls, checkpoint: str | Path | None, options: GANEncoderOptions) -> Self:
        """A backbone from a published e4e file or the folder of a pretraining.

        Raises:
            InputError: no checkpoint, one that cannot be used, or a layer that it does not have.
        """
        if checkpoint is None:
            raise InputError(
                "the gan_encoder backbone needs a checkpoint: a published e4e file or the folder of pretrain e4e"
            )
        found = load_trunk(checkpoint)
        return cls(found.trunk, found.image_size, options)

    def maps(self, images: Tensor) -> list[Tensor]:
        """See `Backbone.maps`: one map for each of `layers`, in the number format of the network."""
        found: dict[str, Tensor] = {}
        for name, values in self.trunk.passes(in_range(images).to(dtype_of(self.precision))):
            if name in self.layers:
                found[name] = values
            if len(found) == len(self.layers):
                break
        return [found[name] for name in self.layers]

    def config(self) -> dict[str, Any]:
        """See `Backbone.config`."""
        return {"layers": list(self.layers), "precision": self.precision}

    def save_weights(self, folder: Path) -> None:
        """Body and pyramid as ``config.json`` and ``model.safetensors``."""
        save_trunk(SavedTrunk(self.trunk, self.native_size), folder)

    @classmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        """See `Backbone.from_saved`."""
        found = load_trunk(folder)
        return cls(found.trunk, found.image_size, from_json(GANEncoderOptions, config))

    def readable(self) -> dict[str, tuple[Any, ...]]:
        """See `Backbone.readable`: all units and levels."""
        return {"layers": tuple(taps_of(self.trunk.shape))}

    def reading(self, **where: Sequence[Any]) -> Backbone:
        """See `Backbone.reading`."""
        if where.keys() != {"layers"}:
            return super().reading(**where)
        options = replace(self.options, layers=tuple(where["layers"]))
        return type(self)(self.trunk, self.native_size, options).eval().requires_grad_(False)

    @property
    def options(self) -> GANEncoderOptions:
        """What is read, complete."""
        return GANEncoderOptions(self.layers, self.precision)

    def reinitialised(self, seed: int) -> Self:
        """The same network and taps with random weights, as a baseline."""
        trunk = random_network(Trunk, self.trunk.shape, seed=seed).to(self.device)
        backbone = type(self)(trunk, self.native_size, self.options)
        return backbone.eval().requires_grad_(False)


def taps_of(shape: TrunkShape) -> dict[str, Tap]:
    """Everything that can be read, by its name, in the order in which it is computed."""
    sizes = zip(shape.units, shape.widths, shape.strides, strict=True)
    every = [(width, stride) for units, width, stride in sizes for _ in range(units)]
    sized = {f"body{unit}": size for unit, size in enumerate(every)}
    levels = zip(LEVELS, (shape.strides[2], shape.strides[1]), strict=True)
    sized |= {name: (shape.widths[3], stride) for name, stride in levels}
    return {name: Tap(name, *size, (("layers", name),)) for name, size in sized.items()}


def default_layers(shape: TrunkShape) -> tuple[str, ...]:
    """The last unit of each stage, and the pyramid."""
    return (*(f"body{unit}" for unit in shape.last_units), *LEVELS)
