"""The paper's MAE features: activations of the encoder's last blocks for the whole image, nothing masked."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from frugalseg.backbones.base import Backbone
from frugalseg.backbones.mae.checkpoint import load_encoder, save_network
from frugalseg.backbones.mae.network import Encoder, normalised, random_network
from frugalseg.backbones.mae.settings import MAEOptions
from frugalseg.features.taps import Tap
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError
from frugalseg.support.precision import dtype_of

PAPER_BLOCKS = 12


class MAEBackbone(Backbone):
    """A masked autoencoder's encoder, run only as deep as the deepest tap.

    The class token takes part in the attention and is left out of the maps. Images of another size than the training
    images' are no problem: the position embedding is interpolated.

    Args:
        encoder: the network.
        options: what is read, and how exactly.

    Raises:
        InputError: a block that the encoder does not have.
    """

    family = "mae"

    def __init__(self, encoder: Encoder, options: MAEOptions) -> None:
        super().__init__()
        shape = encoder.shape
        self.blocks = options.blocks or tuple(range(shape.depth))[-PAPER_BLOCKS:]
        beyond = [block for block in self.blocks if block >= shape.depth]
        if beyond:
            raise InputError(f"blocks {', '.join(map(str, beyond))}: this network has blocks 0 to {shape.depth - 1}")
        self.inputs = bool(options.inputs)
        self.precision = options.precision or "fp32"
        self.encoder = encoder.to(dtype_of(self.precision))
        name = "in" if self.inputs else "block"
        self.taps = tuple(
            Tap(f"{name}{block}", shape.width, shape.patch, (("blocks", block),)) for block in self.blocks
        )
        self.stride = shape.patch
        self.native_size = shape.image_size
        self._positions: dict[tuple[Any, ...], Tensor] = {}

    @classmethod
    def from_checkpoint(cls, checkpoint: str | Path | None, options: MAEOptions) -> Self:
        """A backbone from a published file (``.pth``) or the folder of a pretraining.

        Raises:
            InputError: no checkpoint, one that cannot be used, or options out of range.
        """
        if checkpoint is None:
            raise InputError("the mae backbone needs a checkpoint: a published .pth file or the folder of pretrain mae")
        return cls(load_encoder(checkpoint, options.heads), options)

    def maps(self, images: Tensor) -> list[Tensor]:
        """See `Backbone.maps`: one map for each of `blocks`, in the number format of the network."""
        grid = (images.shape[2] // self.stride, images.shape[3] // self.stride)
        # The input of a block is what comes after as many blocks as stand before it; its output, one block later.
        after = [block + (not self.inputs) for block in self.blocks]
        found = {}
        for passed, tokens in enumerate(self.tokens(images, grid)):
            if passed in after:
                found[passed] = tokens[:, 1:].transpose(1, 2).unflatten(2, grid)
            if passed == max(after):
                break
        return [found[passed] for passed in after]

    def tokens(self, images: Tensor, grid: tuple[int, int]) -> Iterator[Tensor]:
        """(B, 1 + L, C) before the first block and after each one; a block runs when it is asked for."""
        positions = self.positions(grid)
        patches = self.encoder.patches(normalised(images).to(positions.dtype), positions)
        tokens = self.encoder.with_class_token(patches, positions)
        yield tokens
        for block in self.encoder.blocks:
            tokens = block(tokens)
            yield tokens

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """The encoder's position embedding for a grid; kept, since most images of a folder have one size."""
        embedding = self.encoder.pos_embed
        key = (grid, embedding.device, embedding.dtype)
        found = self._positions.get(key)
        if found is None:  # another thread may keep that of another grid meanwhile
            found = self.encoder.positions(grid)
            self._positions = {key: found}
        return found

    def config(self) -> dict[str, Any]:
        """See `Backbone.config`."""
        return {"blocks": list(self.blocks), "inputs": self.inputs, "precision": self.precision}

    def save_weights(self, folder: Path) -> None:
        """The encoder as ``config.json`` and ``model.safetensors``, its tensors under their published names."""
        save_network(self.encoder, folder)

    @classmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        """See `Backbone.from_saved`."""
        return cls(load_encoder(folder), from_json(MAEOptions, config))

    def readable(self) -> dict[str, tuple[Any, ...]]:
        """See `Backbone.readable`: all blocks."""
        return {"blocks": tuple(range(self.encoder.shape.depth))}

    def reading(self, **where: Sequence[Any]) -> Backbone:
        """See `Backbone.reading`."""
        if where.keys() != {"blocks"}:
            return super().reading(**where)
        options = replace(self.options, blocks=tuple(where["blocks"]))
        return type(self)(self.encoder, options).eval().requires_grad_(False)

    def reinitialised(self, seed: int) -> Self:
        """The same network and taps with random weights, as a baseline."""
        encoder = random_network(Encoder, self.encoder.shape, seed=seed)
        backbone = type(self)(encoder.to(self.device), self.options)
        return backbone.eval().requires_grad_(False)

    @property
    def options(self) -> MAEOptions:
        """What is read, complete."""
        return MAEOptions(self.blocks, self.inputs, precision=self.precision)
