"""Backbones whose features are computed rather than learned: they have no weights and take no checkpoint."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from frugalseg.backbones.base import Backbone
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError
from frugalseg.support.ranges import CHANNELS, require_number


class WeightlessBackbone(Backbone):
    """What such families share; a saved folder holds the settings only.

    Attributes:
        options_class: the dataclass of the family's options, whose fields `config` gives. With them it gives
            ``channels``, how many the images have, unless these are the three that earlier versions knew.
    """

    options_class: ClassVar[type[Any]]

    def __init__(self) -> None:
        super().__init__()
        # Nothing else tells where `.to(device)` has put a module without weights.
        self.register_buffer("anchor", torch.empty(0), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the maps are computed."""
        anchor: Tensor = self.get_buffer("anchor")
        return anchor.device

    @classmethod
    @abstractmethod
    def with_options(cls, options: Any, channels: int = 3) -> Self:
        """The backbone with these options, of `options_class`, for images of so many channels."""

    def seeing(self, channels: int) -> Backbone:
        """See `Backbone`; any number of channels that images may have is taken.

        Raises:
            InputError: there are no channels, or more than images have.
        """
        if channels == self.in_channels:
            return self
        return self.from_saved(Path(), {**self.config(), "channels": channels}).to(self.device).eval()

    def save_weights(self, folder: Path) -> None:
        """Nothing: there are no weights."""

    @classmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        """The inverse of `config`; nothing is read from `folder`."""
        channels = config.get("channels", 3)
        require_number("channels is", channels, CHANNELS)
        own = {name: value for name, value in config.items() if name != "channels"}
        return cls.with_options(from_json(cls.options_class, own), int(channels))

    @classmethod
    def from_checkpoint(cls, checkpoint: str | Path | None, options: Any) -> Self:
        """The backbone; raises `InputError` where a checkpoint is given."""
        if checkpoint is not None:
            raise InputError(f"the {cls.family} backbone has no weights: give no checkpoint, not {str(checkpoint)!r}")
        return cls.with_options(options)
