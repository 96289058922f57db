"""The log that a command leaves beside its results."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LogFile(logging.FileHandler):
    """A log that fails as any other file where the disk is full, rather than print a traceback and go on."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Raise what writing the record has raised."""
        raise


@contextmanager
def logged(path: Path) -> Iterator[logging.Logger]:
    """The package's logger, writing to `path` as well while the block runs; warnings still reach standard error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger("frugalseg")
    level = logger.level
    logger.setLevel(logging.INFO)
    handler = LogFile(path, encoding="utf-8", errors="replace")  # names of files may be no UTF-8
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    terminal = logging.lastResort  # what python would use, had the logger no handler
    if terminal is not None:
        logger.addHandler(terminal)
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        if terminal is not None:
            logger.removeHandler(terminal)
        logger.setLevel(level)
        handler.close()
