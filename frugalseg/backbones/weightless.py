"""Backbones whose features are computed rather than learned: they have no weights and take no checkpoint."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from frugalseg.backbones.base import Backbone
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError


class WeightlessBackbone(Backbone):
    """What such families share; a saved folder holds the settings only.

    Attributes:
        options_class: the dataclass of the family's options, whose fields `config` gives. One of them is `channels`,
            of the images; where there are three, `config` leaves it out, as earlier versions did.
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
    def with_options(cls, options: Any) -> Self:
        """The backbone with these options, of `options_class`."""

    def seeing(self, channels: int) -> Backbone:
        """See `Backbone`; of these, the options say how many channels there are."""
        if channels == self.in_channels:
            return self
        again = type(self).with_options(from_json(self.options_class, {**self.config(), "channels": channels}))
        return again.to(self.device).eval()

    def save_weights(self, folder: Path) -> None:
        """Nothing: there are no weights."""

    @classmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        """The inverse of `config`; nothing is read from `folder`."""
        return cls.with_options(from_json(cls.options_class, config))

    @classmethod
    def from_checkpoint(cls, checkpoint: str | Path | None, options: Any) -> Self:
        """The backbone; raises `InputError` where a checkpoint is given."""
        if checkpoint is not None:
            raise InputError(f"the backbone {cls.family!r} has no weights: give no checkpoint, not {str(checkpoint)!r}")
        return cls.with_options(options)
