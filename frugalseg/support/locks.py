"""Locks that end with their process: whoever was killed stops nobody."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

UNKNOWN = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""Errors of disks that know no locks, as some of networks are mounted; whoever asks has the lock there."""


def locked(file: IO[Any], *, wait: bool = False) -> bool:
    """Lock a file for as long as it is open; False where another process has it, or it has lost its name by now."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(file.fileno()).st_ino == Path(file.name).stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise
        return True


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
