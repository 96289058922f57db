"""Files that appear whole or not at all, and the error that names a file and its mend."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path
from typing import Any

from frugalseg.support.errors import InputError


class FileError(InputError):
    """Something is wrong with one file or folder.

    Attributes:
        where: the path.
        message: what is wrong with it, and what was expected.
        remedy: how to mend it.
    """

    def __init__(self, where: str | Path, message: str, remedy: str) -> None:
        self.where = printable(str(where))
        self.message = message
        self.remedy = remedy
        super().__init__(f"{self.where}: {message}; {remedy}")


def printable(name: str) -> str:
    """A name with a question mark for what cannot be shown: a file's name may hold line breaks, or be no UTF-8."""
    return "".join(c if c.isprintable() else "?" for c in name)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name in the folder of `path`, renamed to `path` when the block ends well and removed when it fails.

    The temporary name keeps the suffix of `path`, because many writers choose the format by it, and begins with a dot,
    so that no listing of images or masks takes an unfinished file for a finished one. The folder is created.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem[:80]}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only their owner can read; a result should have the usual permissions.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    current = os.umask(0o077)
    os.umask(current)
    return current


def locked(file: BufferedRandom, *, wait: bool = False) -> bool:
    """Lock a file for as long as it is open; False where another process has it, or it has lost its name by now."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(file.fileno()).st_ino == Path(file.name).stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


@contextmanager
def holding(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Whether this process alone has the lock file `path` while the block runs; the file is gone afterwards.

    A lock ends with its process, so the file that a killed one leaves stops nobody.

    Args:
        path: of the lock, in a folder that exists.
        wait: until the process that has it is done, rather than tell at once.
    """
    while True:
        with path.open("a+b") as file:
            if locked(file, wait=wait):
                try:
                    yield True
                finally:
                    with suppress(OSError):  # Windows deletes no open file
                        path.unlink()
                return
        if not wait:
            yield False
            return


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically. Raises ValueError for NaN, which is not JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """The value in a JSON file; `FileError` where the file is missing, unreadable or not JSON."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise FileError(path, f"not JSON (line {error.lineno}: {error.msg})", "correct that line") from None
    except (ValueError, RecursionError):  # other bytes than UTF-8, numbers of thousands of digits, deep nesting
        raise FileError(path, "not JSON in UTF-8", "save it as plain UTF-8 text") from None
    except OSError as error:
        reason = error.strerror or "read error"
        raise FileError(path, f"cannot be read ({reason})", "check the path and its permissions") from None
