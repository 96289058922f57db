"""Feature maps of many images, each stored once: in half precision, one map pixel a row, in memory or in mapped files.

Whoever reads the features of several images reads them here: the training set of the pixel classifier, sweeps over
taps, clustering, cross-validation, live labelling. Labels are kept apart, see `frugalseg.classifier.pixel_set`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from frugalseg.features.feature_maps import FeatureMaps, blend_corners, neighbours
from frugalseg.features.map_files import VALUE_BYTES, MapFiles
from frugalseg.features.taps import Tap
from frugalseg.support.errors import InputError

# Shapes: I images (or windows of images), R rows of a tap, C channels of a tap, D channels of all taps, n pixels.

LARGEST_HALF = torch.finfo(torch.float16).max

MapSizes = Callable[[tuple[int, int]], Sequence[tuple[int, int]]]
"""Gives the (h, w) of each tap's map for the (h, w) that the network sees, as `Backbone.map_sizes` does."""


@dataclass(frozen=True, eq=False)
class Grids:
    """Where the maps of one tap lie among its rows; taps whose maps are of the same sizes share one.

    Attributes:
        shapes: (I, 2) int64, the (h, w) of each image's map.
        first: (I,) int64, the row of its first value.
    """

    shapes: Tensor
    first: Tensor

    def of(self, images: Tensor) -> "Grids":
        """Those of some images only."""
        return Grids(self.shapes[images], self.first[images])


class MapView:
    """Some taps and some images of a `MapStore`. It reads the rows of the store; nothing is copied.

    Attributes:
        taps: in the order of the feature vector.
        networks: (I, 2) int64, the (h, w) that the network sees of each image.
        rows: (R, C) float16 for each tap, the rows of all images of the store.
        grids: for each tap, where the maps of the images lie among its rows.
        files: that hold the rows; None where they are in memory.
    """

    def __init__(
        self,
        taps: Sequence[Tap],
        networks: Tensor,
        rows: Sequence[Tensor],
        grids: Sequence[Grids],
        files: MapFiles | None = None,
    ) -> None:
        self.taps, self.networks, self.files = tuple(taps), networks, files
        self.rows, self.grids = tuple(rows), tuple(grids)

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.networks)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each tap."""
        return tuple(tap.channels for tap in self.taps)

    @property
    def dim(self) -> int:
        """D, the length of a pixel's feature vector."""
        return sum(self.channels)

    def select(self, taps: Iterable[str | Tap]) -> "MapView":
        """The same images with some of the taps only.

        Args:
            taps: by name or as they are, in the order that the feature vector is to have.

        Raises:
            InputError: a tap that is not stored; the message names those that are.
        """
        known = {tap.name: place for place, tap in enumerate(self.taps)}
        wanted = [tap if isinstance(tap, str) else tap.name for tap in taps]
        missing = [name for name in wanted if name not in known]
        if missing or not wanted:
            what = f"no maps of {', '.join(missing)} are stored" if missing else "no tap is chosen"
            raise InputError(f"{what}; choose from {', '.join(known)}")
        places = [known[name] for name in wanted]
        return MapView(
            [self.taps[p] for p in places],
            self.networks,
            [self.rows[p] for p in places],
            [self.grids[p] for p in places],
            self.files,
        )

    def subset(self, images: Sequence[int]) -> "MapView":
        """The same taps of some of the images, in the given order; image 0 of the result is ``images[0]``.

        Args:
            images: numbers from 0 to below ``len(self)``.
        """
        index = torch.tensor(list(images), dtype=torch.int64)
        grids = {each: each.of(index) for each in set(self.grids)}
        return MapView(self.taps, self.networks[index], self.rows, [grids[each] for each in self.grids], self.files)

    def release(self) -> None:
        """Give the memory back that holds what was read or written so far, where files hold it as well."""
        if self.files is not None:
            self.files.release()

    def maps(self, image: int) -> FeatureMaps:
        """The maps of one image, (1, C, h, w) float16 each; `FeatureMaps.size` is what the network sees.

        The tensors are the stored values themselves: do not write to them.
        """
        height, width = self.networks[image].tolist()
        return FeatureMaps([self._map(place, image) for place in range(len(self.taps))], (height, width))

    def _map(self, place: int, image: int) -> Tensor:
        """(1, C, h, w) float16: the map of one tap of an image."""
        (h, w), first = self.grids[place].shapes[image].tolist(), int(self.grids[place].first[image])
        return self.rows[place][first : first + h * w].view(h, w, -1).permute(2, 0, 1)[None]

    def at(self, image: Tensor, y: Tensor, x: Tensor, grid: Tensor) -> Tensor:
        """Feature vectors of pixels of any images: what upsampling every map bilinearly to the grid and indexing gives.

        Args:
            image: (n,) int64, the image of each pixel.
            y, x: (n,) int64, its row and column on its image's grid.
            grid: (n, 2) int64, (H, W) of that grid, which the maps are stretched over.

        Returns:
            (n, D) float32, equal to `FeatureMaps.at` of the stored maps.
        """
        corners = {each: corners_of(each, image, y, x, grid) for each in set(self.grids)}
        out = torch.empty(len(image), self.dim, dtype=torch.float32)
        parts = out.split(list(self.channels), dim=1)
        for each, rows, part in zip(self.grids, self.rows, parts, strict=True):
            part.copy_(blend_corners(rows, *corners[each]))
        return out


def corners_of(grids: Grids, image: Tensor, y: Tensor, x: Tensor, grid: Tensor) -> tuple[Tensor, ...]:
    """Arguments of `blend_corners` for pixels, see `MapView.at`, and the maps that lie so."""
    shape, first = grids.shapes[image], grids.first[image]
    top, bottom, down = neighbours(y, shape[:, 0], grid[:, 0])
    left, right, across = neighbours(x, shape[:, 1], grid[:, 1])
    return first + top * shape[:, 1], first + bottom * shape[:, 1], left, right, down, across


class MapStore(MapView):
    """The maps of a list of images. Fill it with `put`, image by image; images beyond `done` hold no values yet.

    Args:
        taps: of the backbone whose maps come.
        networks: the (h, w) that the network sees of each image; multiples of the strides.
        folder: where the maps lie in mapped files; None keeps them in memory. A folder that an interrupted run of the
            same taps, sizes and `made_from` has begun is taken up where that stopped; other maps in it are deleted.
        made_from: a digest of the network and the images; "" where the caller answers for what is in `folder`.
        map_sizes: how large the maps are; by default `networks` divided by the strides of the taps.

    Attributes:
        done: how many images have their maps.

    Raises:
        OSError: the disk has no room for the maps; nothing has been computed yet.
    """

    def __init__(
        self,
        taps: Sequence[Tap],
        networks: Sequence[tuple[int, int]],
        folder: Path | None = None,
        made_from: str = "",
        map_sizes: MapSizes | None = None,
    ) -> None:
        sizes = torch.tensor(list(networks), dtype=torch.int64).view(-1, 2)
        grids = grids_of(shapes_of(taps, networks, map_sizes))
        shapes = [(int(each.shapes.prod(1).sum()), tap.channels) for each, tap in zip(grids, taps, strict=True)]
        files = None if folder is None else MapFiles(folder, taps, sizes.tolist(), made_from)
        if files is None:
            rows, self.done = [torch.empty(shape, dtype=torch.float16) for shape in shapes], 0
        else:
            rows, self.done = files.open(shapes)
        super().__init__(taps, sizes, rows, grids, files)

    @property
    def complete(self) -> bool:
        """Whether every image has its maps."""
        return self.done == len(self)

    def put(self, image: int, maps: FeatureMaps) -> None:
        """Store the maps of an image (a batch of one); images come in order."""
        for grids, rows, values in zip(self.grids, self.rows, maps.maps, strict=True):
            first, count = int(grids.first[image]), int(grids.shapes[image].prod())
            place = rows[first : first + count]
            place.copy_(values[0].flatten(1).t()).clamp_(-LARGEST_HALF, LARGEST_HALF)  # what is too large is infinite
        self.done = image + 1
        if self.files is not None:
            self.files.note(self.done)
            self.files.release()


def shapes_of(
    taps: Sequence[Tap], networks: Sequence[tuple[int, int]], map_sizes: MapSizes | None
) -> list[tuple[tuple[int, int], ...]]:
    """For each tap the (h, w) of its map of every image; the arguments are those of `MapStore`."""
    sizes_of = map_sizes or (lambda size: [(size[0] // tap.stride, size[1] // tap.stride) for tap in taps])
    known = {size: sizes_of(size) for size in set(networks)}
    return [tuple(known[size][place] for size in networks) for place in range(len(taps))]


def grids_of(shapes: Sequence[tuple[tuple[int, int], ...]]) -> list[Grids]:
    """Where the maps of each tap lie, image after image."""
    found: dict[tuple[tuple[int, int], ...], Grids] = {}
    for each in shapes:
        if each not in found:
            sizes = torch.tensor(each, dtype=torch.int64).view(-1, 2)
            counts = sizes.prod(1)
            found[each] = Grids(sizes, counts.cumsum(0) - counts)
    return [found[each] for each in shapes]


def stored_bytes(taps: Sequence[Tap], networks: Sequence[tuple[int, int]], map_sizes: MapSizes | None = None) -> int:
    """What the maps of images of these network sizes take, in bytes."""
    shapes = shapes_of(taps, networks, map_sizes)
    values = sum(tap.channels * h * w for tap, each in zip(taps, shapes, strict=True) for h, w in each)
    return VALUE_BYTES * values
