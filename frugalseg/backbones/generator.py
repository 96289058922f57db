"""What draws images: the other half of a backbone whose network is a generative one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.support.errors import InputError
from frugalseg.support.text import quoted

Options = TypeVar("Options")


@dataclass(frozen=True, eq=False)
class Drawn:
    """Images that a generator drew in one pass of its network.

    Attributes:
        images: (N, 3, H, W) float32 in [0, 1], on the CPU.
        maps: of the same N images, `FeatureMaps.size` being (H, W): what the network computed while it drew them, at
            the taps of the generator's backbone; None where the family has to look at an image again to get its maps.
    """

    images: Tensor
    maps: FeatureMaps | None = None


class ImageGenerator(Protocol):
    """Draws images, each from a seed of its own."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images, that of the network's training images."""

    @property
    def maps_of(self) -> nn.Module | None:
        """The backbone whose taps `Drawn.maps` are read at; None where `draw` gives no maps.

        Maps fit the classifiers of this backbone alone, so whoever labels images compares it with the model's own.
        """

    def draw(self, seeds: Sequence[int]) -> Drawn:
        """New images, all drawn at once: the caller chooses the batch by the number of seeds.

        Args:
            seeds: one for each image, in [0, 2**32). Image i and its maps depend on ``seeds[i]`` alone, up to rounding.

        Raises:
            InputError: no seeds, or something that is none.
        """

    def settings(self) -> dict[str, Any]:
        """Everything that an image depends on besides its seed and the network's weights, as JSON values.

        The fields of the family's dataclass of generation are among them, by their names and as they turned out:
        ``backbone.generator`` makes a generator of the same settings of them.
        """


@runtime_checkable
class FromLatents(Protocol):
    """An `ImageGenerator` whose images are each drawn from one vector; published sets hold it beside the image."""

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """(N, D) float32 on the CPU: what the images of `seeds` are drawn from, before any truncation."""


def drawing_options(given: object, kind: type[Options]) -> Options:
    """How a family draws, as its dataclass `kind`: what is given, or the defaults for None.

    Raises:
        InputError: something else is given.
    """
    if given is None:
        return kind()
    if not isinstance(given, kind):
        raise InputError(f"options {quoted(given)}: give a {kind.__name__}, or None for its defaults")
    return given
