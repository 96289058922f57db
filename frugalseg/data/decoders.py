"""Pillow's decoders: which of them run, and that they keep silent. What is wrong with a file is said once, by us."""

import ctypes
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
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

    Pillow warns of large and of slightly broken files; one clear error is enough. Warnings belong to the whole process:
    they are off from when the first thread enters such a block until the last one leaves it.
    """
    _silence_tiff()
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()


class _Quiet:
    """How many threads want no warnings."""

    def __init__(self) -> None:
        self._lock, self._inside, self._usual = threading.Lock(), 0, ExitStack()

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._usual.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._usual.close()


_QUIET = _Quiet()


@cache
def _silence_tiff() -> None:
    """Keep TIFF's readers from writing to standard error: Pillow's own, which logs, and libtiff, which just prints."""
    logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)
    # Found through Pillow's module, to which it is linked; on Windows it is a part of that and cannot be reached.
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(_imaging.__file__)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)
