"""Where an image is that an annotation file names: never outside of the data folder."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from frugalseg.data.classes import composed
from frugalseg.support.files import FileError
from frugalseg.support.text import printable


def find_image(name: str, root: Path, folders: Sequence[Path]) -> Path | None:
    """The first file of that name, which may have folders in it, from any of `folders`, all of them within `root`.

    A name that leads out of `root`, as those of moved files do, is not followed: only its last part is looked for.
    """
    names = [PurePosixPath(name.replace("\\", "/"))]
    if leads_outside(name, root, folders):
        names = [PurePosixPath(names[0].name)]
    places = [place for folder in folders if (place := _within(root, folder, names[0])) is not None]
    return next((found for place in places if (found := _existing(root, place)) is not None), None)


def missing_image(path: Path, name: str, root: Path, folders: Sequence[Path]) -> FileError:
    """The error for an annotation file that names an image which `find_image` does not find."""
    where = "leads out of the data folder" if leads_outside(name, root, folders) else "is not there"
    remedy = f"put the image into {folders[0]}, or correct its path in the file"
    return FileError(path, f"names the image {printable(name)!r}, which {where}", remedy)


def leads_outside(name: str, root: Path, folders: Sequence[Path]) -> bool:
    """Whether a name is an absolute path, of any system, or climbs out of `root` from all of `folders`."""
    relative = PurePosixPath(name.replace("\\", "/"))
    if relative.is_absolute() or PureWindowsPath(name).drive:
        return True
    return all(_within(root, folder, relative) is None for folder in folders)


def _within(root: Path, folder: Path, name: PurePosixPath) -> Path | None:
    """`name` from `folder`; None where it climbs out of `root`. Links are as good as what they stand for."""
    parts: list[str] = []
    for part in (*folder.relative_to(root).parts, *name.parts):
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            return None
    return root.joinpath(*parts)


def _existing(root: Path, path: Path) -> Path | None:
    """The file at `path`, or one whose path in `root` differs only in how accents are written; None without."""
    if _is_file(path):
        return path
    place = root
    for part in path.relative_to(root).parts:
        forms = (part, composed(part), unicodedata.normalize("NFD", part))
        place = next((other for form in forms if _exists(other := place / form)), place / part)
    return place if _is_file(place) else None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long a name, or with a zero byte
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long a name, or with a zero byte
        return False
