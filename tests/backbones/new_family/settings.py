"""What a user sets."""

from dataclasses import dataclass

from frugalseg.support.errors import InputError
from frugalseg.support.options import option


@dataclass(frozen=True)
class GrainOptions:
    """What `load_backbone` takes for ``grain``: which of the network's layers 0 and 1 are read."""

    layers: tuple[int, ...] | None = option(None, "layers to read, 0 or 1")

    def __post_init__(self) -> None:
        if self.layers is not None and (not self.layers or not set(self.layers) <= {0, 1}):
            raise InputError(f"layers {self.layers}: give 0, 1 or both")


@dataclass(frozen=True)
class GrainGeneration:
    """How pictures are drawn: `grain` is the standard deviation of what lies on them, in [0, 1]."""

    grain: float = option(0.3, "strength of the grain")
