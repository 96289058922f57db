"""Output folders: never overwritten by accident, taken up where an interrupted run stopped."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from frugalseg.support.errors import InputError
from frugalseg.support.files import holding, read_json, write_json

log = logging.getLogger(__name__)

RECORD = "run.json"
LOCK = ".lock"


def spare_inputs(out: Path, *inputs: str | Path | None) -> None:
    """Refuse an output folder that is an input, or holds one: replacing it would delete what the work needs.

    Args:
        out: the output folder.
        inputs: folders and files; None, and names of things that are not on this machine, are left out.

    Raises:
        InputError: `out` is one of the inputs or above it.
    """
    target = out.resolve()
    for given in inputs:
        if given is None or not Path(given).exists():
            continue
        place = Path(given).resolve()
        if place.is_relative_to(target):
            what = "an input itself" if place == target else f"holds {given}"
            raise InputError(f"{out}: {what}, which this command reads; choose another output folder")


def require_new(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that holds something, unless it may be replaced.

    Raises:
        InputError: `folder` is a file, or is not empty and `overwrite` is false.
    """
    if folder.is_file():
        raise InputError(f"{folder}: a file of that name is in the way; choose another output folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise InputError(f"{folder}: exists and is not empty; choose another folder or add --overwrite")


def open_run(folder: Path, command: Mapping[str, Any], overwrite: bool) -> bool:
    """Make `folder` ready for a run that `command` describes.

    An empty folder gets a record of the command. One with the record of the same command is taken up as it is; any
    other is refused, or emptied when it may be overwritten.

    Returns:
        Whether an earlier run of the same command has been here.

    Raises:
        InputError: the folder holds something else and `overwrite` is false.
    """
    record = folder / RECORD
    if not overwrite and record.is_file() and read_json(record) == dict(command):
        return True
    require_new(folder, overwrite)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(record, dict(command))
    return False


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a scratch folder to this process; it is made where it is missing, and goes once nothing is left in it.

    Raises:
        InputError: another run is at work in it, or a file of that name is in the way.
    """
    require_new(folder, overwrite=True)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with holding(folder / LOCK) as ours:
            if not ours:
                raise InputError(f"{folder}: another run is at work here; wait for it, or choose another output folder")
            yield
    finally:
        with suppress(OSError):  # not empty: a run to go on with
            folder.rmdir()


def scratch(folder: Path, command: Mapping[str, Any]) -> bool:
    """Make a scratch folder ready: kept when it is of the same command, emptied otherwise, with a warning of why.

    Returns:
        Whether an earlier run of the same command has been here.

    Raises:
        InputError: the folder is not a scratch folder of such a command.
    """
    change = changed(folder, command)
    if change == "":
        return True
    if change is not None:
        log.warning("%s: what was under way there is thrown away and begins anew; changed: %s", folder, change)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD, {"command": command["command"]})  # half emptied, the folder is of no run
    empty(folder)
    write_json(folder / RECORD, dict(command))
    return False


def changed(folder: Path, command: Mapping[str, Any]) -> str | None:
    """In what `command` differs from that of the earlier run in a scratch folder, in words.

    Returns:
        "" where it is the same; None where there was none.

    Raises:
        InputError: something else is in the folder.
    """
    require_new(folder, overwrite=True)
    # What `write_json` leaves when it is killed belongs to nobody.
    if not folder.exists() or all(p.name == LOCK or p.match(f".{Path(RECORD).stem}.*") for p in folder.iterdir()):
        return None
    before = read_json(folder / RECORD) if (folder / RECORD).is_file() else None
    if not isinstance(before, dict) or before.get("command") != command["command"]:
        raise InputError(
            f"{folder}: is needed for what is under way, but holds something else than an unfinished run of "
            f"{command['command']}; move or delete it, or choose another output folder"
        )
    return ", ".join(differences(before, command))


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """In words, each value that differs; by its name alone where it is more than one, for lists of files are long."""
    for key in dict.fromkeys([*before, *now]):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new)
        elif old != new:
            several = any(isinstance(value, list | Mapping) for value in (old, new))
            values = "" if several else f" ({old}, now {new})"
            yield f"{key.replace('_', ' ')}{values}"


def empty(folder: Path) -> None:
    """Delete what a scratch folder holds but its lock.

    The record goes last: without it, what a kill leaves would look like something of the user's.
    """
    for path in sorted(folder.iterdir(), key=lambda path: path.name == RECORD):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


@contextmanager
def logged(path: Path) -> Iterator[logging.Logger]:
    """The package's logger, writing to `path` as well while the block runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger("frugalseg")
    logger.setLevel(logging.INFO)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        handler.close()


def fingerprint(files: list[Path]) -> list[list[Any]]:
    """Name, size and time of change of each file: whether a rerun sees the same input."""
    return [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
