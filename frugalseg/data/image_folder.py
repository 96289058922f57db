"""Which files of a folder are images, and which are left out."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from frugalseg.data.catalogue.names import data_place
from frugalseg.data.decoders import HEIF
from frugalseg.support.files import FileError
from frugalseg.support.paths import as_path
from frugalseg.support.text import count, listing

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"),
        *(".gif", ".avif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm"),
        *((".heic", ".heif") if find_spec(HEIF) is not None else ()),
    }
)

SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})
"""What file managers leave in folders, beside hidden files."""


def list_images(folder: str | Path) -> list[Path]:
    """The image files directly in a folder, by name; hidden files are left out. A path of one image is a list of one.

    Args:
        folder: which may be the name of a published benchmark or of a part of one, see `data_place`.

    Raises:
        FileError: there is no such folder, or no image in it.
        InputError: a benchmark that is not downloaded yet.
    """
    folder = data_place(as_path(folder, "folder of images"))
    if folder.is_file() and folder.suffix.lower() in IMAGE_SUFFIXES:
        return [folder]
    paths = images_in(folder)
    if not paths:
        raise _no_images(folder)
    return paths


def _no_images(folder: Path) -> FileError:
    """The error for a folder without images; it names the folders below it that have some."""
    below = (path for pattern in ("*", "*/*", "*/*/*") for path in folder.glob(pattern))
    inside = sorted(str(path.relative_to(folder)) for path in below if path.is_dir() and images_in(path))
    # Masks beside annotated images are pictures, too, but nobody means them.
    annotated = {str(Path(name).with_name("masks")) for name in inside if Path(name).name == "images"}
    inside = [name for name in inside if name not in annotated]
    if inside:
        return FileError(folder, "no images in this folder itself", f"name the folder that has them: {listing(inside)}")
    suffixes = " ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
    return FileError(folder, "no images in this folder", f"put images in it ({suffixes}), or name another folder")


def images_in(folder: Path) -> list[Path]:
    """`list_images` of a folder that may be empty; `FileError` where it is missing or unreadable."""
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        raise FileError(folder, "no such folder", "check the path") from None
    except NotADirectoryError:
        raise FileError(folder, "not a folder of images", "name a folder") from None
    except OSError as error:
        raise FileError(folder, f"cannot be listed ({error.strerror})", "check its permissions") from None
    return [p for p in paths if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".") and p.is_file()]


def other_files(folder: Path) -> list[Path]:
    """The files directly in a folder that are no images for `images_in`, by name; hidden ones are left out.

    ``HEIC`` files are among them unless the package ``pillow-heif`` is installed.
    """
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [
        path
        for path in paths
        if path.suffix.lower() not in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and path.name.lower() not in SYSTEM_FILES
        and path.is_file()
    ]


def report_other_files(folder: Path) -> None:
    """Log what is not read of a folder of images, so that nobody looks for its results in vain."""
    others = [path.name for path in other_files(folder)]
    if others:
        log.warning("%s: %s of other formats left out: %s", folder, count(len(others), "file"), listing(others))
    below = folders_of_images(folder)
    if below:
        log.warning("%s: the images in folders of it are left out: %s", folder, listing(below))


def folders_of_images(folder: Path) -> list[str]:
    """The names of the folders directly in a folder that hold images; hidden and unreadable ones are left out."""
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        with suppress(FileError):
            if not path.name.startswith(".") and path.is_dir() and images_in(path):
                found.append(path.name)
    return found


def same_stems(paths: Iterable[Path]) -> list[list[Path]]:
    """Groups of files that differ only in their suffix, so that a mask or a result could belong to any of them."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        groups[path.stem].append(path)
    return [group for group in groups.values() if len(group) > 1]


def require_distinct_stems(paths: Iterable[Path]) -> None:
    """`FileError` where two files have the same name but for the suffix."""
    groups = same_stems(paths)
    if groups:
        names = listing(["/".join(p.name for p in group) for group in groups])
        raise FileError(groups[0][0].parent, f"files of the same name: {names}", "rename or remove one of each")
