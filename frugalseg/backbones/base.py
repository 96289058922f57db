"""What every backbone promises: images in, feature maps out."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from frugalseg.backbones.generator import ImageGenerator
from frugalseg.backbones.registry import family_named, generating
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.taps import Tap
from frugalseg.support.errors import InputError

__all__ = ["Backbone", "Tap", "backbone_class", "load_backbone", "load_saved_backbone", "names"]


class Backbone(nn.Module, ABC):
    """Turns images into feature maps; never trained by frugalseg's ``fit``.

    Attributes:
        family: name in the registry.
        taps: what is read, in the order of the feature vector; known before anything runs.
        stride: the sides of an input image must be multiples of it.
        native_size: (height, width) that the network was trained on, in pixels.
    """

    family: ClassVar[str]
    taps: tuple[Tap, ...]
    stride: int
    native_size: tuple[int, int]

    @property
    def dim(self) -> int:
        """Length of a pixel's feature vector."""
        return sum(tap.channels for tap in self.taps)

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    @abstractmethod
    def maps(self, images: Tensor) -> list[Tensor]:
        """Features of a batch.

        Args:
            images: (B, 3, H, W) float32 in [0, 1], H and W multiples of `stride`, on `device`.

        Returns:
            One (B, channels, H / stride, W / stride) tensor for each of `taps`.
        """

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Everything but the weights that `from_pretrained` needs, as JSON values."""

    @abstractmethod
    def save_weights(self, folder: Path) -> None:
        """Write the network below `folder`, in the layout most tools of its family read."""

    @classmethod
    @abstractmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        """The inverse of `save_weights` and `config`."""

    @classmethod
    @abstractmethod
    def from_checkpoint(cls, checkpoint: str | Path | None, options: Any) -> Self:
        """Build from whatever is published for the family; `options` is the dataclass of its ``settings.py``."""

    def reinitialised(self, seed: int) -> Self:
        """The same network and taps with random weights, as a baseline.

        Raises:
            InputError: the family has no weights.
        """
        raise InputError(f"the backbone {self.family!r} has no weights to draw at random")

    def generator(self, options: Any) -> ImageGenerator:
        """What draws images with this backbone's network.

        Args:
            options: the family's dataclass of generation; None for its defaults.

        Raises:
            InputError: the family does not generate; the message names those that do.
        """
        able = ", ".join(family.name for family in generating())
        raise InputError(f"a {self.family} backbone cannot generate images; those of the family {able} can")

    @torch.inference_mode()
    def forward(self, images: Tensor) -> FeatureMaps:
        """Check the size, run the network, name the result.

        Args:
            images: (B, 3, H, W) float32 in [0, 1], H and W multiples of `stride`.

        Returns:
            The maps of the batch; `FeatureMaps.size` is (H, W).

        Raises:
            ValueError: H or W is not a multiple of `stride`.
        """
        height, width = images.shape[-2:]
        if height % self.stride or width % self.stride:
            raise ValueError(f"an image of {height}x{width} does not fit a network of stride {self.stride}")
        return FeatureMaps(self.maps(images.to(self.device)), (height, width))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write weights and settings to `folder`, which `load_saved_backbone` reads."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.save_weights(folder)
        (folder / "backbone.json").write_text(json.dumps({"family": self.family, **self.config()}, indent=2) + "\n")


def backbone_class(family: str) -> type[Backbone]:
    """The class of a family; raises `InputError` with the known names for an unknown one."""
    found = family_named(family)
    cls: type[Backbone] = found.load("backbone", found.backbone)
    return cls


def load_backbone(family: str, checkpoint: str | Path | None = None, **options: Any) -> Backbone:
    """A backbone from a family's published or self-trained checkpoint.

    Args:
        family: a name in `frugalseg.backbones.registry.FAMILIES`.
        checkpoint: a file, a folder or a Hub id, as the family defines.
        options: the fields of the family's options, for example ``timesteps`` and ``blocks`` for ``ddpm``.

    Raises:
        InputError: an unknown family or option, or a checkpoint that the family cannot use.
    """
    of_family = family_named(family).options_class()
    known = [field.name for field in fields(of_family)]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise InputError(
            f"the {family} backbone has no option {', '.join(unknown)}; known: {', '.join(known) or 'none'}"
        )
    backbone = backbone_class(family).from_checkpoint(checkpoint, of_family(**options))
    return backbone.eval().requires_grad_(False)


def load_saved_backbone(folder: str | Path) -> Backbone:
    """The backbone that `Backbone.save_pretrained` wrote to `folder`."""
    folder = Path(folder)
    config = json.loads((folder / "backbone.json").read_text())
    return backbone_class(config.pop("family")).from_saved(folder, config).eval().requires_grad_(False)


def names(taps: Sequence[Tap]) -> list[str]:
    """The names of `taps`, in order."""
    return [tap.name for tap in taps]
