"""Folders in which a command is at work: never overwritten by accident, taken up where an earlier run stopped."""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from frugalseg.support.errors import InputError
from frugalseg.support.files import remove_leftovers
from frugalseg.support.folders import LOCK, is_trace, require_new, require_writable, take_place
from frugalseg.support.locks import holding
from frugalseg.support.marks import LAST, RECORD
from frugalseg.support.records import Record, differences, plain

log = logging.getLogger(__name__)

FINISHED = "finished.json"
"""In a scratch folder, whose result is about to be put in its place, or has been."""


def _mark(work: Path) -> Path:
    """`FINISHED` beside a scratch folder, from when its result has its place until the folder is gone, too."""
    return work.with_name(f".{work.name}.{FINISHED}")


def work_folder(out: Path) -> Path:
    """The scratch folder of a command that writes `out` at its end: ``OUT.work`` beside it."""
    place = out.resolve()  # "." has no name
    return place.with_name(place.name + ".work")


@contextmanager
def own_folder(folder: Path, command: Mapping[str, Any], overwrite: bool) -> Iterator[bool]:
    """Keep an output folder to this process while the block runs, ready for the run that `command` describes.

    An empty folder gets a record of the command. One with the record of the same command is taken up as it is, but for
    unfinished files that a killed run has left; any other is refused, or emptied when it may be overwritten.

    Args:
        folder: made where it is missing.
        command: JSON values that the results depend on.
        overwrite: replace what frugalseg has written there, also in an earlier run of the same command.

    Yields:
        Whether an earlier run of the same command has been here.

    Raises:
        InputError: another run is at work in the folder; or it holds something else, or cannot be written.
    """
    with alone(folder):
        yield _begun(folder, command, overwrite)


def open_run(folder: Path, command: Mapping[str, Any], overwrite: bool) -> bool:
    """`own_folder` for several processes that fill a folder together: each has it for the moment of this call alone."""
    with alone(folder, wait=True):
        return _begun(folder, command, overwrite)


def _begun(folder: Path, command: Mapping[str, Any], overwrite: bool) -> bool:
    """Whether the command has begun in a folder; if not, it begins now."""
    known = require_ready(folder, command, overwrite)
    remove_leftovers(folder, RECORD)
    if overwrite:
        empty(folder)
    if not known:
        Record(folder / RECORD).write(command)
    return known


def require_ready(folder: Path, command: Mapping[str, Any], overwrite: bool) -> bool:
    """Whether `own_folder` would take up an earlier run of a command; raises `InputError` where it would refuse.

    For commands that read much before they begin to write.
    """
    known = not overwrite and Record(folder / RECORD).says(command)
    if not known:
        require_new(folder, overwrite)
    return known


@contextmanager
def alone(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep a folder to this process; it is made where it is missing, and goes again if nothing is left in it.

    Args:
        folder: to work in.
        wait: until other processes are done in such a block, rather than refuse.

    Raises:
        InputError: another process is at work in it, or it cannot be written.
    """
    require_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with holding(folder / LOCK, wait=wait) as ours:
            if not ours:
                raise InputError(f"{folder}: another run is at work here; wait for it, or choose another output folder")
            yield
    finally:
        if not wait:  # others may wait for the lock in it
            with suppress(OSError):  # not empty: a run to go on with
                folder.rmdir()
                _mark(folder).unlink(missing_ok=True)


@contextmanager
def until_released(folder: Path) -> Iterator[Callable[[], None]]:
    """Keep a scratch folder beside another one to this process, until its content is of no more use.

    Yields:
        What empties the folder and gives it up. To be called before the result of the other one has its place, for a
        rerun could not tell what is left of a finished run from what is under way. The end of the block does it, too.

    Raises:
        InputError: see `alone`.
    """
    with ExitStack() as held:
        held.enter_context(alone(folder))

        def release() -> None:
            if folder.exists():
                empty(folder)
            held.close()

        yield release
        release()


def scratch(folder: Path, command: Mapping[str, Any]) -> bool:
    """Make a scratch folder ready: kept when it is of the same command, emptied otherwise, with a warning of why.

    Returns:
        Whether an earlier run of the same command has been here.

    Raises:
        InputError: the folder is not a scratch folder of such a command.
    """
    change = changed(folder, command)
    _mark(folder).unlink(missing_ok=True)
    if change == "":
        remove_leftovers(folder)
        return True
    if change is not None:
        log.warning("%s: what was under way there is thrown away and begins anew; changed: %s", folder, change)
    folder.mkdir(parents=True, exist_ok=True)
    record = Record(folder / RECORD)
    record.write({"command": command["command"]})  # half emptied, the folder is of no run
    empty(folder)
    record.write(command)
    return False


def changed(folder: Path, command: Mapping[str, Any]) -> str | None:
    """In what `command` differs from that of the earlier run in a scratch folder, in words.

    Returns:
        "" where it is the same; None where there was none.

    Raises:
        InputError: something else is in the folder.
    """
    require_writable(folder)
    if not folder.exists() or all(is_trace(path) or path.name == FINISHED for path in folder.iterdir()):
        return None
    before = Record(folder / RECORD).read()
    if before is None or before.get("command") != command["command"]:
        raise InputError(
            f"{folder}: is needed for what is under way, but holds something else than an unfinished run of "
            f"{command['command']}; move or delete it, or choose another output folder"
        )
    return ", ".join(differences(before, plain(command)))


def empty(folder: Path) -> None:
    """Delete what a folder holds but its lock.

    What says whose it is goes last: without that, what a kill leaves would look like something of the user's.
    """
    last = (*LAST, FINISHED)
    for path in sorted(folder.iterdir(), key=lambda path: last.index(path.name) if path.name in last else -1):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def put_in_place(work: Path, name: str, out: Path) -> None:
    """Put the finished folder `name` of a scratch folder in the place of `out`, and delete the rest of the scratch.

    Killed on the way, or before `alone` has removed the scratch folder, a rerun of the command finds the folder where
    it was, or `in_place`.
    """
    command = Record(work / RECORD).read()
    assert command is not None
    Record(work / FINISHED).write(command)
    take_place(work / name, out)
    (work / FINISHED).replace(_mark(work))
    empty(work)


def may_be_in_place(work: Path) -> bool:
    """Whether it is worth asking `in_place`, which needs to know all that the command depends on."""
    return (work / FINISHED).is_file() or _mark(work).is_file()


def in_place(
    work: Path, name: str, out: Path, command: Mapping[str, Any], release: Callable[[], None] = lambda: None
) -> bool:
    """Whether `out` is complete: the result of the same command, killed in `put_in_place` before it had tidied up.

    If so, the scratch folder is emptied now, after `release` has given up others, see `until_released`.
    """
    said = any(Record(path).says(command) for path in (work / FINISHED, _mark(work)))
    if not out.is_dir() or (work / name).exists() or not said:
        return False
    log.warning("%s: is complete; an earlier run of the same command has written it", out)
    release()
    Record(_mark(work)).write(command)
    empty(work)
    return True
