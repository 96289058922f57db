"""Filter responses at several scales as features."""

from collections.abc import Sequence
from typing import Any, Self

from torch import Tensor

from frugalseg.backbones.base import Backbone
from frugalseg.backbones.filters.network import filtered, inside, reach
from frugalseg.backbones.filters.settings import KINDS, OUTER, SCALES, FilterOptions
from frugalseg.backbones.weightless import WeightlessBackbone
from frugalseg.features.taps import Tap

WINDOW = (384, 384)
"""Images are seen through windows of this size: large beside the margin of the largest scale, small in memory."""


class FiltersBackbone(WeightlessBackbone):
    """A map for each scale at full resolution; it holds the responses of all filters to all image channels.

    The filters have no weights: a saved folder holds the settings only.

    Args:
        scales: standard deviations of the Gaussians, in pixels.
        kinds: names of the filters.
        outer: see `FilterOptions`.
        channels: of the images.
    """

    options_class = FilterOptions
    family = "filters"
    own_resolution = True

    def __init__(
        self,
        scales: Sequence[float] = SCALES,
        kinds: Sequence[str] = tuple(KINDS),
        outer: float = OUTER,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.scales, self.kinds, self.outer = tuple(scales), tuple(kinds), outer
        width = channels * sum(KINDS[kind] for kind in kinds)
        self.taps = tuple(Tap(f"scale{scale:g}", width, 1, (("scales", scale),)) for scale in scales)
        self.stride, self.in_channels = 1, channels
        self.native_size = WINDOW
        self.reaches = [reach(scale, kinds, outer) for scale in scales]
        self.margin = max(self.reaches)

    def maps(self, images: Tensor) -> list[Tensor]:
        """(B, C, H + 2m, W + 2m) in [0, 1] -> (B, channels, H, W) float32 for each scale; m is `margin`."""
        images = images.float()
        return [
            filtered(inside(images, self.margin - needed), scale, self.kinds, self.outer)
            for scale, needed in zip(self.scales, self.reaches, strict=True)
        ]

    def readable(self) -> dict[str, tuple[Any, ...]]:
        """See `Backbone.readable`: the usual scales."""
        return {"scales": SCALES}

    def reading(self, **where: Sequence[Any]) -> Backbone:
        """See `Backbone.reading`."""
        if where.keys() != {"scales"}:
            return super().reading(**where)
        options = FilterOptions(tuple(where["scales"]), self.kinds, self.outer)
        return self.with_options(options, self.in_channels).to(self.device).eval()

    def config(self) -> dict[str, Any]:
        """``scales``, ``kinds`` and ``outer``, and ``channels`` where there are not three."""
        said: dict[str, Any] = {"scales": list(self.scales), "kinds": list(self.kinds), "outer": self.outer}
        return said if self.in_channels == 3 else {**said, "channels": self.in_channels}

    @classmethod
    def with_options(cls, options: FilterOptions, channels: int = 3) -> Self:
        """See `WeightlessBackbone`."""
        return cls(options.scales, options.kinds, options.outer, channels)
