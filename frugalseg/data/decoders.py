"""Pillow's decoders: which of them run, and that they keep silent. What is wrong with a file is said once, by us."""

import ctypes
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
    whole process, for there is no other way: from when the first thread enters such a block until the last one leaves
    it, decoders are silent in all threads. Afterwards everything is as it was.
    """
    _SILENCE.enter()
    try:
        yield
    finally:
        _SILENCE.leave()


class _Silence:
    """How many threads want it."""

    def __init__(self) -> None:
        self._lock, self._inside, self._usual = threading.Lock(), 0, ExitStack()

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._usual.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                self._usual.enter_context(_silent_tiff())
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._usual.close()


_SILENCE = _Silence()


@contextmanager
def _silent_tiff() -> Iterator[None]:
    """Keep TIFF's readers from writing to standard error: Pillow's own, which logs, and libtiff, which just prints."""
    log = logging.getLogger("PIL.TiffImagePlugin")
    level, handlers = log.level, [change(None) for change in _handler_setters()]
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
        for change, handler in zip(_handler_setters(), handlers, strict=True):
            change(handler)


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
