"""Output folders: whether they can be written, what must not be replaced, and folders that appear whole."""

import errno
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from frugalseg.support.errors import InputError
from frugalseg.support.files import FULL, is_leftover, usual_permissions
from frugalseg.support.marks import MARKS, RECORD, Mark, is_ours
from frugalseg.support.paths import as_path
from frugalseg.support.text import printable

LOCK = ".lock"


def require_writable(folder: Path) -> None:
    """Find out before the work whether results can be written to `folder`, which need not exist; nothing is left.

    Raises:
        InputError: a file is in the way, the name is too long, links lead to nowhere or in a circle, or the place is
            read-only.
    """
    try:
        place, missing = _existing_part(folder)
        if not place.is_dir():
            what = "a file of that name" if not missing else f"the file {place}"
            raise InputError(f"{_shown(folder)}: {what} is in the way; choose another output folder")
        for name in missing:
            _exists(place / name)  # raises where a file system takes no such name
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        if error.errno in FULL:
            raise
        reason = (error.strerror or "no access").lower()
        raise InputError(f"{_shown(folder)}: cannot be written ({reason}); choose another output folder") from None


def as_work_folder(given: str | Path | None) -> Path | None:
    """The work folder of a call as a path that can be written; None where nothing is to be kept.

    Raises:
        InputError: no path, or see `require_writable`.
    """
    if given is None:
        return None
    folder = as_path(given, "work folder")
    require_writable(folder)
    return folder


def _existing_part(folder: Path) -> tuple[Path, list[str]]:
    """The part of a path that exists, and the names that are missing below it; OSError for links without an end."""
    place, missing = folder.absolute(), list[str]()
    while not _exists(place):
        if place.is_symlink():
            raise OSError(errno.ENOENT, "a link to nothing")
        missing.append(place.name)
        place = place.parent
    return place, missing


def _exists(place: Path) -> bool:
    """Whether something is there; OSError for a name that is too long, or for links in a circle."""
    try:
        place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _shown(folder: Path) -> str:
    """A path as text, shortened where it is too long for a message."""
    name = printable(str(folder))
    return name if len(name) <= 200 else f"{name[:100]}...{name[-20:]}"


def spare_inputs(out: Path, *inputs: str | Path | None, holding: bool = False) -> None:
    """Refuse an output folder that cannot be written, and one that is an input, lies inside one, or holds one.

    Args:
        out: the output folder.
        inputs: folders and files; None, and names of things that are not on this machine, are left out.
        holding: let it hold an input, where the command deletes nothing that it has not made.

    Raises:
        InputError: see `require_writable`; or `out` is one of the inputs, inside one, or above one; or no file can have
            the name of an input.
    """
    require_writable(out)
    target = out.resolve()
    for given in inputs:
        if given is None or not as_path(given).exists():
            continue
        place = Path(given).resolve()
        if place == target:
            what = "an input itself"
        elif target.is_relative_to(place):
            what = f"lies inside {given}"
        elif place.is_relative_to(target) and not holding:
            what = f"holds {given}"
        else:
            continue
        raise InputError(f"{_shown(out)}: {what}, which this command reads; choose another output folder")


def require_new(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that holds something, unless it may be replaced, and one that cannot be written.

    What a command leaves that was killed before it wrote anything does not count.

    Args:
        folder: which need not exist.
        overwrite: let it be replaced if frugalseg has written it. Nothing else ever is.

    Raises:
        InputError: `folder` is a file, cannot be written, or is not empty and may not be replaced.
    """
    require_writable(folder)
    if not _holds_something(folder):
        return
    if not is_ours(folder):
        raise _foreign(folder)
    if not overwrite:
        raise InputError(f"{folder}: exists and is not empty; choose another folder or add --overwrite")


def require_replaceable(folder: Path, marks: Collection[Mark] = MARKS) -> None:
    """Refuse a folder that holds something else than an output with one of `marks`; raises as `require_new` does."""
    require_writable(folder)
    if _holds_something(folder) and not is_ours(folder, marks):
        raise _foreign(folder)


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and any(not is_trace(path) for path in folder.iterdir())


def _foreign(folder: Path) -> InputError:
    what = "is not empty and holds something else than what would be replaced here"
    return InputError(f"{_shown(folder)}: {what}; choose another folder, or delete this one yourself")


def is_trace(path: Path) -> bool:
    """Whether a file only shows that a command began here: its lock, or a record that it had not finished writing."""
    return path.name == LOCK or is_leftover(path.name, RECORD)


@contextmanager
def whole_folder(folder: str | Path, marks: Collection[Mark] = MARKS) -> Iterator[Path]:
    """A new folder that takes the place of `folder` when the block ends well; else that one stays.

    Killed between two renamings, the old folder is ``.NAME.old``, and the next call puts it back.

    Args:
        folder: which need not exist.
        marks: one of which it carries if it holds something.

    Raises:
        InputError: `folder` cannot be written, or holds something else.
    """
    folder = as_path(folder, "folder").resolve()  # "." has no name
    require_replaceable(folder, marks)
    partial_folder = folder.with_name(f".{folder.name}.partial")
    _put_back(folder)
    shutil.rmtree(partial_folder, ignore_errors=True)
    partial_folder.mkdir(parents=True)
    try:
        yield partial_folder
        take_place(partial_folder, folder)
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)


def take_place(finished: Path, folder: Path) -> None:
    """Rename a folder to `folder`, on the same disk; what was there is deleted only once the new one has its place.

    Its files get the usual permissions: some libraries write files that only their owner can read.
    """
    usual_permissions(finished)
    _put_back(folder)
    try:
        if folder.is_dir():
            folder.rename(_old(folder))
        finished.rename(folder)
    finally:
        _put_back(folder)


def _old(folder: Path) -> Path:
    """The name of what was in the place of `folder`, for as long as it may have to go back there."""
    return folder.with_name(f".{folder.name}.old")


def _put_back(folder: Path) -> None:
    """Where there is no `folder`, the old one takes its place again; where there is one, the old one is deleted."""
    old = _old(folder)
    if old.is_dir() and not folder.exists():
        old.rename(folder)
    elif old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
