"""Output folders: never overwritten by accident, taken up where an interrupted run stopped."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from frugalseg.data.files import read_json, write_json
from frugalseg.errors import InputError

RECORD = "run.json"


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


def scratch(folder: Path, command: Mapping[str, Any]) -> bool:
    """Make a scratch folder ready: kept when it is of the same command, emptied otherwise.

    Returns:
        Whether an earlier run of the same command has been here.
    """
    record = folder / RECORD
    if record.is_file() and read_json(record) == dict(command):
        return True
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(record, dict(command))
    return False


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
