"""What a process that was killed leaves behind: the same command goes on from it, or says that all is done."""

import os
import subprocess
import sys

import pytest

from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.jobs.fit import FitRequest, fit_folder
from frugalseg.jobs.predict import predict_folder
from frugalseg.segmenter import Segmenter
from frugalseg.support.errors import InputError
from tests.jobs.test_resume import QUICK, same_weights

# Dies in place of the renaming that gives a file its name, or once the result has its place.
KILLED = """
import os, sys
from pathlib import Path
last, moment, command = sys.argv[1], sys.argv[2], sys.argv[3:]

def dying(real):
    return lambda path, target: os._exit(9) if Path(target).name == last else real(path, target)

if moment == "after":
    from frugalseg.support import runs
    real = runs.empty
    runs.empty = lambda work: os._exit(9) if runs.may_be_in_place(work) else real(work)
else:
    Path.replace = dying(Path.replace)
sys.argv = ["frugalseg", *command]
from frugalseg.cli import main
main()
"""


def killed(last, moment, *command):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", KILLED, last, moment, *map(str, command), "--device", "cpu"]
    run = subprocess.run(arguments, capture_output=True, text=True, env=environment)
    assert run.returncode == 9, run.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills") / "data"
    write_toy_folder(folder, 2, seed=1, size=32)
    return folder


@pytest.fixture
def request_(data):
    return FitRequest(data, "colour", None, {}, {"protocol": QUICK, "members": 1})


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("kills") / "model"
    fit_folder(FitRequest(data, "colour", None, {}, {"protocol": QUICK, "members": 1}), out)
    return out


FILES = ["000000.png", "000001.png", "classes.json", "images.json", "run.json"]


@pytest.mark.parametrize("moment", ["run.json", "classes.json", "images.json", "000000.png"])
def test_predict_goes_on_after_a_kill_in_any_of_its_writes(moment, model, data, tmp_path):
    out = tmp_path / "masks"
    killed(moment, "during", "predict", model, data / "images", "-o", out)
    assert not (out / moment).exists() and len(list(out.glob(".*.partial-*"))) == 1
    assert predict_folder(model, data / "images", out) == 2
    assert sorted(path.name for path in out.iterdir()) == FILES


@pytest.mark.slow  # two commands
def test_a_fit_that_is_complete_says_so(data, request_, tmp_path):
    """Killed once the model stands, before what was under way is deleted."""
    out = tmp_path / "model"
    command = ["fit", data, "--backbone", "colour", "--members", 1, "-o", out]
    killed("", "after", *command)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".model.work.finished.json", "model", "model.work"]
    with pytest.raises(InputError, match="exists and is not empty"):
        fit_folder(request_, out)
    again = subprocess.run(
        [sys.executable, "-m", "frugalseg", *map(str, command), "--device", "cpu"], capture_output=True, text=True
    )
    assert again.returncode == 0 and "is complete" in again.stderr, again.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (out / "fit.log").is_file() and len(Segmenter.from_pretrained(out).classes) == 10
    with pytest.raises(InputError, match="exists and is not empty"):
        fit_folder(request_, out)


def test_a_model_can_be_read_by_those_who_can_read_its_folder(model, tmp_path):
    (tmp_path / "plain").touch()
    files = [path for path in model.rglob("*") if path.is_file()]
    assert len(files) >= 5
    assert {path.stat().st_mode for path in files} == {(tmp_path / "plain").stat().st_mode}


def test_the_way_of_a_model_into_its_place_changes_nothing(model, request_, tmp_path):
    fit_folder(request_, tmp_path / "model")
    assert same_weights(model, tmp_path / "model")
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == ["backbone", "classes.json", "classifier.safetensors", "config.json", "fit.log"]
