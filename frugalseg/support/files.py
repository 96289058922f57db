"""Files that appear whole or not at all, and the error that names a file and its mend."""

import errno
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from frugalseg.support.errors import InputError
from frugalseg.support.locks import locked
from frugalseg.support.paths import as_path
from frugalseg.support.text import printable, shortened

if TYPE_CHECKING:
    from torch import Tensor

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk that takes no more: it is full, the user's share of it is, or a file may not become so large."""

RANDOM = "[a-z0-9_]{8}"
"""What `tempfile` puts into names."""
JSON_MEGABYTES = 512
"""Larger JSON files are refused: parsed, they take several times their size in memory. COCO's own largest, the training
instances of 2017, has 448."""
LONGEST_PART = 800
"""Characters that `FileError` says at most of what is wrong, and of how to mend it."""


class FileError(InputError):
    """Something is wrong with one file or folder.

    Attributes:
        where: the path.
        message: what is wrong with it, and what was expected.
        remedy: how to mend it.
    """

    def __init__(self, where: str | Path, message: str, remedy: str) -> None:
        self.where = printable(str(where))
        self.message = shortened(printable(message), LONGEST_PART)
        self.remedy = shortened(printable(remedy), LONGEST_PART)
        super().__init__(f"{self.where}: {self.message}; {self.remedy}")

    def __reduce__(self) -> tuple[Any, ...]:
        """For the way out of another process: by default, exceptions are made again of their message alone."""
        return type(self), (self.where, self.message, self.remedy)


def disk_error(error: BaseException) -> OSError | None:
    """The error of a disk that takes no more, behind an exception; None where that is not its cause.

    Some libraries say it in an exception of their own: raised from that error, or with its number in words. NumPy only
    says how many values it could write.
    """
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, OSError) and each.errno in FULL:
            return each
        named = re.search(r"(?:\(os error |Os \{ code: |\[Errno )(\d+)", str(each))
        if named and int(named[1]) in FULL:
            return OSError(int(named[1]), os.strerror(int(named[1])))
        if isinstance(each, OSError) and re.fullmatch(r"\d+ requested and \d+ written", str(each)):
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        each = each.__cause__ or each.__context__
    return None


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Where the disk takes no more while the block runs, the error is an OSError that names `path`."""
    try:
        yield
    except Exception as error:
        full = disk_error(error)
        if full is None:
            raise
        raise OSError(full.errno, full.strerror, str(path)) from error


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name in the folder of `path`, renamed to `path` when the block ends well and removed when it fails.

    The temporary name keeps the suffix of `path`, because many writers choose the format by it, and begins with a dot,
    so that no listing of images or masks takes an unfinished file for a finished one. The folder is created. What a
    killed process leaves, `remove_leftovers` finds.

    Raises:
        OSError: among others where the disk is full, whatever the block has raised then; its `filename` is `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _naming(path), _unfinished(path) as temporary:
        yield temporary
        usual_permissions(temporary)
        temporary.replace(path)


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """A new file beside `path`, gone afterwards; locked, by which others see that it is being written."""
    prefix = f".{_beginning(path)}.partial-"
    while True:
        with tempfile.NamedTemporaryFile(prefix=prefix, suffix=path.suffix, dir=path.parent, delete=False) as file:
            if sys.platform == "win32":
                file.close()  # open files cannot be renamed there
            elif not _own(file):
                continue  # another process took it for a leftover before it was locked
            try:
                yield Path(file.name)
            finally:
                Path(file.name).unlink(missing_ok=True)
            return


def _beginning(path: Path) -> str:
    """The beginning of a file's name, by which its temporary names are known: at most 80 characters and 200 bytes.

    File systems take 255 bytes, and a character may be four of them.
    """
    return os.fsencode(path.stem[:80])[:200].decode(errors="ignore")


def _own(file: IO[Any]) -> bool:
    """Whether a file is now locked for this process; some network disks know no locks, and any file is ours there."""
    try:
        return locked(file)
    except OSError:
        return True


def usual_permissions(place: Path) -> None:
    """Give a file, or all files of a folder, the permissions of new files; some writers keep others from reading."""
    mode = 0o666 & ~_umask()
    for file in place.rglob("*") if place.is_dir() else (place,):
        if file.is_file() and not file.is_symlink():
            file.chmod(mode)


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    current = os.umask(0o077)
    os.umask(current)
    return current


def is_leftover(name: str, *known: str) -> bool:
    """Whether a file's name is a temporary one of `atomic_path`.

    Args:
        name: of the file.
        known: files that belong into its folder. Of these, the temporary names of earlier versions count too, which
            say less clearly what they are.
    """
    if re.fullmatch(rf"\..*\.partial-{RANDOM}(\.[^.]*)?", name):
        return True
    parts = [(re.escape(Path(each).stem), re.escape(Path(each).suffix)) for each in known]
    return any(re.fullmatch(rf"\.{stem}\.{RANDOM}{suffix}", name) for stem, suffix in parts)


def remove_leftovers(folder: Path, *known: str, below: bool = True) -> None:
    """Remove what killed processes left of the files that they were writing in a folder and below it.

    What another process is writing at this moment stays.

    Args:
        folder: of our own output.
        known: see `is_leftover`.
        below: whether its sub-folders are ours, too.
    """
    for place, folders, names in os.walk(folder):
        for name in names:
            if is_leftover(name, *known):
                _remove_unlocked(Path(place, name))
        if not below:
            folders.clear()


def remove_leftovers_of(path: Path) -> None:
    """`remove_leftovers` of one file, for one that lies in a folder of the user's."""
    pattern = rf"\.{re.escape(_beginning(path))}\.partial-{RANDOM}{re.escape(path.suffix)}"
    for other in path.parent.iterdir() if path.parent.is_dir() else ():
        if re.fullmatch(pattern, other.name):
            _remove_unlocked(other)


def _remove_unlocked(path: Path) -> None:
    with suppress(OSError), path.open("rb") as file:
        if locked(file):
            path.unlink()


def save_tensors(tensors: Mapping[str, "Tensor"], path: str | Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors to a ``.safetensors`` file, whole or not at all, that others can read as any new file.

    Args:
        tensors: by name; on any device, contiguous, none sharing memory with another.
        path: of the file; its folder is created.
        metadata: of the file.
    """
    from safetensors.torch import save_file

    with atomic_path(path) as temporary:
        save_file(dict(tensors), temporary, metadata)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically. Raises ValueError for NaN, which is not JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_path(path) as temporary:
        # Of names of files that are no UTF-8, what cannot be written is escaped as in any JSON text.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_json(path: str | Path, megabytes: int = JSON_MEGABYTES) -> Any:
    """The value in a JSON file.

    Args:
        path: of the file.
        megabytes: larger files are refused.

    Raises:
        FileError: the file is missing, unreadable, too large, or not JSON.
    """
    path = as_path(path, "file")
    try:
        if path.stat().st_size > megabytes * 2**20:
            raise FileError(path, f"larger than {megabytes} MB", "export it in parts, a folder for each")
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise FileError(path, f"not JSON (line {error.lineno}: {error.msg})", "correct that line") from None
    except UnicodeDecodeError:
        raise FileError(path, "not JSON in UTF-8", "save it as plain UTF-8 text") from None
    except (ValueError, RecursionError):
        message = "not plain JSON (numbers of thousands of digits, or nested too deep)"
        raise FileError(path, message, "export it again") from None
    except OSError as error:
        reason = error.strerror or "read error"
        raise FileError(path, f"cannot be read ({reason})", "check the path and its permissions") from None
