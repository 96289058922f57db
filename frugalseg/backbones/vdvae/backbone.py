"""The paper's VDVAE features: activations of the encoder, and the decoder's states for the image's own latents."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from frugalseg.backbones.base import Backbone
from frugalseg.backbones.generator import drawing_options
from frugalseg.backbones.vdvae.checkpoint import load_network, save_network
from frugalseg.backbones.vdvae.decoder import Step, posterior_mean
from frugalseg.backbones.vdvae.generator import VDVAEGenerator
from frugalseg.backbones.vdvae.network import VDVAE, random_network
from frugalseg.backbones.vdvae.settings import VDVAEGeneration, VDVAEOptions
from frugalseg.backbones.vdvae.shape import VDVAEShape
from frugalseg.features.taps import Tap
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError
from frugalseg.support.precision import dtype_of


class VDVAEBackbone(Backbone):
    """A very deep VAE, run only as deep as the deepest tap; latents are the means of their posteriors.

    Args:
        network: all of the autoencoder.
        options: what is read.

    Raises:
        InputError: a resolution or a block that the network does not have.
    """

    family = "vdvae"

    def __init__(self, network: VDVAE, options: VDVAEOptions) -> None:
        super().__init__()
        shape = network.shape
        self.encoder_resolutions, self.decoder_blocks = chosen_places(shape, options)
        self.precision = options.precision or "fp32"
        self.network = network.to(dtype_of(self.precision))
        self.taps = (
            *(encoder_tap(shape, rows) for rows in self.encoder_resolutions),
            *(decoder_tap(shape, number) for number in self.decoder_blocks),
        )
        self.stride = shape.stride(shape.resolutions[-1])
        self.native_size = self.fixed_size = shape.image_size

    @classmethod
    def from_checkpoint(cls, checkpoint: str | Path | None, options: VDVAEOptions) -> Self:
        """A backbone from a published file (``.th``) or the folder of a pretraining.

        Raises:
            InputError: no checkpoint, one that cannot be used, or options that do not fit it.
        """
        if checkpoint is None:
            raise InputError(
                "the vdvae backbone needs a checkpoint: a published .th file or the folder of pretrain vdvae"
            )
        return cls(load_network(checkpoint, options), options)

    def maps(self, images: Tensor) -> list[Tensor]:
        """See `Backbone.maps`: the encoder's maps, then the decoder's, in the number format of the network."""
        network = self.network
        needed = (*self.encoder_resolutions, *(network.shape.decoder_resolutions if self.decoder_blocks else ()))
        inputs = network.pixels.inputs(images).to(dtype_of(self.precision))
        activations = network.encoder(inputs, coarsest=min(needed))
        found = [activations[rows] for rows in self.encoder_resolutions]
        if self.decoder_blocks:
            steps = network.decoder.walk(len(images), activations, posterior_mean)
            found += self.read(steps, max(self.decoder_blocks))[0]
        return found

    def read(self, steps: Iterable[Step], deepest: int) -> tuple[list[Tensor], Step]:
        """The states after the `decoder_blocks`, and the step of the block `deepest`, behind which none runs."""
        found = {}
        for step in steps:
            if step.number in self.decoder_blocks:
                found[step.number] = step.state
            if step.number == deepest:
                break
        return [found[number] for number in self.decoder_blocks], step

    def redrawn(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float32 in [0, 1]: what the autoencoder makes of such images."""
        return self.network.reconstructions(images.to(self.device))

    def config(self) -> dict[str, Any]:
        """See `Backbone.config`."""
        return {
            "encoder_resolutions": list(self.encoder_resolutions),
            "decoder_blocks": list(self.decoder_blocks),
            "precision": self.precision,
        }

    def save_weights(self, folder: Path) -> None:
        """The whole network as ``config.json`` and ``model.safetensors``, its tensors under their published names."""
        save_network(self.network, folder)

    @classmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        """See `Backbone.from_saved`."""
        return cls(load_network(folder), from_json(VDVAEOptions, config))

    def readable(self) -> dict[str, tuple[Any, ...]]:
        """See `Backbone.readable`: the maps larger than 1 x 1 of what is read, encoder or decoder or both."""
        shape = self.network.shape
        resolutions = tuple(rows for rows in shape.resolutions if shape.has_places(rows))
        blocks = [n for n, place in enumerate(shape.decoder_places) if shape.has_places(place.resolution)]
        every = {"encoder_resolutions": resolutions, "decoder_blocks": tuple(blocks)}
        return {name: values for name, values in every.items() if getattr(self, name)}

    def reading(self, **where: Sequence[Any]) -> Backbone:
        """See `Backbone.reading`."""
        if not where or not where.keys() <= self.readable().keys():
            return super().reading(**where)
        options = from_json(VDVAEOptions, {**self.config(), **{name: list(values) for name, values in where.items()}})
        return type(self)(self.network, options).eval().requires_grad_(False)

    def reinitialised(self, seed: int) -> Self:
        """The same network and taps with random weights, as a baseline."""
        network = random_network(self.network.shape, self.network.pixels, seed)
        options = from_json(VDVAEOptions, self.config())
        return type(self)(network.to(self.device), options).eval().requires_grad_(False)

    def generator(self, options: VDVAEGeneration | None = None) -> VDVAEGenerator:
        """See `Backbone.generator`."""
        return VDVAEGenerator(self, drawing_options(options, VDVAEGeneration))


def encoder_tap(shape: VDVAEShape, rows: int) -> Tap:
    """The tap behind the last block of the encoder at a resolution."""
    return Tap(f"encoder{rows}", shape.width(rows), shape.stride(rows), (("encoder_resolutions", rows),))


def decoder_tap(shape: VDVAEShape, number: int) -> Tap:
    """The tap behind a block of the decoder."""
    rows = shape.decoder_places[number].resolution
    return Tap(f"block{number}", shape.width(rows), shape.stride(rows), (("decoder_blocks", number),))


def chosen_places(shape: VDVAEShape, options: VDVAEOptions) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The resolutions of the encoder and the blocks of the decoder to read.

    Raises:
        InputError: one that the network does not have.
    """
    resolutions, blocks = options.encoder_resolutions, options.decoder_blocks
    if resolutions is None and blocks is None:
        resolutions = tuple(rows for rows in shape.resolutions if shape.has_places(rows))
        blocks = last_blocks(shape)
    resolutions, blocks = resolutions or (), blocks or ()
    missing = [rows for rows in resolutions if rows not in shape.resolutions]
    if missing:
        there = ", ".join(map(str, shape.resolutions))
        raise InputError(f"encoder_resolutions {', '.join(map(str, missing))}: this network has {there}")
    beyond = [number for number in blocks if number >= len(shape.decoder_places)]
    if beyond:
        count = len(shape.decoder_places)
        raise InputError(f"decoder_blocks {', '.join(map(str, beyond))}: this network has blocks 0 to {count - 1}")
    return resolutions, blocks


def last_blocks(shape: VDVAEShape) -> tuple[int, ...]:
    """The last block of the decoder at each resolution whose map is larger than 1 x 1."""
    last = {place.resolution: number for number, place in enumerate(shape.decoder_places)}
    return tuple(sorted(number for rows, number in last.items() if shape.has_places(rows)))
