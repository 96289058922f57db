"""Reading ahead and writing behind: in order, within the memory, and nothing that was computed is lost."""

import os
import threading

import numpy as np
import pytest
from PIL import Image

from frugalseg.jobs import read_ahead, write_behind
from frugalseg.jobs.read_ahead import ReadAhead, Source
from frugalseg.jobs.write_behind import WriteBehind
from frugalseg.support.files import FileError

COUNT = 9


@pytest.fixture
def paths(tmp_path):
    """Images of which each holds its own number."""
    found = [tmp_path / f"{number}.png" for number in range(COUNT)]
    for number, path in enumerate(found):
        Image.fromarray(np.full((4, 5, 3), number, np.uint8)).save(path)
    return found


@pytest.fixture
def reads(monkeypatch):
    """The paths of all images that have been read, or are about to be."""
    begun, real = [], read_ahead.read_pixels
    monkeypatch.setattr(read_ahead, "read_pixels", lambda path, channels: (begun.append(path), real(path, channels))[1])
    return begun


def sources(paths):
    return [Source.of(path) for path in paths]


def test_images_come_in_their_order_whatever_threads_decode_them(paths):
    paths[3].write_bytes(b"")
    with ReadAhead(paths, 3, 2, strict=False) as read:
        values = [int(image[0, 0, 0]) for image in read.images()]
        taken = [read.next_one() for _ in values]
    assert values == [0, 1, 2, 4, 5, 6, 7, 8]
    assert [source.path for source, _ in taken] == [path for path in paths if path != paths[3]]
    assert [int(image[0, 0, 0]) for _, image in taken] == values
    assert [str(paths[3]) in str(failure) for failure in read.failures] == [True]


def test_strict_raises_when_the_turn_of_a_broken_image_comes(paths):
    paths[2].write_bytes(b"")
    with ReadAhead(paths, 2, 1, strict=True) as read:
        images = read.images()
        assert [int(next(images)[0, 0, 0]) for _ in range(2)] == [0, 1]
        with pytest.raises(FileError, match=paths[2].name):
            next(images)


@pytest.mark.parametrize(("pixels", "begun"), [(19, 1), (40, 2), (10_000, 4)])
def test_so_many_images_are_read_ahead_as_fit_into_memory(pixels, begun, paths, reads, monkeypatch):
    """Images of 20 pixels each: one alone where a second does not fit, and never more than a few."""
    monkeypatch.setattr(read_ahead, "PIXELS", pixels)
    with ReadAhead(paths, 1, 1, strict=False) as read:
        images = read.images()
        for number in range(3):
            next(images)
            read._pool.submit(int).result()  # behind all that was begun
            assert reads == paths[: begun + number]
            read.next_one()


def test_files_are_written_in_the_order_of_the_images_by_the_thread_that_computes(paths, tmp_path, monkeypatch):
    """The first image takes longest to encode."""
    gate, renamed = threading.Event(), []
    real = os.rename if os.name == "nt" else type(tmp_path).replace
    monkeypatch.setattr(
        type(tmp_path), "replace", lambda a, b: (renamed.append((threading.get_ident(), b.name)), real(a, b))[1]
    )

    def encode(number):
        if not number:
            gate.wait()
        return [(tmp_path / f"{number}.{kind}", bytes([number])) for kind in ("a", "b")]

    with WriteBehind(2, 1) as written:
        for number, source in enumerate(sources(paths[:4])):
            written.put(lambda number=number: encode(number), source)
        assert not renamed
        gate.set()
    assert renamed == [(threading.get_ident(), f"{number}.{kind}") for number in range(4) for kind in ("a", "b")]


@pytest.mark.parametrize("limit", ["PIXELS", "SLOW"])
def test_nothing_waits_where_images_are_large_or_slow(limit, paths, tmp_path, monkeypatch):
    monkeypatch.setattr(write_behind, limit, 0)
    with WriteBehind(1, 1) as written:
        written.put(lambda: [(tmp_path / "mask", b"")], Source.of(paths[0]))
        assert (tmp_path / "mask").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_was_computed_is_written_where_the_work_is_stopped(error, paths, tmp_path):
    gate = threading.Event()
    with pytest.raises(error), WriteBehind(1, 1) as written:
        written.put(lambda: [(tmp_path / "mask", b"")] if gate.wait() else [], Source.of(paths[0]))
        gate.set()
        raise error
    assert (tmp_path / "mask").exists()


def test_an_image_that_changes_while_it_is_computed_is_done_again(paths, tmp_path):
    source = Source.of(paths[0])
    Image.fromarray(np.zeros((6, 6, 3), np.uint8)).save(paths[0])
    with WriteBehind(1, 1) as written:
        written.put(lambda: [(tmp_path / "mask", b"")], source)
        written.put(lambda: [(tmp_path / "other", b"")], Source.of(paths[1]))
    assert (tmp_path / "mask").stat().st_mtime < paths[0].stat().st_mtime
    assert (tmp_path / "other").stat().st_mtime > paths[1].stat().st_mtime - 1
