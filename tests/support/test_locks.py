"""Locks: had by one at a time, and gone with their process."""

import errno
import os
import sys
from pathlib import Path
from threading import Thread

import pytest

from frugalseg.support.locks import holding


def test_a_lock_is_had_by_one_at_a_time_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_bytes(b"left by a killed process")
    with holding(path) as first, holding(path) as second:
        assert first and not second
    assert not path.exists()
    with holding(path) as again:
        assert again


def test_who_waits_for_a_lock_gets_it_after_the_other(tmp_path: Path) -> None:
    path, order = tmp_path / ".lock", []

    def come_second() -> None:
        with holding(path, wait=True) as ours:
            order.append(("second", ours))

    with holding(path):
        waiting = Thread(target=come_second)
        waiting.start()
        waiting.join(0.2)
        order.append(("first", True))
    waiting.join()
    assert order == [("first", True), ("second", True)] and not path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no fcntl there")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_on_a_disk_that_knows_no_locks_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with holding(tmp_path / ".lock") as ours:
        assert ours
    assert not list(tmp_path.iterdir())
