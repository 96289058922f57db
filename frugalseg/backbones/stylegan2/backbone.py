"""DatasetGAN's features: activations of a generator for the very latent that an image is drawn from."""

from pathlib import Path
from typing import Any, Self

from torch import Tensor

from frugalseg.backbones.base import Backbone
from frugalseg.backbones.generator import drawing_options
from frugalseg.backbones.stylegan2.checkpoints.source import load_generator, save_generator
from frugalseg.backbones.stylegan2.generator import StyleGAN2Generator
from frugalseg.backbones.stylegan2.network.generator import Generator
from frugalseg.backbones.stylegan2.network.initial import random_network
from frugalseg.backbones.stylegan2.network.synthesis import Noise
from frugalseg.backbones.stylegan2.settings import StyleGAN2Generation, StyleGAN2Options
from frugalseg.features.taps import Tap
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError
from frugalseg.support.precision import dtype_of


class StyleGAN2Backbone(Backbone):
    """A generator; its features are known for the images alone that it draws.

    Args:
        network: the generator; its synthesis network changes its number format, its mapping stays in float32.
        options: what is read, and how exactly.

    Raises:
        InputError: a resolution that the network does not have.
    """

    family = "stylegan2"
    reads_images = False
    reader = "gan_inversion"

    def __init__(self, network: Generator, options: StyleGAN2Options) -> None:
        super().__init__()
        shape = network.shape
        self.resolutions = options.resolutions or shape.resolutions
        self.layers, self.precision = options.layers, options.precision or "fp32"
        beyond = [side for side in self.resolutions if side not in shape.resolutions]
        if beyond:
            known = ", ".join(map(str, shape.resolutions))
            raise InputError(f"resolutions {', '.join(map(str, beyond))}: this network has {known}")
        self.network = network
        network.synthesis.to(dtype_of(self.precision))
        self.taps = taps_of(network, self.resolutions, self.layers)
        if not self.taps:
            raise InputError("resolutions 4 with layers conv0: the block of 4 x 4 has conv1 alone")
        self.stride = max(tap.stride for tap in self.taps)
        self.native_size = self.fixed_size = (shape.resolution, shape.resolution)

    @classmethod
    def from_checkpoint(cls, checkpoint: str | Path | None, options: StyleGAN2Options) -> Self:
        """A backbone from an official ``.pkl``, a ``.pt`` in rosinality's layout, or the folder of a pretraining.

        Raises:
            InputError: no checkpoint, one that cannot be used, or options out of range.
        """
        if checkpoint is None:
            raise InputError(
                "the stylegan2 backbone needs a checkpoint: a published .pkl or .pt file or the folder of pretrain "
                "stylegan2"
            )
        return cls(load_generator(checkpoint), options)

    def synthesize(self, ws: Tensor, noise: Noise | None) -> tuple[Tensor, list[Tensor]]:
        """Draw images from latents.

        Args:
            ws: (B, N, W) float32, the latent of each layer, on `device`.
            noise: see `Synthesis.passes`.

        Returns:
            (B, 3, R, R) float32, of which [-1, 1] is shown, and a map for each of `taps`.
        """
        outputs, images = zip(*self.network.synthesis.passes(ws, noise), strict=True)
        found = {
            f"b{resolution}.{name}": values
            for resolution, block in zip(self.network.shape.resolutions, outputs, strict=True)
            for name, values in block.items()
        }
        return images[-1], [found[tap.name] for tap in self.taps]

    def generator(self, options: StyleGAN2Generation | None = None) -> StyleGAN2Generator:
        """See `Backbone.generator`; the maps come with the images."""
        return StyleGAN2Generator(self, drawing_options(options, StyleGAN2Generation))

    def config(self) -> dict[str, Any]:
        """See `Backbone.config`."""
        return {"resolutions": list(self.resolutions), "layers": self.layers, "precision": self.precision}

    def save_weights(self, folder: Path) -> None:
        """The generator as ``config.json`` and ``model.safetensors``, its tensors under their published names."""
        save_generator(self.network, folder)

    @classmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        """See `Backbone.from_saved`."""
        return cls(load_generator(folder), from_json(StyleGAN2Options, config))

    def reinitialised(self, seed: int) -> Self:
        """The same network and taps with random weights, as a baseline."""
        network = random_network(Generator, self.network.shape, seed=seed)
        options = StyleGAN2Options(self.resolutions, self.layers, self.precision)
        return type(self)(network.to(self.device), options).eval().requires_grad_(False)


def taps_of(network: Generator, resolutions: tuple[int, ...], layers: str) -> tuple[Tap, ...]:
    """The convolutions of some resolutions, in the order of the network."""
    whole = network.shape.resolution
    return tuple(
        Tap(name, layer.weight.shape[0], whole // layer.resolution)
        for name, layer in network.synthesis.convolutions.items()
        if layer.resolution in resolutions and (layers == "both" or name.endswith(layers))
    )
