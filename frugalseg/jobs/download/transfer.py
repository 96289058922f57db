"""A file over HTTP that goes on where an earlier transfer stopped, whatever has stopped it.

pooch knows where the cache belongs, but its downloader begins anew after each break, moves what it has over a file that
is there, and leaves its temporary file where it is killed. The published checkpoints have gigabytes, so the transfer is
done here, on the library that pooch itself uses.
"""

import errno
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Any

from frugalseg.jobs.download.answers import Answer, Broken, Refused, Stale, ask
from frugalseg.support.files import FileError, remove_leftovers_of
from frugalseg.support.progress import Progress, note
from frugalseg.support.records import Record

WAITS = (1.0, 2.0, 4.0)
"""Seconds before each further try, where the transfer broke; a try that has brought something begins the row anew."""
MOST_TRIES = 200
MEGABYTE = 10**6
CHUNK = 2**16
"""Bytes written at once; of these, a transfer that breaks loses the last."""
UNKNOWN = -1
"""The length of a file in the record of its part, where the server did not say it."""


@dataclass(frozen=True)
class Part:
    """What has come of a file.

    Attributes:
        path: of the bytes, from the first on; hidden beside the place of the whole file.
    """

    path: Path

    @classmethod
    def of(cls, place: Path) -> "Part":
        """That of the file at `place`."""
        return cls(place.with_name(f".{place.name}.part"))

    @property
    def record(self) -> Record:
        """Which file it is of: ``url``, ``validator`` as the server named its version, and ``total`` bytes.

        The validator is None and the total `UNKNOWN` where the server did not say them.
        """
        return Record(self.path.with_name(f"{self.path.name}.json"))

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def origin(self, url: str) -> dict[str, Any]:
        """The record, where the bytes are of this address; else nothing, and the bytes are worthless.

        They are also worthless where neither a validator nor the total would tell that the rest is of another version.
        """
        known: dict[str, Any] | None = None
        with suppress(FileError):
            known = self.record.read()
        if not known or known.get("url") != url or type(known.get("total")) is not int:
            return {}
        return known if known.get("validator") or known["total"] != UNKNOWN else {}

    def remove(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)
        self.record.path.unlink(missing_ok=True)


def fetch(url: str, place: Path, progress: Progress, waits: Sequence[float] = WAITS, name: str = "") -> None:
    """Transfer a file; what an earlier call has brought of it is not transferred again.

    Args:
        url: its address.
        place: of the file, in a folder that is made where it is missing. The file appears whole or not at all.
        progress: told of each megabyte.
        waits: see `WAITS`.
        name: of the file, for the progress; without it, that of `place`.

    Raises:
        Refused: the server does not answer, or has no such file, or breaks off again and again.
        OSError: the disk takes no more; what has come stays.
    """
    part, stage, failures, answered, anew = Part.of(place), f"{name or place.name}, MB", 0, False, 0
    place.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers_of(part.record.path)
    for _ in range(MOST_TRIES):
        before = part.size
        try:
            bring(url, part, stage, progress)
            break
        except Broken as error:
            failures = 1 if part.size > before else failures + 1
            answered, anew = answered or error.answered, anew + isinstance(error, Stale)
            # Without a network, there is nothing to wait for. A second beginning would not be the last one.
            if failures > len(waits) or not answered or anew > 1:
                raise Refused(f"{url}: {error}") from None
            note(progress, stage, f"{error}; trying again")
            time.sleep(waits[failures - 1])
    else:
        raise Refused(f"{url}: broke off {MOST_TRIES} times")
    os.replace(part.path, place)  # noqa: PTH105  # Path.replace of Windows is the same
    part.remove()


def bring(url: str, part: Part, stage: str, progress: Progress) -> None:
    """The bytes of a file that are missing, or all of them where the server has another version of it by now.

    Raises:
        Broken: the transfer broke off; another try may go on.
        Stale: what was here could not be gone on with, and is deleted; another try begins anew.
        Refused: another try would not help.
    """
    origin = part.origin(url)
    start = part.size if origin else 0
    if start and start == origin["total"]:
        return
    try:
        with ask(url, start, origin.get("validator")) as begun:
            answer = with_length(begun, origin)
            if not answer.start:
                part.remove()
                part.record.write({"url": url, "validator": answer.validator, "total": answer.total or UNKNOWN})
            require_room(part.path, answer)
            append(answer, part, stage, progress)
    except Stale:
        part.remove()
        raise
    if answer.total is not None and part.size != answer.total:
        raise Broken(f"{part.size} of {answer.total} bytes came", answered=True)


def with_length(answer: Answer, origin: Mapping[str, Any]) -> Answer:
    """An answer with the length of the whole file, if it is known from here or from what had come before.

    Args:
        answer: the whole file, or the rest of it.
        origin: the record of what is here; see `Part.record`.

    Raises:
        Stale: the rest is that of a file of another length, or nothing would tell that it is not whole.
    """
    if not answer.start:
        return answer
    before = None if origin["total"] == UNKNOWN else origin["total"]
    total = before if answer.total is None else answer.total
    if total is None:
        raise Stale("the server does not say how much is missing")
    if before not in (None, total):
        raise Stale("the file on the server has changed")
    return replace(answer, total=total)


def append(answer: Answer, part: Part, stage: str, progress: Progress) -> None:
    """Write what a server sends behind what is there; what has come stays if the transfer breaks."""
    done = answer.start
    # Unbuffered, for the bytes of a broken transfer shall all be there.
    with part.path.open("ab", buffering=0) as file:
        for chunk in answer.chunks(CHUNK):
            done += len(chunk)
            while chunk:  # the last one before a disk is full may be written in part
                chunk = chunk[written(file, chunk, part.path) :]
            progress(stage, done // MEGABYTE, max(1, (answer.total or done) // MEGABYTE))
        os.fsync(file.fileno())


def written(file: FileIO, piece: bytes, path: Path) -> int:
    """Write a piece; how many bytes of it were written. An OSError names the file."""
    try:
        return file.write(piece)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def require_room(path: Path, answer: Answer) -> None:
    """Raise OSError where the disk has no room for the rest of a file."""
    free = shutil.disk_usage(path.parent).free
    if answer.total is not None and answer.total - answer.start > free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path.parent))
