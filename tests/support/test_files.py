import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from frugalseg.support.errors import InputError
from frugalseg.support.files import (
    FileError,
    atomic_path,
    is_leftover,
    read_json,
    remove_leftovers,
    remove_leftovers_of,
    save_tensors,
    usual_permissions,
    write_json,
)


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


def test_unfinished_files_of_nobody_are_removed(tmp_path: Path) -> None:
    kept = [".gitignore", ".a.original.png", "a.partial-abcd1234.png", ".a.abcd1234.png", ".lock"]
    left = [".a.partial-abcd1234.png", ".a b.c.partial-______12.npy", ".none.partial-abcdefgh", "x/.a.partial-abcd1234"]
    (tmp_path / "x").mkdir()
    for name in kept + left:
        (tmp_path / name).touch()
    with atomic_path(tmp_path / "x" / "b.png") as under_way:
        remove_leftovers(tmp_path)
        assert sorted(path.name for path in tmp_path.rglob("*")) == sorted([*kept, "x", under_way.name])
    remove_leftovers(tmp_path, "b.png")
    assert (tmp_path / ".a.abcd1234.png").exists()
    remove_leftovers(tmp_path, "a.png")
    assert not (tmp_path / ".a.abcd1234.png").exists() and (tmp_path / "x" / "b.png").exists()


def test_a_temporary_name_is_known_as_one(tmp_path: Path) -> None:
    for name in ("a.json", "no_suffix", "two.parts.npz", "x" * 200 + ".png"):
        with atomic_path(tmp_path / name) as temporary:
            assert is_leftover(temporary.name) and not is_leftover(name)
    assert is_leftover(".run.abcd1234.json", "run.json") and not is_leftover(".run.abcd1234.json")


@pytest.mark.parametrize("stem", ["あ" * 80, "𝄞" * 60, os.fsdecode(b"caf\xe9" * 50)])
def test_any_name_that_a_file_can_have_can_be_written(stem: str, tmp_path: Path) -> None:
    path = tmp_path / f"{stem}.png"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        left = temporary.with_name(f"{temporary.stem[:-8]}abcd1234.png")
        left.touch()
        assert is_leftover(left.name)
    remove_leftovers_of(path)
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "whole"


def test_of_one_file_only(tmp_path: Path) -> None:
    for name in (".a.partial-abcd1234.npz", ".ab.partial-abcd1234.npz", ".a.partial-abcd1234.png"):
        (tmp_path / name).touch()
    remove_leftovers_of(tmp_path / "a.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.partial-abcd1234.png", ".ab.partial-abcd1234.npz"]


def test_tensors_are_saved_whole_and_for_all_readers(tmp_path: Path) -> None:
    values = {"a": torch.arange(3), "b": torch.ones(2, 2)}
    save_tensors(values, tmp_path / "new" / "w.safetensors", {"format": "pt"})
    save_file(values, tmp_path / "same.safetensors", {"format": "pt"})
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "new" / "w.safetensors").read_bytes() == (tmp_path / "same.safetensors").read_bytes()
    assert (tmp_path / "new" / "w.safetensors").stat().st_mode == plain.stat().st_mode
    with pytest.raises(RuntimeError, match="share memory"):
        save_tensors({"a": values["b"], "b": values["b"]}, tmp_path / "new" / "w.safetensors")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["w.safetensors"]


def test_permissions_of_all_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir(mode=0o700)
    files = [tmp_path / "a", tmp_path / "unet" / "b"]
    for path in files:
        path.touch(mode=0o600)
    usual_permissions(tmp_path)
    (tmp_path / "plain").touch()
    assert {path.stat().st_mode for path in files} == {(tmp_path / "plain").stat().st_mode}
    assert (tmp_path / "unet").stat().st_mode & 0o777 == 0o700


def test_json_round_trip_keeps_text(tmp_path: Path) -> None:
    value = {"Käse": [1, 2.5, None, True], "mIoU": {"a": "±"}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "Käse" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_json_keeps_names_that_are_no_utf8(tmp_path: Path) -> None:
    value = [os.fsdecode(b"caf\xe9.png"), "Käse"]
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").read_bytes() == '[\n  "caf\\udce9.png",\n  "Käse"\n]\n'.encode()


def test_json_with_nan_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", float("nan"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [b'{"a": }', b"\xff\xfe\x00", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, '{"a": 1}'.encode("utf-16")],
)
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


def test_a_message_is_one_line_of_bounded_length() -> None:
    for error in (InputError("x" * 150_000 + "\n\ud800 end"), FileError("a", "m" * 150_000, "r\n" * 10_000)):
        assert len(str(error)) <= 2000 and str(error).isprintable()
    assert str(InputError("x" * 150_000 + " end")).endswith(" end")
    assert str(FileError("x" * 4096, "is wrong", "mend it")).endswith("is wrong; mend it")


def test_an_error_with_a_file_survives_the_way_out_of_another_process() -> None:
    error = pickle.loads(pickle.dumps(FileError("a.png", "is wrong", "mend it")))
    assert (str(error), error.remedy) == ("a.png: is wrong; mend it", "mend it")


def test_a_giant_json_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(2**20 + 1)
    with pytest.raises(FileError, match="larger than 1 MB"):
        read_json(tmp_path / "a.json", megabytes=1)
