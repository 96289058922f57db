"""What draws images: the other half of a backbone whose network is a generative one."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor


class ImageGenerator(Protocol):
    """Draws images, each from a seed of its own."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images, that of the network's training images."""

    def generate(self, seeds: Sequence[int]) -> Tensor:
        """New images, all drawn at once: the caller chooses the batch by the number of seeds.

        Args:
            seeds: one an image, each in [0, 2**32). Image i depends on ``seeds[i]`` alone, up to rounding.

        Returns:
            (N, 3, H, W) float32 in [0, 1], on the CPU.
        """

    def settings(self) -> dict[str, Any]:
        """All that an image depends on beside its seed and the network's weights, as JSON values."""
