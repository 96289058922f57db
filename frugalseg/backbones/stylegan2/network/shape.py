"""The sizes of a generator and of a discriminator."""

from dataclasses import dataclass

SMALLEST = 4
"""Pixels along a side where the synthesis begins and the discriminator ends."""
CLAMP = 256.0
"""Where activations are cut off; the published networks of stylegan2-ada-pytorch need it in float16."""


@dataclass(frozen=True)
class GeneratorShape:
    """The sizes of a generator.

    Attributes:
        channels: of the activations at 4 x 4, 8 x 8 and so on; the last are those at the size of the images.
        z_width, w_width: values of z, the normal numbers that a sample begins from, and of the latent w.
        mapping_layers, mapping_width: layers between the two, and the channels between them.
        clamp: activations are cut off at ± this; None: nowhere.
    """

    channels: tuple[int, ...]
    z_width: int = 512
    w_width: int = 512
    mapping_layers: int = 8
    mapping_width: int = 512
    clamp: float | None = CLAMP

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8 and so on: pixels along a side."""
        return tuple(SMALLEST << level for level in range(len(self.channels)))

    @property
    def resolution(self) -> int:
        """Pixels along a side of the images."""
        return self.resolutions[-1]

    @property
    def num_ws(self) -> int:
        """How many latents an image takes: one for each convolution, and the last image's."""
        return 2 * len(self.channels)


@dataclass(frozen=True)
class DiscriminatorShape:
    """The sizes of a discriminator.

    Attributes:
        channels: of the activations at 4 x 4, 8 x 8 and so on; the last are those at the size of the images.
        group: images among which the deviation is measured.
        statistics: channels that this adds.
        clamp: activations are cut off at ± this; None: nowhere.
    """

    channels: tuple[int, ...]
    group: int = 4
    statistics: int = 1
    clamp: float | None = CLAMP

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8 and so on: pixels along a side."""
        return tuple(SMALLEST << level for level in range(len(self.channels)))

    @property
    def resolution(self) -> int:
        """Pixels along a side of the images."""
        return self.resolutions[-1]
