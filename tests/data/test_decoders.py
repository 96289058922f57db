"""Decoders are silent while an image is read, in all threads, and speak again afterwards."""

import logging
import threading
from pathlib import Path

import pytest
from PIL import Image

from frugalseg.data.decoders import _handler_setters, quiet_decoders
from frugalseg.data.images import read_image
from frugalseg.support.errors import InputError


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A TIFF whose packed values are cut: libtiff itself complains of it."""
    path = tmp_path / "broken.tif"
    Image.effect_noise((64, 64), 90).save(path, compression="tiff_lzw")
    content = bytearray(path.read_bytes())
    content[8:600] = bytes(592)
    path.write_bytes(content)
    return path


def complaints(path: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """What is written to standard error where Pillow reads a file by itself."""
    with pytest.raises(OSError, match=r"-\d+|broken|decod"), Image.open(path) as image:
        image.load()
    return capfd.readouterr().err


def test_silence_ends_with_the_last_reader(broken: Path, capfd: pytest.CaptureFixture[str]) -> None:
    loud = complaints(broken, capfd)
    assert loud or not _handler_setters()
    level = logging.getLogger("PIL.TiffImagePlugin").level
    with pytest.raises(InputError):
        read_image(broken)
    assert capfd.readouterr().err == "" and complaints(broken, capfd) == loud
    inside, done = threading.Event(), threading.Event()

    def other() -> None:
        with quiet_decoders():
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    with quiet_decoders():
        assert complaints(broken, capfd) == ""
    assert complaints(broken, capfd) == ""  # the other thread is still reading
    done.set()
    thread.join()
    assert complaints(broken, capfd) == loud and logging.getLogger("PIL.TiffImagePlugin").level == level
