"""``origins.json`` beside drawn images: from which seed, by which network and with which settings each was drawn.

An image is known by its pixels and not by its name, so it may be renamed, moved or stored in another format without
loss. One that has been edited is unknown.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from frugalseg.support import digests
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError, read_json, write_json

ORIGINS = "origins.json"
FORMAT = 1
"""Of the record; a reader refuses what is newer."""
SEEDS = 2**32
"""Seeds are below this number."""
LONGEST_FAMILY = 100
"""Characters of a family's name."""


@dataclass(frozen=True)
class Origin:
    """Where one image comes from.

    Attributes:
        seed: from which it was drawn, in [0, 2**32).
        pixels: digest of the image, 32 hexadecimal digits, see `frugalseg.support.digests.pixels`.
    """

    seed: int
    pixels: str

    def __post_init__(self) -> None:
        if not 0 <= self.seed < SEEDS:
            raise InputError("a seed lies from 0 to 4294967295")
        if not is_digest(self.pixels, 32):
            raise InputError("pixels are 32 hexadecimal digits")


@dataclass(frozen=True)
class Origins:
    """What is known of the images of a folder that one network has drawn with one group of settings.

    Attributes:
        family: of the network.
        network: its digest, see `frugalseg.support.digests.network`.
        settings: what `ImageGenerator.settings` says, as JSON values.
        images: by file name as it was drawn.
        format: of the record.
        path: of the file that the record was read from, which does not say it itself.
    """

    family: str
    network: str
    settings: dict[str, Any]
    images: dict[str, Origin] = field(default_factory=dict)
    format: int = FORMAT
    path: str = field(default=ORIGINS, compare=False)

    def __post_init__(self) -> None:
        if self.format < 1 or len(self.family) > LONGEST_FAMILY or not is_digest(self.network, digests.SHORT):
            raise InputError("format is from 1, family a name, and network 16 hexadecimal digits")

    @classmethod
    def read(cls, path: Path) -> Self:
        """The record in a file.

        Raises:
            FileError: the file cannot be read, is no such record, or one of a later version.
        """
        values = read_json(path)
        later = isinstance(values, dict) and values.get("format")
        if type(later) is int and later > FORMAT:
            raise FileError(path, f"of format {later}, this version reads {FORMAT}", "upgrade frugalseg")
        try:
            return replace(from_json(cls, values), path=str(path))
        except InputError as error:
            message = f"not the record of drawn images ({error})"
            raise FileError(path, message, "restore the file that generate --for-annotation wrote") from None

    def write(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        write_json(path, {name: value for name, value in asdict(self).items() if name != "path"})

    def with_images(self, images: Mapping[str, Origin]) -> Self:
        """The same record with more images; those of names that it has already take their place."""
        return replace(self, images={**self.images, **images})

    @cached_property
    def seeds(self) -> dict[str, int]:
        """The seed of each image by the digest of its pixels."""
        return {image.pixels: image.seed for image in self.images.values()}

    def seed_of(self, image: NDArray[np.uint8]) -> int | None:
        """The seed of an image (H, W, 3) uint8; None where it is unknown."""
        return self.seeds.get(digests.pixels(image).hex())


def is_digest(text: str, length: int) -> bool:
    """Whether a text has so many hexadecimal digits and nothing else."""
    return len(text) == length and set(text) <= set("0123456789abcdef")


def origins_of(dataset: object) -> Origins | None:
    """What a dataset, or the one that it is a view of, knows of the origins of its images; None for nothing."""
    found = getattr(dataset, "origins", None)
    inner = getattr(dataset, "dataset", None)  # of a view
    return found if isinstance(found, Origins) or inner is None else origins_of(inner)
