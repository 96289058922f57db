"""A saved model's folder: whole at every moment, and nothing is left beside it."""

import subprocess
import sys

import pytest

from frugalseg.support.errors import InputError
from frugalseg.support.folders import whole_folder
from frugalseg.support.marks import BACKBONE, MODEL


def save(folder, text):
    with whole_folder(folder) as place:
        (place / "model").write_text(text)
        (place / "config.json").write_text('{"frugalseg": "0.1.0"}')


def content(folder):
    return {path.name: (path / "model").read_text() for path in folder.iterdir()}


def test_a_folder_is_made_and_replaced(tmp_path, monkeypatch):
    for text in ("first", "second"):
        save(tmp_path / "parent" / "model", text)
        assert content(tmp_path / "parent") == {"model": text}
    monkeypatch.chdir(tmp_path / "parent" / "model")
    save(".", "third")
    assert content(tmp_path / "parent") == {"model": "third"}


def test_its_files_can_be_read_by_others(tmp_path):
    with whole_folder(tmp_path / "model") as place:
        (place / "weights").touch(mode=0o600)
    (tmp_path / "plain").touch()
    assert (tmp_path / "model" / "weights").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("there", [False, True])
def test_a_block_that_fails_leaves_what_was_there(there, tmp_path):
    if there:
        save(tmp_path / "model", "old")
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "model") as place:
        (place / "model").write_text("half")
        raise KeyboardInterrupt
    assert content(tmp_path) == ({"model": "old"} if there else {})


def test_a_file_in_the_way_stays(tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(InputError, match="a file of that name is in the way"):
        save(tmp_path / "model", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("model", "mine")]


@pytest.mark.parametrize("there", ["thesis.txt", "config.json", ".git", "run.json"])
def test_a_folder_of_something_else_stays(there, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / there).write_text('{"hidden_size": 768, "command": "predict"}')
    with pytest.raises(InputError, match="delete this one yourself"), whole_folder(tmp_path / "docs", (MODEL,)):
        raise AssertionError
    assert [path.name for path in tmp_path.rglob("*")] == ["docs", there]


def test_only_an_output_of_the_same_kind_is_replaced(tmp_path):
    save(tmp_path / "model", "mine")
    with pytest.raises(InputError, match="something else"), whole_folder(tmp_path / "model", (BACKBONE,)):
        raise AssertionError
    assert content(tmp_path) == {"model": "mine"}


KILLED = """
import os, pathlib, shutil, signal, sys
from frugalseg.support.folders import whole_folder
end = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
folder, moment = sys.argv[1:]
with whole_folder(folder) as place:
    (place / "model").write_text("new")
    (place / "config.json").write_text('{"frugalseg": "0.1.0"}')
    real = pathlib.Path.rename
    if moment == "tidying":
        shutil.rmtree = end
    else:
        pathlib.Path.rename = lambda path, to: end() if path.name.endswith(moment) else real(path, to)
"""


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        ("model", {"model": "old", ".model.partial": "new"}),
        (".partial", {".model.old": "old", ".model.partial": "new"}),
        ("tidying", {".model.old": "old", "model": "new"}),
    ],
)
def test_a_kill_loses_no_model(moment, left, tmp_path):
    """SIGKILL before a renaming or a deletion: a whole model is there, and the next call cleans up."""
    folder = tmp_path / "model"
    save(folder, "old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), moment], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert content(tmp_path) == left
    with pytest.raises(KeyboardInterrupt), whole_folder(folder):
        raise KeyboardInterrupt
    assert content(tmp_path) == {"model": left.get("model", "old")}
    save(folder, "next")
    assert content(tmp_path) == {"model": "next"}
