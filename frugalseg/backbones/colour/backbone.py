"""Raw colour and position as features: what any representation has to beat."""

from typing import Any, Self

import torch
from torch import Tensor

from frugalseg.backbones.colour.settings import ColourOptions
from frugalseg.backbones.weightless import WeightlessBackbone
from frugalseg.features.taps import Tap


class ColourBackbone(WeightlessBackbone):
    """Two maps at full resolution: ``colour`` (red, green, blue) and ``position`` (x, y), all in [-1, 1].

    Of images of other channels, these are the colour. The position is that of a pixel's centre relative to the image,
    so it does not change when an image is resized; where windows slide over images, it is relative to the window. The
    network of this family has no weights: a saved folder holds its settings only.

    Args:
        native_size: (height, width) that other images are resized to, each at least 1.
        channels: of the images, C.
    """

    options_class = ColourOptions
    family = "colour"

    def __init__(self, native_size: tuple[int, int] = (256, 256), channels: int = 3) -> None:
        super().__init__()
        self.taps = (Tap("colour", channels, 1), Tap("position", 2, 1))
        self.stride, self.in_channels = 1, channels
        self.native_size = native_size

    def maps(self, images: Tensor) -> list[Tensor]:
        """(B, C, H, W) in [0, 1] -> colour (B, C, H, W) and position (B, 2, H, W), float32 in [-1, 1]."""
        batch, _, height, width = images.shape
        y = pixel_centres(height, images.device)[:, None].expand(height, width)
        x = pixel_centres(width, images.device)[None, :].expand(height, width)
        return [images.float() * 2 - 1, torch.stack([x, y]).expand(batch, -1, -1, -1)]

    def config(self) -> dict[str, Any]:
        """``native_size``, and ``channels`` where there are not three."""
        said: dict[str, Any] = {"native_size": list(self.native_size)}
        return said if self.in_channels == 3 else {**said, "channels": self.in_channels}

    @classmethod
    def with_options(cls, options: ColourOptions, channels: int = 3) -> Self:
        """See `WeightlessBackbone`."""
        return cls(options.native_size, channels)


def pixel_centres(length: int, device: torch.device) -> Tensor:
    """(length,) float32: the centres of `length` pixels that span [-1, 1]."""
    return (torch.arange(length, device=device, dtype=torch.float32) * 2 + 1) / length - 1
