"""Output folders: inputs are spared, and what is half emptied is known again."""

from pathlib import Path

import pytest

from frugalseg.jobs.output import empty, spare_inputs
from frugalseg.support.errors import InputError


def test_the_record_is_deleted_last(tmp_path, monkeypatch):
    """Killed while it empties the folder, a run must find it again as its own."""
    for name in ("a", "run.json", "z"):
        (tmp_path / name).touch()
    seen = []
    monkeypatch.setattr(type(tmp_path), "unlink", lambda path: seen.append(path.name))
    empty(tmp_path)
    assert sorted(seen[:2]) == ["a", "z"] and seen[2:] == ["run.json"]


def test_what_spare_inputs_refuses(tmp_path, monkeypatch):
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    monkeypatch.chdir(tmp_path / "data")
    for out in (Path(), Path(".."), tmp_path / "link", tmp_path / "data" / "images"):
        with pytest.raises(InputError, match="choose another output folder"):
            spare_inputs(out, None, "nothing", tmp_path / "data" / "images")
    spare_inputs(tmp_path / "data" / "images" / "student", tmp_path / "data" / "images")
    spare_inputs(tmp_path / "dat", tmp_path / "data", None, "google/ddpm-cat-256")
