"""The sizes of an adversarial latent autoencoder; nothing here imports torch."""

from dataclasses import dataclass

from frugalseg.support.ranges import DEPTH, WIDTH, Range, check_range

SMALLEST = 4
"""Side in pixels of the learned constant that the generator begins with."""
LAYERS = Range(2, 12)
"""Resolutions: from 8 x 8 pixels to more than any published network has."""
FUSED_FROM = 128
"""Resampling is fused with its convolution where the larger side has at least so many pixels."""


@dataclass(frozen=True)
class Shape:
    """What the networks of an autoencoder have in common; in brackets the names of the published configurations.

    Attributes:
        layers: resolutions, each twice the one before (``LAYER_COUNT``).
        latent: numbers of a code (``LATENT_SPACE_SIZE``).
        start: channels at the full resolution, and twice as many at each lower one (``START_CHANNEL_COUNT``).
        most: the largest number of channels (``MAX_CHANNEL_COUNT``).
        mapping: layers of the mapping from z to w (``MAPPING_LAYERS``).
    """

    layers: int
    latent: int
    start: int
    most: int
    mapping: int

    def __post_init__(self) -> None:
        for name, within in (
            ("layers", LAYERS),
            ("latent", WIDTH),
            ("start", WIDTH),
            ("most", WIDTH),
            ("mapping", DEPTH),
        ):
            check_range(f"{name} is", getattr(self, name), within)

    @property
    def size(self) -> int:
        """Side of the square images, in pixels."""
        return self.side(self.layers - 1)

    @property
    def slots(self) -> int:
        """Styles that the generator takes, two for each resolution."""
        return 2 * self.layers

    def side(self, level: int) -> int:
        """Side in pixels at a level; level 0 is the smallest resolution."""
        return SMALLEST << level

    def channels(self, level: int) -> int:
        """Channels at a level; level -1 is the encoder's last output, of 2 x 2 pixels."""
        return min(self.most, self.start << (self.layers - 1 - level))

    def fused(self, level: int) -> bool:
        """Whether resampling between a level and the one below is fused with its convolution."""
        return self.side(level) >= FUSED_FROM
