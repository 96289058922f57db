"""Pictures of taps without labels: k-means clusters and principal components, in the same colors on all images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frugalseg.data.channels import viewed
from frugalseg.data.classes import ClassTable
from frugalseg.features.clusters import clusters, components, renumbered
from frugalseg.features.taps import Tap
from frugalseg.jobs.explore.ground import Ground
from frugalseg.report.pictures import Pixels, fit_within
from frugalseg.segmenter import Segmenter
from frugalseg.selection.folds import labelled
from frugalseg.selection.trial import Trial
from frugalseg.support.errors import InputError
from frugalseg.support.files import atomic_path
from frugalseg.support.text import count

LONGEST = 320
"""Pixels of the longer side of a picture."""
COMPONENTS = "pca"


class ClusterPictures:
    """Pictures of some taps over the first images that have labels.

    Args:
        ground: of the exploration.
        taps: to be pictured, the first of which gives the clusters their colors.

    Attributes:
        images: numbers of the images.
        kinds: of pictures: ``k5`` and so on, and ``pca``.
    """

    def __init__(self, ground: Ground, taps: Sequence[Tap]) -> None:
        self.ground, self.taps = ground, tuple(taps)
        self.images = labelled(ground.targets, range(ground.annotated))[: ground.settings.pictures]
        self.numbers = tuple(dict.fromkeys(ground.settings.clusters))
        self.kinds = (*(f"k{number}" for number in self.numbers), COMPONENTS)

    def require_enough(self, segmenter: Segmenter) -> None:
        """Raise `InputError` where a tap has fewer values on the images than clusters are asked for.

        Args:
            segmenter: whose backbone has the taps.
        """
        own = segmenter.backbone.taps
        windows = [window for image in self.images for window in segmenter.windows(self.ground.targets[image].shape)]
        for tap in self.taps:
            place = own.index(tap)
            values = sum(int(np.prod(segmenter.backbone.map_sizes(window.network)[place])) for window in windows)
            if values < max(self.numbers):
                raise InputError(
                    f"--clusters {max(self.numbers)}: {tap.name} has {count(values, 'value')} on "
                    f"{count(len(self.images), 'image')}; give at most {values}, or more --pictures"
                )

    def path(self, kind: str, tap: Tap, image: int) -> Path:
        """Of a picture."""
        return self.ground.out / "pictures" / kind / f"{tap.name}.{image}.png"

    def missing(self) -> list[Tap]:
        """The taps whose pictures are not all there; the first one's clusters are needed for the others' colors."""
        missing = [
            tap
            for tap in self.taps
            if not all(self._is_there(kind, tap, image) for kind in self.kinds for image in self.images)
        ]
        return missing

    def _is_there(self, kind: str, tap: Tap, image: int) -> bool:
        """Whether a picture is there and sound; one that is not is drawn again."""
        height, width = self.shape(image)
        try:
            with Image.open(self.path(kind, tap, image)) as found:
                found.load()
                return found.size == (width, height) and found.mode == ("RGB" if kind == COMPONENTS else "P")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # all that damage to a PNG ends in
            return False

    def shape(self, image: int) -> tuple[int, int]:
        """(H, W) of the pictures of an image."""
        height, width = self.ground.targets[image].shape
        scale = min(1.0, LONGEST / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def draw(self, tap: Tap, trial: Trial) -> None:
        """Write the pictures of a tap.

        Args:
            tap: one of `taps`.
            trial: with its maps.
        """
        places = [place for image in self.images for place in trial.windows[image].values()]
        view = trial.extraction.select([tap]).store
        maps = [view.maps(place).maps[0][0] for place in places]
        seed = self.ground.settings.seed
        for number, kind in zip(self.numbers, self.kinds, strict=False):
            found = self._whole(clusters(maps, number, seed), trial)
            self._write(kind, tap, self._in_common_colors(found, kind, tap, number), cluster_colors(number))
        self._write(COMPONENTS, tap, self._whole(components(maps, seed), trial), None)

    def _whole(self, parts: list[NDArray[np.uint8]], trial: Trial) -> list[NDArray[np.uint8]]:
        """What was found for each window as a picture of each image; later windows cover earlier ones."""
        found, rest = [], iter(parts)
        for image in self.images:
            height, width = self.ground.targets[image].shape
            whole = np.zeros((height, width, *parts[0].shape[2:]), np.uint8)
            for window in trial.windows[image]:
                area = whole[window.area]
                area[:] = nearest(next(rest), window.size)[: area.shape[0], : area.shape[1]]
            found.append(nearest(whole, self.shape(image)))
        return found

    def _in_common_colors(
        self, found: list[NDArray[np.uint8]], kind: str, tap: Tap, number: int
    ) -> list[NDArray[np.uint8]]:
        """Clusters numbered as those of the first tap are, where its pictures are there already."""
        first = self.taps[0]
        if tap == first or not all(self._is_there(kind, first, image) for image in self.images):
            return found
        reference = [np.asarray(Image.open(self.path(kind, first, image))) for image in self.images]
        return renumbered(found, reference, number)

    def _write(self, kind: str, tap: Tap, found: list[NDArray[np.uint8]], colors: list[int] | None) -> None:
        """PNG files: of clusters with their numbers as palette, else in RGB."""
        for image, picture in zip(self.images, found, strict=True):
            drawn = Image.fromarray(picture)
            if colors is not None:
                drawn.putpalette(colors)
            with atomic_path(self.path(kind, tap, image)) as temporary:
                drawn.save(temporary)

    def picture(self, kind: str, tap: Tap, image: int) -> Pixels:
        """(h, w, 3) uint8: one that is written."""
        found: Pixels = np.asarray(Image.open(self.path(kind, tap, image)).convert("RGB"))
        return found

    def photograph(self, image: int) -> tuple[str, Pixels]:
        """The name of an image, and itself at the size of its pictures."""
        example = self.ground.dataset[image]
        return example.name, fit_within(viewed(example.image), LONGEST)


def cluster_colors(number: int) -> list[int]:
    """Red, green and blue of each cluster, as the palette of a PNG file."""
    return [part for color in ClassTable.from_ids(range(number)).colors for part in color]


def nearest(values: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, ...) of (h, w, ...): each pixel the nearest value, so that the grid of a map stays visible."""
    rows, columns = (
        ((np.arange(wanted) + 0.5) * there / wanted).astype(np.int64)
        for wanted, there in zip(size, values.shape[:2], strict=True)
    )
    found: NDArray[np.uint8] = values[rows[:, None], columns]
    return found
