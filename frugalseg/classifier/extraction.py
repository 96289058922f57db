"""From annotated images to a training set: which windows of them hold labels, and the maps of just those."""

from collections.abc import Callable, Collection, Iterable, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from frugalseg.classifier.pixel_set import PixelSet
from frugalseg.data.classes import NOT_ANNOTATED
from frugalseg.data.datasets import targets_of
from frugalseg.data.example import Example, as_positions, require_usable
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.map_store import MapSizes, MapStore, MapView
from frugalseg.features.taps import Tap
from frugalseg.features.windows import Window, cut, owned
from frugalseg.support import digests
from frugalseg.support.errors import InputError
from frugalseg.support.numbers import has_nan
from frugalseg.support.progress import Progress, silent
from frugalseg.support.text import quoted

TOO_SMALL = (
    "some images to learn from have only classes with fewer pixels than --small-regions (20 by default), which are not "
    "learned; annotate more of them, or give a smaller number"
)
"""Why nothing of some images is learned."""


@dataclass(frozen=True, eq=False)
class LabelledWindow:
    """A window of an image, and the labels that it owns.

    Attributes:
        image: number of the image.
        window: where it lies.
        target: uint8 class positions of the pixels that belong to this window, 255 elsewhere; of the window's size.
    """

    image: int
    window: Window
    target: NDArray[np.uint8]

    @property
    def has_labels(self) -> bool:
        """Whether any pixel is annotated."""
        return bool((self.target != NOT_ANNOTATED).any())


def drop_small_regions(target: NDArray[np.uint8], minimum: int = 20) -> NDArray[np.uint8]:
    """A copy in which a class with fewer than `minimum` pixels in this image is not annotated (20 as published)."""
    counts = np.bincount(target.ravel(), minlength=256)
    small = np.flatnonzero((counts > 0) & (counts < minimum))
    return np.where(np.isin(target, small), np.uint8(NOT_ANNOTATED), target)


def labelled_windows(
    targets: Iterable[NDArray[np.uint8]],
    windows_of: Callable[[tuple[int, ...]], list[Window]],
    small_region: int,
    *,
    every: bool = False,
) -> list[LabelledWindow]:
    """The windows that own labelled pixels, image by image.

    Args:
        targets: (H, W) uint8 class positions of each image, 255 = not annotated.
        windows_of: the windows that cover an image of a shape.
        small_region: see `drop_small_regions`.
        every: also the other windows of images that have labels, for who predicts these images as well.

    Raises:
        InputError: a target of another shape, or of other numbers.
    """
    found = []
    for image, given in enumerate(targets):
        target = as_positions(given, f"image number {image + 1}")
        if not (target != NOT_ANNOTATED).any():
            continue
        kept = drop_small_regions(target, small_region)
        around = windows_of(kept.shape)
        for window in around:
            seen = LabelledWindow(image, window, owned(kept, window, around, NOT_ANNOTATED))
            if every or seen.has_labels:
                found.append(seen)
    return found


class Extraction:
    """Computes the maps of some windows of a dataset, each once.

    Args:
        dataset: the examples that `windows` refers to.
        windows: from `labelled_windows`.
        taps: of the network.
        folder: where an interrupted extraction is taken up; None keeps the maps in memory.
        made_from, map_sizes: see `MapStore`.
        drawn: gives the maps of a whole image that the network itself drew, where they all are such; None where the
            network looks at the windows.

    Attributes:
        store: of the maps, window by window.
        filled: the same with all taps.

    Raises:
        InputError: no window has labels: nothing is annotated, or no more than small regions are.
    """

    def __init__(
        self,
        dataset: Sequence[Example],
        windows: Sequence[LabelledWindow],
        taps: Sequence[Tap],
        folder: Path | None,
        made_from: str,
        map_sizes: MapSizes | None = None,
        drawn: Callable[[Example], FeatureMaps] | None = None,
    ) -> None:
        self.labelled = [place for place, each in enumerate(windows) if each.has_labels]
        if not self.labelled:
            annotated = any((target != NOT_ANNOTATED).any() for target in targets_of(dataset))
            raise InputError(
                TOO_SMALL if annotated else "no pixel is annotated: every mask holds the ignore value alone"
            )
        self.dataset, self.windows, self.drawn = dataset, windows, drawn
        self.filled = MapStore(taps, [each.window.network for each in windows], folder, made_from, map_sizes)
        self.store: MapView = self.filled

    def select(self, taps: Iterable[str | Tap]) -> "Extraction":
        """The same windows with some of the taps only; the maps are shared.

        Raises:
            InputError: see `MapView.select`.
        """
        part = copy(self)
        part.store = self.filled.select(taps)
        return part

    def pixels(self, images: Collection[int] | None = None) -> PixelSet:
        """The labelled pixels, once the maps are computed.

        Args:
            images: of these alone, by number; None: of all.

        Raises:
            InputError: none of these images has labels.
        """
        places = [place for place in self.labelled if images is None or self.windows[place].image in images]
        if not places:
            raise InputError(TOO_SMALL)
        return PixelSet(self.store.subset(places), [self.windows[place].target for place in places])

    def compute(self, network: Callable[[list[Tensor]], FeatureMaps], progress: Progress = silent) -> None:
        """Store the maps of the windows that have none yet.

        Args:
            network: maps of images (3, h, w), for those that are not `drawn`.
            progress: told of each window.

        Raises:
            InputError: an image is no array of uint8, or has another size than its target; or a value of the maps is
                no number.
        """
        total = len(self.windows)
        rest = range(self.filled.done, total)
        for number, places in groupby(rest, key=lambda place: self.windows[place].image):
            example = self.dataset[number]  # decoded once for all of its windows
            require_usable(example)
            for place in places:
                progress("features", place, total)
                window = cut(example.image, self.windows[place].window)
                maps = network([window]) if self.drawn is None else self.drawn(example)
                require_numbers(maps, example.name)
                self.filled.put(place, maps)
        progress("features", total, total)


def require_numbers(maps: FeatureMaps, name: str) -> None:
    """`InputError` where features of an image are no numbers (NaN), as those of a damaged network are.

    A model would train on them without a word, and learn nothing.
    """
    for each in maps.maps:
        if has_nan(each):
            raise InputError(
                f"image {quoted(name)}: some features of the network are no numbers (NaN); is its checkpoint damaged, "
                "or did its training fail? give another one, or try precision fp32"
            )


def maps_digest(network: Any, windows: Sequence[LabelledWindow], dataset: Sequence[Example]) -> str:
    """16 hexadecimal digits of all that stored maps depend on.

    Args:
        network: JSON values that change with its weights and settings.
        windows: what it sees.
        dataset: whose images; every one is decoded.
    """
    seen = [[each.image, located(each.window)] for each in windows]
    images = [digests.pixels(dataset[index].image).hex() for index in range(len(dataset))]
    return digests.values([network, seen, images])


def located(window: Window) -> dict[str, Any]:
    """Where a window lies and how large it is seen; its margin follows from the settings of the network."""
    return {name: value for name, value in asdict(window).items() if name != "margin"}
