"""Paths as users give them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from frugalseg.support.errors import InputError
from frugalseg.support.text import quoted


def as_path(given: Any, what: str = "path") -> Path:
    """What a user has given, as a path that can be looked for; whether something is there is not asked.

    Args:
        given: a text or any other form of path.
        what: it is, for the error: ``model folder``.

    Raises:
        InputError: neither text nor a path, or a name that no file can have.
    """
    # Paths in bytes are none for `pathlib`.
    if not isinstance(given, str | os.PathLike) or isinstance(os.fspath(given), bytes):
        raise InputError(
            f"{quoted(given)} of the type {type(given).__name__} is no {what}; give a text or a pathlib.Path"
        )
    path = Path(given)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return path
    except (OSError, ValueError) as error:  # too long, with a zero byte, or links in a circle
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{quoted(str(path))} is no {what} ({reason.lower()}); check the path") from None
    return path


@contextmanager
def nameable(path: Path, mode: Literal["rb", "r+b"] = "rb") -> Iterator[Path]:
    """The path of a file for libraries that map files and take no name which is no UTF-8.

    Args:
        path: of the file.
        mode: as for `open`; how the library opens it.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with path.open(mode) as file:
            yield Path(f"/dev/fd/{file.fileno()}")
    else:
        yield path
