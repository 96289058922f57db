"""The list of images in a VOC folder."""

import codecs
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from frugalseg.data.classes import composed
from frugalseg.data.image_folder import IMAGE_SUFFIXES
from frugalseg.support.files import FileError
from frugalseg.support.text import count, listing, printable

FILES = ("trainval.txt", "train.txt")
"""The first of these that is there counts."""
MOST_BYTES = 2**26


@dataclass(frozen=True)
class ImageList:
    """The images of ``ImageSets/Segmentation``.

    Attributes:
        path: of the file.
        names: of the images, without suffix, in Unicode's form NFC; with their folder or without.
    """

    path: Path
    names: frozenset[str]

    @classmethod
    def of(cls, root: Path) -> "ImageList | None":
        """The list of a VOC folder, None where there is none; FileError where it cannot be read, or is empty.

        A line holds the name of one image, with or without suffix.
        """
        places = (root / "ImageSets" / "Segmentation" / name for name in FILES)
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            return None
        lines = [line.strip() for line in _text(path).splitlines()]
        names = frozenset(composed(_without_suffix(line)) for line in lines if line)
        if not names:
            raise FileError(path, "names no image", "write the name of an image into each line, or delete the file")
        return cls(path, names)

    def holds(self, name: str) -> bool:
        """Whether an image is listed: its name, or the last part of it."""
        return name in self.names or PurePosixPath(name).name in self.names

    def strays(self, there: Iterable[str]) -> list[FileError]:
        """The error of names to which nothing belongs; `there`: the names of all images and masks."""
        known: Collection[str] = {part for name in there for part in (name, PurePosixPath(name).name)}
        strange = sorted(printable(name) for name in self.names if name not in known)
        if not strange:
            return []
        message = f"{count(len(strange), 'name')} in it of which there is no image: {listing(strange)}"
        return [FileError(self.path, message, "correct the list, one name of an image a line, or add the images")]


def _text(path: Path) -> str:
    """What a text file says, in UTF-8 or, where it begins with their mark, in UTF-16."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FileError(path, "larger than 64 MB", "write the name of one image into each line")
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "read error"
        raise FileError(path, f"cannot be read ({reason})", "check its permissions") from None
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return content.decode("utf-16" if content.startswith(marks) else "utf-8-sig", errors="replace")


def _without_suffix(name: str) -> str:
    """A name without the suffix of an image; other dots belong to it."""
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in IMAGE_SUFFIXES else name
