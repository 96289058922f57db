"""The paper's GAN Inversion: an encoder finds the code of an image; the features are what the generator computes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from frugalseg.backbones.base import Backbone
from frugalseg.backbones.generator import drawing_options
from frugalseg.backbones.stylegan2.backbone import taps_of
from frugalseg.backbones.stylegan2.encoder.exact import exact_convolutions
from frugalseg.backbones.stylegan2.encoder.inverter import Inverter
from frugalseg.backbones.stylegan2.encoder.network import in_range
from frugalseg.backbones.stylegan2.encoder.pair import load_inverter, random_inverter, save_inverter
from frugalseg.backbones.stylegan2.inversion.generator import GANInversionGenerator
from frugalseg.backbones.stylegan2.inversion.refine import refined
from frugalseg.backbones.stylegan2.inversion.settings import GANInversionGeneration, GANInversionOptions
from frugalseg.backbones.stylegan2.settings import Layers
from frugalseg.features.taps import Tap
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError
from frugalseg.support.precision import dtype_of


class GANInversionBackbone(Backbone):
    """The generator's convolutions while it draws an image from the image's code.

    Args:
        network: encoder and generator.
        options: what is read, and how exactly.

    Raises:
        InputError: a resolution that the generator does not have.
    """

    family = "gan_inversion"
    optimises: ClassVar[bool] = True

    def __init__(self, network: Inverter, options: GANInversionOptions) -> None:
        super().__init__()
        known = resolutions_of(network)
        self.resolutions, self.layers = options.resolutions or known, options.layers
        unknown = [side for side in self.resolutions if side not in known]
        if unknown:
            raise InputError(
                f"resolutions {', '.join(map(str, unknown))}: this network has {', '.join(map(str, known))}"
            )
        self.refine, self.precision = options.refine, options.precision
        self.network = network.in_format(dtype_of(self.precision))
        self.taps = inversion_taps(network, self.resolutions, self.layers)
        if not self.taps:
            raise InputError("resolutions 4 with layers conv0: the block of 4 x 4 has conv1 alone")
        self.fixed_size = self.native_size = network.frame
        self.stride = max(tap.stride for tap in self.taps)

    @classmethod
    def from_checkpoint(cls, checkpoint: str | Path | None, options: GANInversionOptions) -> Self:
        """A backbone from a published e4e file or the folder of a pretraining.

        Raises:
            InputError: no checkpoint, one without a generator or that cannot be used, or a resolution that it lacks.
        """
        if checkpoint is None:
            raise InputError(
                "the gan_inversion backbone needs a checkpoint: a published e4e file or the folder of pretrain e4e"
            )
        return cls(load_inverter(checkpoint), options)

    def maps(self, images: Tensor) -> list[Tensor]:
        """See `Backbone.maps`: one map for each convolution, in the number format of the network."""
        codes = self.codes(images)
        with torch.no_grad():
            return self.read(codes)

    def read(self, codes: Tensor) -> list[Tensor]:
        """What the generator computes for (B, N, W) codes, at `taps`; it runs no deeper than these."""
        return self._pass(codes, max(self.resolutions))[0]

    def drawn(self, codes: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The images (B, 3, H, W) float32 in [0, 1] of (B, N, W) codes, and what `read` gives, in one pass."""
        maps, image = self._pass(codes, self.network.generator.shape.resolution)
        return shown(image), maps

    def _pass(self, codes: Tensor, until: int) -> tuple[list[Tensor], Tensor]:
        """The maps of `taps` and the last image of a pass that ends with a resolution."""
        names = {tap.name for tap in self.taps}
        found: dict[str, Tensor] = {}
        for side, outputs, image in self.network.passes(codes):
            found |= {name: self.network.framed(values) for name, values in outputs.items() if name in names}
            if side == until:
                return [found[tap.name] for tap in self.taps], self.network.framed(image)
        raise ValueError(f"the generator has no resolution {until}")

    def codes(self, images: Tensor) -> Tensor:
        """(B, N, W) without gradients: the codes of (B, 3, H, W) images in [0, 1], improved `refine` times."""
        images = in_range(images)
        with torch.no_grad(), exact_convolutions():
            codes = self.network.codes(images)
        return refined(self.network, images, codes, self.refine) if self.refine else codes

    def redrawn(self, images: Tensor) -> Tensor:
        """See `Backbone.redrawn`."""
        with torch.inference_mode(False), torch.enable_grad():
            images = images.clone() if images.is_inference() else images.detach()
            codes = self.codes(images.to(self.device))
        with torch.no_grad():
            return shown(self.network.framed(self.network.drawn(codes)))

    def generator(self, options: GANInversionGeneration | None = None) -> GANInversionGenerator:
        """See `Backbone.generator`; the maps come with the images."""
        return GANInversionGenerator(self, drawing_options(options, GANInversionGeneration))

    def config(self) -> dict[str, Any]:
        """See `Backbone.config`."""
        return {
            "resolutions": list(self.resolutions),
            "layers": self.layers,
            "refine": self.refine,
            "precision": self.precision,
        }

    def save_weights(self, folder: Path) -> None:
        """All networks as ``config.json`` and ``model.safetensors``."""
        save_inverter(self.network, folder)

    @classmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        """See `Backbone.from_saved`."""
        return cls(load_inverter(folder), from_json(GANInversionOptions, config))

    def readable(self) -> dict[str, tuple[Any, ...]]:
        """See `Backbone.readable`: all resolutions that have convolutions of the kind that is read."""
        every = inversion_taps(self.network, resolutions_of(self.network), self.layers)
        return {"resolutions": tuple(dict.fromkeys(side for tap in every for _, side in tap.at))}

    def reading(self, **where: Sequence[Any]) -> Backbone:
        """See `Backbone.reading`."""
        if where.keys() != {"resolutions"}:
            return super().reading(**where)
        options = replace(self.options, resolutions=tuple(where["resolutions"]))
        return type(self)(self.network, options).eval().requires_grad_(False)

    @property
    def options(self) -> GANInversionOptions:
        """What is read, complete."""
        return GANInversionOptions(self.resolutions, self.layers, self.refine, self.precision)

    def reinitialised(self, seed: int) -> Self:
        """The same networks and taps with random weights, as a baseline."""
        network = random_inverter(self.network, seed).to(self.device)
        return type(self)(network, self.options).eval().requires_grad_(False)


def shown(image: Tensor) -> Tensor:
    """An image of the generator, in about [-1, 1], as float32 in [0, 1]."""
    return (image.float() / 2 + 0.5).clamp(0, 1)


def inversion_taps(network: Inverter, resolutions: tuple[int, ...], layers: Layers) -> tuple[Tap, ...]:
    """The convolutions of some resolutions of the generator, each with the resolution that chooses it."""
    whole, every = network.generator.shape.resolution, taps_of(network.generator, resolutions, layers)
    return tuple(replace(tap, at=(("resolutions", whole // tap.stride),)) for tap in every)


def resolutions_of(network: Inverter) -> tuple[int, ...]:
    """The resolutions that can be read: those at which an image is a whole number of rows, in the middle of all."""
    (height, width), sides = network.frame, network.generator.shape.resolutions
    return tuple(side for side in sides if side * (width - height) % (2 * width) == 0)
