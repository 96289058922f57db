from pathlib import Path
from threading import Thread

import pytest

from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError, atomic_path, holding, read_json, write_json


def test_a_finished_file_appears_with_its_content_and_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.txt"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".txt" and temporary.name.startswith(".")
        temporary.write_text("whole")
        assert not path.exists()
    plain = tmp_path / "plain.txt"
    plain.touch()
    assert path.read_text() == "whole"
    assert path.stat().st_mode == plain.stat().st_mode
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


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


def test_json_round_trip_keeps_text(tmp_path: Path) -> None:
    value = {"Käse": [1, 2.5, None, True], "mIoU": {"a": "±"}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "Käse" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_json_with_nan_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", float("nan"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b'{"a": }', b"\xff\xfe\x00", b"[" * 100_000])
def test_broken_json_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_json(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_missing_json(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: cannot be read"):
        read_json(tmp_path / "none.json")


def test_a_path_with_a_line_break_gives_one_line() -> None:
    error = FileError("a\nb.png", "is wrong", "mend it")
    assert str(error) == "a?b.png: is wrong; mend it"
    assert (error.where, error.message, error.remedy) == ("a?b.png", "is wrong", "mend it")
