"""The folder of a run: what may be begun in it, what continues it, who may be at work in it."""

from pathlib import Path

import pytest
import torch

from frugalseg.support.errors import InputError
from frugalseg.training.run_folder import RunFolder, continued
from frugalseg.training.state import saved_state


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        RunFolder(tmp_path).begin({})
    with pytest.raises(InputError, match="is a file"):
        RunFolder(tmp_path / "thesis.txt").begin({})
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_log_takes_names_that_are_no_utf_8(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.say("caf\udce9")
    assert run.log.read_text().endswith("  caf?\n")


def test_publishing_replaces_files_whole_and_leaves_others(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.begin({"steps": 3})
    for version in ("old", "new"):
        fresh = run.training / "export.tmp"
        (fresh / "unet").mkdir(parents=True)
        (fresh / "unet" / "weights").write_text(version)
        (fresh / "index.json").write_text(version)
        run.publish(fresh)
        assert not fresh.exists()
    assert (run.path / "unet" / "weights").read_text() == (run.path / "index.json").read_text() == "new"
    assert run.resumable and run.last_progress()["step"] == 0


def test_changed_settings_are_named() -> None:
    stored = {"steps": 3, "seed": 0, "layers": 2}
    assert continued(stored, {"steps": 3, "layers": None}, Path("run")) == stored
    assert continued(stored, {"steps": 9, "seed": 0}, Path("run")) == {**stored, "steps": 9}
    with pytest.raises(InputError, match=r"steps: 3 before, 2 now; seed: 0 before, 1 now"):
        continued(stored, {"steps": 2, "seed": 1, "layers": None}, Path("run"))


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    with first.alone():
        first.begin({"steps": 3})
        with pytest.raises(InputError, match="another process is training in this folder"), second.alone():
            pass
    with second.alone():
        second.begin({"steps": 4})


@pytest.mark.parametrize(
    "text", ["[]", "3", "{}", '{"step": "x", "images": 0, "seconds": 0}', '{"step": -1}', "{", "null"]
)
def test_damaged_records_of_a_run_are_one_line(text: str, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.training.mkdir()
    for path, read in ((run.progress, run.last_progress), (run.settings, run.stored_settings)):
        path.write_text(text)
        with pytest.raises(InputError, match=r"(a damaged run|not JSON)"):
            read()


def test_a_state_that_is_something_else_is_refused(tmp_path: Path) -> None:
    for content in ({"state_dict": {}}, torch.ones(3), [1]):
        torch.save(content, tmp_path / "last.ckpt")
        with pytest.raises(InputError, match=r"last\.ckpt: a damaged state of a training.*to begin the training anew"):
            saved_state(tmp_path / "last.ckpt", tmp_path)
