"""What a user sets."""

from dataclasses import dataclass

from frugalseg.support.errors import InputError
from frugalseg.support.options import option


@dataclass(frozen=True)
class PaintOptions:
    """What `load_backbone` takes for ``paint``: which of the network's layers 0 and 1 are read."""

    layers: tuple[int, ...] | None = option(None, "layers to read, 0 or 1")


@dataclass(frozen=True)
class PaintGeneration:
    """How pictures are drawn: latents are multiplied by `truncation`, from 0 to 1."""

    truncation: float = option(1.0, "how far latents may lie from their mean")

    def __post_init__(self) -> None:
        if not 0 <= self.truncation <= 1:
            raise InputError(f"truncation is {self.truncation}; give a number from 0 to 1")
