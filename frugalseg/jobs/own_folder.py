"""An output folder that one run fills file by file: nobody else writes there meanwhile, and a rerun goes on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from frugalseg.jobs.output import LOCK, RECORD, alone, empty
from frugalseg.support.errors import InputError
from frugalseg.support.files import read_json, write_json


@contextmanager
def own_folder(folder: Path, command: Mapping[str, Any], overwrite: bool) -> Iterator[bool]:
    """Keep an output folder to this process while the block runs, ready for the run that `command` describes.

    An empty folder gets a record of the command. One with the record of the same command is taken up as it is; any
    other is refused, or emptied when it may be overwritten.

    Args:
        folder: made where it is missing.
        command: JSON values that the results depend on.
        overwrite: replace whatever is there, also what an earlier run of the same command has written.

    Returns:
        Whether an earlier run of the same command has been here.

    Raises:
        InputError: another run is at work in the folder; or it holds something else, or is a file.
    """
    with alone(folder):
        record = folder / RECORD
        known = not overwrite and record.is_file() and read_json(record) == dict(command)
        if not known:
            if not overwrite and not all(is_trace(path) for path in folder.iterdir()):
                raise InputError(f"{folder}: exists and is not empty; choose another folder or add --overwrite")
            empty(folder)
            write_json(record, dict(command))
        yield known


def is_trace(path: Path) -> bool:
    """Whether a file only shows that a run began here: its lock, or a record that it was killed while writing."""
    return path.name == LOCK or path.match(f".{Path(RECORD).stem}.*")
