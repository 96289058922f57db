"""Folders in which a command is at work: killed at any moment, the same command goes on, and another one is refused."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from frugalseg.support.errors import InputError
from frugalseg.support.files import read_json, write_json
from frugalseg.support.runs import alone, empty, in_place, may_be_in_place, open_run, put_in_place, scratch, work_folder

COMMAND = {"command": "predict", "extras": {"overlays": True}, "size": (1, 2)}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_opened_once_for_a_command(tmp_path):
    out = tmp_path / "masks"
    assert not open_run(out, COMMAND, overwrite=False)
    (out / "a.png").touch()
    assert open_run(out, COMMAND, overwrite=False)
    assert names(out) == ["a.png", "run.json"]
    with pytest.raises(InputError, match="add --overwrite"):
        open_run(out, {**COMMAND, "size": (2, 2)}, overwrite=False)
    assert names(out) == ["a.png", "run.json"]
    assert not open_run(out, {**COMMAND, "size": (2, 2)}, overwrite=True)
    assert names(out) == ["run.json"]


def test_several_processes_open_a_folder_at_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        known = list(pool.map(lambda _: open_run(tmp_path / "masks", COMMAND, overwrite=False), range(8)))
    assert known.count(False) == 1 and names(tmp_path / "masks") == ["run.json"]


# Dies in place of the renaming that would end the first write of a file of this name.
KILLED = """
import os, pathlib, sys
from frugalseg.support import runs
folder, last = pathlib.Path(sys.argv[1]), sys.argv[2]
real = pathlib.Path.replace

def replace(path, target):
    if target.name == last:
        os._exit(9)
    return real(path, target)

pathlib.Path.replace = replace
"""


def killed(code, *arguments):
    run = subprocess.run([sys.executable, "-c", KILLED + code, *map(str, arguments)], capture_output=True, text=True)
    assert run.returncode == 9, run.stderr


def test_a_kill_during_the_first_write(tmp_path):
    out = tmp_path / "masks"
    killed("runs.open_run(folder, {'command': 'predict'}, False)", out, "run.json")
    assert len(left := names(out)) == 2 and left[0] == ".lock" and left[1].startswith(".run.")
    assert not open_run(out, {"command": "predict"}, overwrite=False)
    assert names(out) == ["run.json"]


def test_what_the_version_before_left_at_such_a_kill(tmp_path):
    (tmp_path / ".run.k3_x9abc.json").write_text("{")
    assert not open_run(tmp_path, COMMAND, overwrite=False)
    assert names(tmp_path) == ["run.json"]


def test_a_rerun_removes_unfinished_files_but_not_those_of_others(tmp_path):
    open_run(tmp_path, {"command": "predict"}, overwrite=False)
    write = "from frugalseg.support.files import write_json\nwrite_json(folder / 'overlays' / 'a.json', 1)"
    killed(write, tmp_path, "a.json")
    (tmp_path / ".gitignore").touch()
    (tmp_path / ".mine.original.png").touch()
    (left,) = (tmp_path / "overlays").iterdir()
    assert left.name.startswith(".a.")
    with pytest.raises(InputError, match="add --overwrite"):
        open_run(tmp_path, {"command": "evaluate"}, overwrite=False)
    assert left.exists()
    open_run(tmp_path, {"command": "predict"}, overwrite=False)
    assert names(tmp_path) == [".gitignore", ".mine.original.png", "overlays", "run.json"]
    assert not list((tmp_path / "overlays").iterdir())


def test_a_scratch_folder_is_had_by_one(tmp_path):
    work = work_folder(tmp_path / "model")
    assert work == tmp_path / "model.work"
    with alone(work), pytest.raises(InputError, match="another run is at work here"), alone(work):
        pass
    assert not work.exists()
    with alone(work):
        scratch(work, {"command": "fit"})
    assert names(work) == ["run.json"]


def test_another_command_empties_the_scratch_and_says_why(tmp_path, caplog):
    scratch(tmp_path, {"command": "fit", "seed": 0})
    (tmp_path / "maps").mkdir()
    assert scratch(tmp_path, {"command": "fit", "seed": 0}) and "thrown away" not in caplog.text
    assert not scratch(tmp_path, {"command": "fit", "seed": 1})
    assert "begins anew; changed: seed: 0 before, 1 now" in caplog.text
    assert names(tmp_path) == ["run.json"] and read_json(tmp_path / "run.json")["seed"] == 1


def test_what_says_whose_the_folder_is_is_deleted_last(tmp_path, monkeypatch):
    """Killed while it empties the folder, a run must find it again as its own."""
    for name in ("a", "finished.json", "run.json", "z", ".lock"):
        (tmp_path / name).touch()
    seen = []
    monkeypatch.setattr(type(tmp_path), "unlink", lambda path: seen.append(path.name))
    empty(tmp_path)
    assert sorted(seen[:2]) == ["a", "z"] and seen[2:] == ["run.json", "finished.json"]


def finished_work(out, seed=0):
    """A scratch folder with a model that only has to be put in its place."""
    work = work_folder(out)
    scratch(work, {"command": "fit", "seed": seed})
    (work / "maps").mkdir()
    (work / "model").mkdir()
    write_json(work / "model" / "model.json", seed)
    return work


PLACE = """
import shutil
end = lambda *_, **__: os._exit(9)
out, moment = pathlib.Path(sys.argv[3]), sys.argv[4]
rename, unlink = pathlib.Path.rename, pathlib.Path.unlink
if moment == "before":
    pathlib.Path.rename = end
elif moment == "after":
    shutil.rmtree = lambda path, **more: end() if pathlib.Path(path).name == "maps" else None
else:
    pathlib.Path.unlink = lambda path, **more: end() if path.name == moment else unlink(path, **more)
with runs.alone(folder):
    runs.put_in_place(folder, "model", out)
"""


@pytest.mark.parametrize("moment", ["before", "after", "run.json", ".lock", ".model.work.finished.json"])
def test_a_kill_as_the_result_is_put_in_its_place(moment, tmp_path, caplog):
    out = tmp_path / "model"
    work = finished_work(out)
    killed(PLACE, work, "none", out, moment)
    assert may_be_in_place(work)
    with alone(work):
        assert not in_place(work, "model", out, {"command": "fit", "seed": 1})
        assert in_place(work, "model", out, {"command": "fit", "seed": 0}) == (moment != "before")
        if moment == "before":
            put_in_place(work, "model", out)
        else:
            assert "is complete" in caplog.text
    assert read_json(out / "model.json") == 0 and names(tmp_path) == ["model"]


def test_an_older_model_in_the_place_is_not_taken_for_the_result(tmp_path):
    """Killed before the new one has its place, the old one is there."""
    out = tmp_path / "model"
    with alone(work_folder(out)):
        put_in_place(finished_work(out), "model", out)
    work = finished_work(out, seed=1)
    killed(PLACE, work, "none", out, "before")
    assert not in_place(work, "model", out, {"command": "fit", "seed": 1})
    assert read_json(out / "model.json") == 0
    with alone(work):
        put_in_place(work, "model", out)
    assert read_json(out / "model.json") == 1 and names(tmp_path) == ["model"]


def test_a_newer_result_is_not_taken_for_that_of_an_earlier_command(tmp_path):
    """The earlier run was killed at its very end; another command has replaced its result, or was about to."""
    out = tmp_path / "model"
    killed(PLACE, finished_work(out), "none", out, ".model.work.finished.json")
    work = finished_work(out, seed=1)
    assert not in_place(work, "model", out, {"command": "fit", "seed": 0}) and not may_be_in_place(work)


def test_traces_of_a_finished_run_are_in_nobodys_way(tmp_path):
    """Another command at the same place: only the last file of the earlier one is left."""
    write_json(tmp_path / "finished.json", {"command": "fit", "seed": 0})
    assert not scratch(tmp_path, {"command": "fit", "seed": 1})
    assert names(tmp_path) == ["run.json"]
