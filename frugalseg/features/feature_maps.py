"""Feature maps, each at its own resolution, and their values at any pixels: no map is ever upsampled whole."""

from collections.abc import Sequence

import torch
from torch import Tensor

# Shapes: B images, C channels, h x w a map, H x W the pixel grid, N pixels, D the channels of all maps together.


class FeatureMaps:
    """The maps of a batch of images.

    Attributes:
        maps: one (B, C, h, w) tensor a tap; channels and resolutions may differ from map to map.
        size: (H, W), the pixel grid that the maps are stretched over. It may be any size: the images' own, larger than
            what the network saw, or of another aspect ratio.
    """

    def __init__(self, maps: Sequence[Tensor], size: tuple[int, int]) -> None:
        self.maps = list(maps)
        self.size = (int(size[0]), int(size[1]))

    def __len__(self) -> int:
        return self.maps[0].shape[0]

    def __getitem__(self, image: int) -> "FeatureMaps":
        """One image's maps, still with a leading dimension of 1."""
        return FeatureMaps([m[image : image + 1] for m in self.maps], self.size)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each map."""
        return tuple(m.shape[1] for m in self.maps)

    @property
    def dim(self) -> int:
        """Length of a pixel's feature vector."""
        return sum(self.channels)

    def on(self, size: tuple[int, int]) -> "FeatureMaps":
        """The same maps stretched over another pixel grid."""
        return FeatureMaps(self.maps, size)

    def to(self, place: torch.device | torch.dtype) -> "FeatureMaps":
        """`Tensor.to` for every map."""
        return FeatureMaps([m.to(place) for m in self.maps], self.size)

    def at(self, pixels: Tensor, image: int = 0) -> Tensor:
        """Feature vectors of some pixels of one image: what upsampling every map bilinearly to `size`
        (``align_corners=False``), concatenating and indexing would give.

        Args:
            pixels: (N,) int64, row-major positions ``y * W + x`` on the grid `size`.
            image: which image of the batch.

        Returns:
            (N, D) float32.

        Raises:
            ValueError: `pixels` are no such tensor, or lie beyond the grid.
        """
        height, width = self.size
        whole = isinstance(pixels, Tensor) and pixels.dim() == 1 and pixels.dtype == torch.int64
        if not whole or (len(pixels) and (int(pixels.min()) < 0 or int(pixels.max()) >= height * width)):
            raise ValueError(
                f"pixels are int64 positions (N,) from 0 to below {height * width} on a grid of {height}x{width}"
            )
        y, x = pixels // self.size[1], pixels % self.size[1]
        columns = []
        for values in self.maps:
            h, w = values.shape[-2:]
            rows = values[image].flatten(1).t()
            columns.append(sample_rows(rows, (h, w), self.size, y, x))
        return torch.cat(columns, dim=1)


def neighbours(position: Tensor, length: int | Tensor, target: int | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where bilinear upsampling (``align_corners=False``) reads along one axis.

    Args:
        position: (N,) int64 pixel positions in [0, target).
        length: values along the axis of the map, one number or one for each pixel.
        target: pixels along the axis of the grid, likewise.

    Returns:
        The lower and the upper index (N,) int64 and the weight of the upper one (N,) float32.
    """
    scale = torch.as_tensor(length, dtype=torch.float32, device=position.device) / target
    source = (scale * (position.float() + 0.5) - 0.5).clamp_min(0)
    last = torch.as_tensor(length, device=position.device) - 1
    lower = source.floor().long().minimum(last)
    return lower, (lower + 1).minimum(last), source - lower


def sample_rows(rows: Tensor, shape: tuple[int, int], size: tuple[int, int], y: Tensor, x: Tensor) -> Tensor:
    """Bilinear values of a map that is stored one pixel a row.

    Args:
        rows: (h * w, C), the map's values.
        shape: (h, w).
        size: (H, W) of the pixel grid.
        y, x: (N,) int64 positions on the grid.

    Returns:
        (N, C) float32.
    """
    top, bottom, down = neighbours(y, shape[0], size[0])
    left, right, across = neighbours(x, shape[1], size[1])
    return blend_corners(rows, top * shape[1], bottom * shape[1], left, right, down, across)


def blend_corners(
    rows: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor, down: Tensor, across: Tensor
) -> Tensor:
    """(N, C) float32: the four corner rows of each pixel, weighted.

    `top` and `bottom` are the indices in `rows` of the first value of the upper and the lower line; `left` and `right`
    are offsets within a line; `down` and `across` the weights of `bottom` and `right`.
    """
    if not down.any() and not across.any():  # maps as large as the grid: one row a pixel is read, not four
        return rows[top + left].float()
    down, across = down[:, None], across[:, None]
    upper = rows[top + left].float().lerp(rows[top + right].float(), across)
    lower = rows[bottom + left].float().lerp(rows[bottom + right].float(), across)
    return upper.lerp(lower, down)
