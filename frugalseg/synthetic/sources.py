"""Where the images of a synthetic set come from: a generator, or a folder of photographs that nobody annotated."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from frugalseg.backbones.drawing import generator_of, pixels_of
from frugalseg.backbones.generator import FromLatents, ImageGenerator
from frugalseg.data.image_folder import list_images
from frugalseg.data.images import image_size, read_image
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.support import digests
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError

__all__ = ["GeneratedImages", "Photographs", "Picture", "Source", "generator_of", "seed_of"]

FOR_ANNOTATION = 2**31
"""The first image for annotators: far behind those of any labeled set, so that no set repeats annotated ones."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Picture:
    """An image without labels.

    Attributes:
        number: its place in the whole set.
        image: (H, W, 3) uint8.
        origin: the seed that a generated image was drawn from.
        source: file name of a photograph.
        maps: of this one image, from the pass that drew it; see `Source.maps_of`.
    """

    number: int
    image: NDArray[np.uint8]
    origin: int | None = None
    source: str | None = None
    maps: FeatureMaps | None = None


class Source(Protocol):
    """Numbered images; the same number is the same image in every process and after every restart."""

    def __len__(self) -> int:
        """How many there are."""

    def settings(self) -> dict[str, Any]:
        """What the images depend on, as JSON values."""

    def sizes(self) -> set[tuple[int, int]]:
        """All (height, width) that images have, as far as their headers say."""

    @property
    def maps_of(self) -> nn.Module | None:
        """The backbone whose taps `Picture.maps` are read at; None where pictures have no maps."""

    def pictures(self, numbers: range) -> list[Picture]:
        """The images of a batch, in order, without those that cannot be read."""


class GeneratedImages:
    """Consecutive images of the endless set that a generator draws from one seed.

    Args:
        generator: see `Backbone.generator`.
        count: how many.
        seed: of the whole set.
        first: the place of the first image in the endless set.
    """

    def __init__(self, generator: ImageGenerator, count: int, seed: int = 0, first: int = 0) -> None:
        if count < 1 or seed < 0:
            raise InputError(f"{count} images from seed {seed}: at least one image, and a seed from 0")
        self.generator, self.count, self.seed, self.first = generator, count, seed, first

    def __len__(self) -> int:
        return self.count

    def settings(self) -> dict[str, Any]:
        """See `Source`."""
        place = {"first": self.first} if self.first else {}
        return {"kind": "generated", "seed": self.seed, **place, **self.generator.settings()}

    def sizes(self) -> set[tuple[int, int]]:
        """See `Source`."""
        return {self.generator.size}

    @property
    def maps_of(self) -> nn.Module | None:
        """See `Source`."""
        return self.generator.maps_of

    def latents(self, seeds: Sequence[int]) -> NDArray[np.float32] | None:
        """(N, D): what the images of some seeds are drawn from; None where that is no single vector."""
        return self.generator.latents(seeds).numpy() if isinstance(self.generator, FromLatents) else None

    def pictures(self, numbers: range) -> list[Picture]:
        """See `Source`; the numbers are one batch of the network."""
        seeds = [seed_of(self.seed, self.first + number) for number in numbers]
        drawn = self.generator.draw(seeds)
        pixels = pixels_of(drawn.images)
        maps = [None] * len(seeds) if drawn.maps is None else [drawn.maps[place] for place in range(len(seeds))]
        return [
            Picture(number, image, origin=seed, maps=own)
            for number, image, seed, own in zip(numbers, pixels, seeds, maps, strict=True)
        ]


def seed_of(seed: int, number: int) -> int:
    """The 32-bit seed of image `number` of the set `seed`; all different within a set.

    torch keeps 32 bits of a seed, so hashed ones would meet within 50 000 images every third time; neighbouring numbers
    from a start of the set's own never do.
    """
    start = int(np.random.SeedSequence(seed).generate_state(1)[0])
    return (start + number) % 2**32


class Photographs:
    """The images of a folder, by name.

    Args:
        folder: of images.
        longest_side: larger ones are made smaller to so many pixels along their longer side; None keeps their sizes.
        count: take the first ones only; None takes all.

    Raises:
        FileError: no such folder, or no image in it.
    """

    maps_of = None

    def __init__(self, folder: Path, longest_side: int | None = None, count: int | None = None) -> None:
        if longest_side is not None and longest_side < 1:
            raise InputError(f"longest side {longest_side}: at least one pixel is needed")
        self.paths, self.longest_side = list_images(folder)[:count], longest_side

    def __len__(self) -> int:
        return len(self.paths)

    def settings(self) -> dict[str, Any]:
        """See `Source`: names and sizes of the files stand for their content."""
        listing = "\n".join(f"{path.name} {path.stat().st_size}" for path in self.paths)
        return {"kind": "photographs", "images": digests.text(listing), "longest_side": self.longest_side}

    def sizes(self) -> set[tuple[int, int]]:
        """See `Source`; files that cannot be read have none."""
        found = set()
        for path in self.paths:
            with suppress(FileError):
                found.add(self.shrunk_size(*image_size(path)))
        return found

    def pictures(self, numbers: range) -> list[Picture]:
        """See `Source`; what cannot be read is logged."""
        found = []
        for number in numbers:
            path = self.paths[number]
            try:
                found.append(Picture(number, self.shrunk(read_image(path)), source=path.name))
            except FileError as error:
                log.warning("left out: %s", error)
        return found

    def shrunk(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image, no longer than `longest_side`."""
        height, width = self.shrunk_size(*image.shape[:2])
        if (height, width) == image.shape[:2]:
            return image
        return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))

    def shrunk_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of what `shrunk` makes of an image."""
        if self.longest_side is None or max(height, width) <= self.longest_side:
            return height, width
        scale = self.longest_side / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))
