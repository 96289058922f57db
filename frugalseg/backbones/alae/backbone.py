"""The paper's ALAE features: activations of the generator for the code that the encoder finds for an image."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from frugalseg.backbones.alae.checkpoint import load_network, save_network
from frugalseg.backbones.alae.generator import ALAEGenerator
from frugalseg.backbones.alae.network import ALAE, colors, random_network
from frugalseg.backbones.alae.noise import STEADY, Noise
from frugalseg.backbones.alae.settings import ALAEGeneration, ALAEOptions
from frugalseg.backbones.base import Backbone
from frugalseg.backbones.generator import drawing_options
from frugalseg.features.taps import Tap
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError
from frugalseg.support.precision import dtype_of


class ALAEBackbone(Backbone):
    """An autoencoder's encoder, and its generator as deep as the deepest tap.

    The maps show the image as the autoencoder remembers it: what its code does not hold, they do not show.

    Args:
        network: all of the autoencoder.
        options: what is read.

    Raises:
        InputError: a block that the generator does not have.
    """

    family = "alae"

    def __init__(self, network: ALAE, options: ALAEOptions) -> None:
        super().__init__()
        shape = network.shape
        self.blocks = options.blocks or tuple(range(shape.layers))
        beyond = [block for block in self.blocks if block >= shape.layers]
        if beyond:
            raise InputError(f"blocks {', '.join(map(str, beyond))}: this network has blocks 0 to {shape.layers - 1}")
        self.noise, self.precision = options.noise, options.precision
        self.network = network.to(dtype_of(options.precision))
        self.taps = tuple(
            Tap(f"block{n}", shape.channels(n), shape.size // shape.side(n), (("blocks", n),)) for n in self.blocks
        )
        self.stride = shape.size // shape.side(0)
        self.native_size = self.fixed_size = (shape.size, shape.size)

    @classmethod
    def from_checkpoint(cls, checkpoint: str | Path | None, options: ALAEOptions) -> Self:
        """A backbone from a published file (``.pth``) or the folder of a pretraining.

        Raises:
            InputError: no checkpoint, one that cannot be used, or options out of range.
        """
        if checkpoint is None:
            raise InputError(
                "the alae backbone needs a checkpoint: a published .pth file or the folder of pretrain alae"
            )
        return cls(load_network(checkpoint), options)

    def codes(self, images: Tensor) -> Tensor:
        """(B, latent) codes w of (B, 3, S, S) images in [0, 1]."""
        codes: Tensor = self.network.discriminator(2 * images.to(dtype_of(self.precision)) - 1)
        return codes

    def maps(self, images: Tensor) -> list[Tensor]:
        """See `Backbone.maps`: one map for each of `blocks`, in the number format of the network."""
        return self.read(self.network.styles(self.codes(images)), max(self.blocks))[0]

    def read(self, styles: Tensor, deepest: int, noise: Noise | None = None) -> tuple[list[Tensor], Tensor]:
        """The maps at the taps, and the activations of the block `deepest`, for (B, slots, latent) styles.

        Args:
            styles: of the generator.
            deepest: the last block that runs.
            noise: between its layers; None is that of the features.
        """
        found = {}
        for number, values in enumerate(self.network.generator.activations(styles, noise or STEADY[self.noise])):
            found[number] = values
            if number == deepest:
                break
        return [found[block] for block in self.blocks], found[deepest]

    def redrawn(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) float32 in [0, 1]: what the autoencoder makes of such images."""
        styles = self.network.styles(self.codes(images.to(self.device)))
        return colors(self.network.generator(styles, noise=STEADY[self.noise]))

    def config(self) -> dict[str, Any]:
        """See `Backbone.config`."""
        return {"blocks": list(self.blocks), "noise": self.noise, "precision": self.precision}

    def save_weights(self, folder: Path) -> None:
        """The networks as ``config.json`` and ``model.safetensors``, their tensors under their published names."""
        save_network(self.network, folder)

    @classmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        """See `Backbone.from_saved`."""
        return cls(load_network(folder), from_json(ALAEOptions, config))

    def readable(self) -> dict[str, tuple[Any, ...]]:
        """See `Backbone.readable`: all blocks."""
        return {"blocks": tuple(range(self.network.shape.layers))}

    def reading(self, **where: Sequence[Any]) -> Backbone:
        """See `Backbone.reading`."""
        if where.keys() != {"blocks"}:
            return super().reading(**where)
        options = replace(self.options, blocks=tuple(where["blocks"]))
        return type(self)(self.network, options).eval().requires_grad_(False)

    @property
    def options(self) -> ALAEOptions:
        """What is read, complete."""
        return ALAEOptions(self.blocks, self.noise, self.precision)

    def reinitialised(self, seed: int) -> Self:
        """The same networks and taps with random weights, as a baseline."""
        network = random_network(self.network.shape, seed)
        return type(self)(network.to(self.device), self.options).eval().requires_grad_(False)

    def generator(self, options: ALAEGeneration | None = None) -> ALAEGenerator:
        """See `Backbone.generator`."""
        return ALAEGenerator(self, drawing_options(options, ALAEGeneration))
