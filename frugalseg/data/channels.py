"""Which channels of images a model sees, and how their values become 8 bits: for images that are more than RGB.

Values are scaled from a range that is found on the annotated images and saved with the model. What lies between two
percentiles of them gets the 256 levels; noise is coarser than such a level in nearly every image, and all that follows
sees images as it sees photographs, at a byte for each value.
"""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.images import bands, image_size, read_image
from frugalseg.data.raw import MOST_CHANNELS, raw_size, read_raw
from frugalseg.support.checked import from_arguments
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from frugalseg.support.ranges import Range, check_range
from frugalseg.support.text import count, quoted

log = logging.getLogger(__name__)

PERCENTILES = (0.5, 99.5)
SAMPLED = 2**20
"""Values of a channel, of all images together, that its percentiles are taken from; of fewer, all."""
NUMBER, PERCENT = Range(1, 4096), Range(0, 100, whole=False)
FEW_LEVELS = 0.95
"""Share of a channel's values on two levels from which on something must be wrong with them."""
CHOOSE_AGAIN = "name channels that all images have"

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class ChannelChoice:
    """What a user chooses.

    Attributes:
        channels: numbers from 1, as microscopes and maps count them, in the order in which the model is to see them;
            one may be named twice.
        percentiles: of the annotated images' values, in each channel, that become 0 and 255.

    Raises:
        InputError: no channels or more than 16, a number below 1, or percentiles that do not rise.
    """

    channels: tuple[int, ...]
    percentiles: tuple[float, float] = PERCENTILES

    def __post_init__(self) -> None:
        for name in ("channels", "percentiles"):
            given = getattr(self, name)
            object.__setattr__(self, name, tuple(given) if isinstance(given, list | tuple) else (given,))
        check_range("channels are", self.channels, NUMBER)
        check_range("percentiles are", self.percentiles, PERCENT)
        if not 1 <= len(self.channels) <= MOST_CHANNELS:
            raise InputError(f"{count(len(self.channels), 'channel')} chosen; 1 to {MOST_CHANNELS} are possible")
        if len(self.percentiles) != 2 or self.percentiles[0] >= self.percentiles[1]:
            raise InputError(f"percentiles are {quoted(self.percentiles)}; give a lower and a higher one")

    def found_in_files(self, paths: Sequence[Path]) -> "ChannelSpec":
        """The channels with their ranges in the annotated images.

        Raises:
            FileError: an image cannot be read, lacks a channel, or has another number of channels than the first one.
        """
        return self._found([str(path) for path in paths], lambda place: read_raw(paths[place]))

    def found_in(self, images: Sequence[NDArray[Any]]) -> "ChannelSpec":
        """The same of arrays (H, W, C) of any numbers."""
        names = [f"image number {number + 1}" for number in range(len(images))]
        return self._found(names, lambda place: raw_array(images[place]))

    def _found(self, names: Sequence[str], read: Callable[[int], NDArray[Any]]) -> "ChannelSpec":
        """The ranges in the images of these names."""
        if not names:
            raise InputError(
                "channels are chosen on annotated images, and there are none; annotate at least two classes"
            )
        stored, samples = 0, list[NDArray[Any]]()
        for place, name in enumerate(names):
            values = read(place)
            stored = stored or values.shape[2]
            require_channels(values.shape[2], stored, name, f"where {names[0]} has {stored}", CHOOSE_AGAIN)
            if max(self.channels) > stored:
                raise FileError(name, f"has no channel {max(self.channels)}, only {stored}", CHOOSE_AGAIN)
            wanted = values.reshape(-1, stored)[sampled(values.shape[0] * values.shape[1], SAMPLED // len(names))]
            samples.append(wanted[:, [number - 1 for number in self.channels]].astype(np.float64))
        return ChannelSpec(self.channels, stored, self._ranges(np.concatenate(samples)), self.percentiles)

    def _ranges(self, values: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
        """The percentiles of each column of (N, C); values that are no numbers do not count."""
        ranges = []
        for number, column in zip(self.channels, values.T, strict=True):
            finite = column[np.isfinite(column)]
            if not len(finite):
                raise InputError(f"channel {number} holds no numbers in any image; leave it out")
            with np.errstate(over="ignore"):  # between giant numbers; refused below
                low, high = np.percentile(finite, self.percentiles).tolist()
            if not math.isfinite(high - low):
                raise InputError(f"channel {number} holds too large numbers, {low:g} to {high:g}; leave it out")
            if low >= high:
                held = f"between the percentiles {self.percentiles[0]:g} and {self.percentiles[1]:g} of all images"
                raise InputError(
                    f"channel {number} holds a single value {held}; leave it out, or try --percentiles 0,100"
                )
            ranges.append((low, high))
            warn_of_few_levels(number, finite, (low, high))
        return tuple(ranges)


def warn_of_few_levels(number: int, values: NDArray[np.float64], ends: tuple[float, float]) -> None:
    """Log that scaling leaves nearly nothing of a channel, as where a number far away marks missing pixels."""
    low, high = ends
    levels = np.bincount(np.rint((values.clip(low, high) - low) * (255 / (high - low))).astype(np.int64), minlength=256)
    few = np.sort(levels)[-2:].sum()
    if few > FEW_LEVELS * len(values) and len(np.unique(values)) > len(levels) // 16:
        log.warning(
            "channel %d: nearly all values fall on 2 of 256 levels between %g and %g; "
            "if a number marks missing pixels, replace it by NaN, or give narrower --percentiles",
            number,
            low,
            high,
        )


@dataclass(frozen=True)
class ChannelSpec:
    """How images become what a model sees, saved in its ``config.json``.

    Attributes:
        channels: see `ChannelChoice`.
        stored: how many channels the images have, C.
        ranges: for each of `channels` the values that become 0 and 255; what lies beyond is cut off.
        percentiles: of the annotated images, which these values are.
    """

    channels: tuple[int, ...]
    stored: int
    ranges: tuple[tuple[float, float], ...]
    percentiles: tuple[float, float]

    def __post_init__(self) -> None:
        ChannelChoice(self.channels, self.percentiles)
        rising = all(len(ends) == 2 and math.isfinite(ends[1] - ends[0]) and ends[0] < ends[1] for ends in self.ranges)
        if len(self.ranges) != len(self.channels) or not rising:
            raise InputError("ranges: a lower and a higher number for each channel are expected")
        if self.stored < max(self.channels):
            raise InputError(f"channel {max(self.channels)} of {count(self.stored, 'channel')}")

    def read(self, path: str | Path) -> Pixels:
        """(H, W, len(channels)) uint8 of a file.

        Raises:
            FileError: the file cannot be read, or has not the number of channels of the annotated images.
        """
        return self.scaled(read_raw(path), str(path))

    def scaled(self, values: NDArray[Any], name: str) -> Pixels:
        """(H, W, len(channels)) uint8 of (H, W, C) numbers of any type; what is no number becomes 0.

        Args:
            values: as stored.
            name: of the image, for errors.

        Raises:
            FileError: C is not `stored`.
        """
        self.require(values.shape[2], name)
        found = np.empty((*values.shape[:2], len(self.channels)), np.uint8)
        for rows in bands(values.shape[0], values.shape[1]):
            for place, (number, (low, high)) in enumerate(zip(self.channels, self.ranges, strict=True)):
                part = (values[rows, :, number - 1].astype(np.float64).clip(low, high) - low) * (255 / (high - low))
                found[rows, :, place] = np.rint(np.nan_to_num(part))
        return found

    def of(self, choice: ChannelChoice) -> bool:
        """Whether these are the channels of a choice."""
        return (self.channels, self.percentiles) == (choice.channels, choice.percentiles)

    def require(self, stored: int, name: str) -> None:
        """`FileError` unless an image has so many channels as the annotated ones."""
        expected = f"where the images that the model was fitted on have {self.stored}"
        require_channels(stored, self.stored, name, expected, "give images of the same channels in the same order")

    def __str__(self) -> str:
        scaled = [f"{n} from {low:g}..{high:g}" for n, (low, high) in zip(self.channels, self.ranges, strict=True)]
        low, high = self.percentiles
        return (
            f"of {count(self.stored, 'channel')}, these are scaled to 8 bits: {', '.join(scaled)} "
            f"(the percentiles {low:g} and {high:g} of the annotated images)"
        )


Channels = ChannelChoice | ChannelSpec


def as_choice(given: "Channels | Sequence[int]") -> Channels:
    """Channels from their numbers, or as they are.

    Raises:
        InputError: see `ChannelChoice`.
    """
    if isinstance(given, ChannelChoice | ChannelSpec):
        return given
    return from_arguments(ChannelChoice, {"channels": given})


def read_pixels(path: str | Path, channels: ChannelSpec | None) -> Pixels:
    """(H, W, C) uint8 of a file: the chosen channels, or red, green and blue where none were chosen.

    Raises:
        FileError: see `ChannelSpec.read` and `read_image`.
    """
    return read_image(path) if channels is None else channels.read(path)


def require_stored(paths: Iterable[Path], channels: ChannelSpec | None) -> None:
    """`FileError` for the first image that has not the number of channels of those that a model was fitted on.

    Only headers are read. What cannot be read is passed over, and None, a model of RGB, takes every image.
    """
    for path in paths if channels is not None else ():
        assert channels is not None
        try:
            stored = raw_size(path)[2]
        except FileError:
            continue
        channels.require(stored, str(path))


def size_of(path: str | Path, channels: ChannelSpec | None) -> tuple[int, int]:
    """(H, W) that `read_pixels` would give, from the file's header alone."""
    return image_size(path) if channels is None else raw_size(path)[:2]


def raw_array(values: NDArray[Any], stored: int | None = None) -> NDArray[Any]:
    """(H, W, C) of an array (H, W), (H, W, C) or, where `stored` channels tell them apart, (C, H, W).

    Raises:
        InputError: another shape, no pixels, or values that are no real numbers.
    """
    values = np.asarray(values)
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim == 3 and stored is not None and values.shape[2] != stored and values.shape[0] == stored:
        values = np.moveaxis(values, 0, 2)
    if values.ndim != 3 or not values.size or values.dtype.kind not in "biuf":
        raise InputError(f"an array {values.shape} of {values.dtype} is no image; give (H, W, C) numbers")
    return values


def require_channels(found: int, expected: int, name: str, told: str, remedy: str) -> None:
    """`FileError` for an image of another number of channels than expected."""
    if found != expected:
        raise FileError(name, f"has {count(found, 'channel')}, {told}", remedy)


def sampled(number: int, most: int) -> slice | NDArray[np.int64]:
    """Which of so many pixels are looked at: all, or `most` at even distances, which fall into all columns."""
    most = max(most, 1)
    return slice(None) if number <= most else np.linspace(0, number - 1, most).astype(np.int64)


def viewed(image: Pixels) -> Pixels:
    """(H, W, 3) uint8 to look at, of any number of channels: the first three; two with a black third; one as grey."""
    channels = image.shape[2]
    if channels == 3:
        return image
    if channels == 1:
        return np.repeat(image, 3, axis=2)
    if channels == 2:
        return np.concatenate([image, np.zeros_like(image[..., :1])], axis=2)
    return np.ascontiguousarray(image[..., :3])
