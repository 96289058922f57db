"""Pillow's decoders: which of them run, and that they keep silent. What is wrong with a file is said once, by us."""

import ctypes
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec

from PIL import _imaging

HEIF = "pillow_heif"
"""The optional package that lets Pillow read HEIC files, the photographs of many phones."""


@cache
def decoders() -> tuple[str, ...]:
    """Pillow's names of the formats that are read.

    No other decoder may run, whatever a file's name says: Pillow would hand a disguised EPS file to Ghostscript.
    """
    formats = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM")
    if find_spec(HEIF) is None:
        return formats
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return (*formats, "HEIF")


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Within the block, decoders say what is wrong with a file by their exceptions alone.

    Pillow warns of large and of slightly broken files; one clear error is enough. What silences them holds for the
    whole process, for there is no other way: while one thread is in such a block, decoders are silent in all threads.
    Afterwards everything is as it was.
    """
    with _SILENT_TIFF, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _SilentTiff:
    """Keeps TIFF's readers from writing to standard error: Pillow's own, which logs, and libtiff, which just prints.

    The first thread that enters silences them, the last one that leaves restores what was set before.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._log, self._level = logging.getLogger("PIL.TiffImagePlugin"), logging.NOTSET
        self._handlers: list[int | None] = []

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._level, self._handlers = self._log.level, [change(None) for change in _handler_setters()]
                self._log.setLevel(logging.CRITICAL)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._log.setLevel(self._level)
                for change, handler in zip(_handler_setters(), self._handlers, strict=True):
                    change(handler)


_SILENT_TIFF = _SilentTiff()


@cache
def _handler_setters() -> list[Callable[[int | None], int | None]]:
    """What sets libtiff's handlers of errors and of warnings, and gives the one before; empty where out of reach."""
    # Found through Pillow's module, to which it is linked; on Windows it is a part of that and cannot be reached.
    try:
        library = ctypes.CDLL(_imaging.__file__)
        setters = [library.TIFFSetErrorHandler, library.TIFFSetWarningHandler]
    except (OSError, AttributeError):
        return []
    for each in setters:
        each.argtypes, each.restype = [ctypes.c_void_p], ctypes.c_void_p
    return list(setters)
