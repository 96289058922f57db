"""Killed at any moment, a run goes on and ends as if nothing had happened; nothing half-written is ever left."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from frugalseg.classifier.training import PROTOCOLS
from frugalseg.data.classes import ClassTable
from frugalseg.data.masks import write_mask
from frugalseg.data.toy.dataset import TOY_CLASSES, write_toy_folder
from frugalseg.jobs.evaluate import evaluate_folder
from frugalseg.jobs.fit import FitRequest, fit_folder
from frugalseg.jobs.predict import Extras, predict_folder
from frugalseg.segmenter import Segmenter
from frugalseg.support import files
from frugalseg.support.errors import InputError
from frugalseg.support.records import Record
from frugalseg.support.runs import alone
from tests.cli.test_cli import mistake, run
from tests.jobs.interrupt import Stop, stop_at

QUICK = replace(PROTOCOLS["default"], steps=30)


@pytest.fixture(scope="module")
def request_(toy_train, tiny_ddpm):
    options = {"timesteps": (50,), "blocks": (1, 2)}
    return FitRequest(toy_train, "ddpm", str(tiny_ddpm), options, {"protocol": QUICK, "members": 2})


@pytest.fixture(scope="module")
def model(request_, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "model"
    fit_folder(request_, out)
    return out


def same_weights(a, b):
    first, second = (load_file(folder / "classifier.safetensors") for folder in (a, b))
    return first.keys() == second.keys() and all(first[k].equal(second[k]) for k in first)


@pytest.mark.parametrize("moment", [("features", 0), ("features", 3), ("train", 1), ("train", 29)])
def test_an_interrupted_fit_ends_the_same(moment, request_, model, tmp_path):
    out = tmp_path / "model"
    with pytest.raises(Stop):
        fit_folder(request_, out, progress=stop_at(*moment))
    assert not out.exists()
    seen = []
    fit_folder(request_, out, progress=lambda *report: seen.append(report))
    assert same_weights(out, model)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    if moment[0] == "train":
        assert ("features", 0, 4) not in seen


@pytest.mark.parametrize("moment", [("features", 2), ("folds", 1), ("train", 29)])
def test_a_fit_with_folds_computes_each_map_once(moment, toy_train, tiny_ddpm, tmp_path):
    """The folds and the fit share the maps, and after a kill both go on with them; here those of two families."""
    options = {"timesteps": (50,), "blocks": (1,), "native_size": (16, 16)}
    settings = {"protocol": QUICK, "members": 2, "mirror": True}
    plain = FitRequest(toy_train, "ddpm+colour", str(tiny_ddpm), options, settings)
    fit_folder(plain, tmp_path / "plain")
    first, second, estimates = [], [], []

    def until(*report):
        first.append(report)
        stop_at(*moment)(*report)

    both = replace(plain, folds=2)
    with pytest.raises(Stop):
        fit_folder(both, tmp_path / "model", progress=until)
    fit_folder(both, tmp_path / "model", progress=lambda *report: second.append(report), validated=estimates.append)
    seen = [done for stage, done, total in first + second if stage == "features" and done < total]
    assert sorted(set(seen)) == list(range(8)) and len(seen) <= 9  # the one at which it was stopped may come again
    assert same_weights(tmp_path / "model", tmp_path / "plain") and len(estimates) == 1
    fit_folder(both, tmp_path / "whole", validated=estimates.append)
    assert estimates[0].to_json() == estimates[1].to_json()


def test_two_fits_never_share_an_output_folder(request_, model, tmp_path, monkeypatch):
    with alone(tmp_path / "model.work"), pytest.raises(InputError, match="another run is at work here"):
        fit_folder(request_, tmp_path / "model")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    fit_folder(request_, Path())
    assert same_weights(tmp_path / "here", model)


def test_an_output_folder_never_replaces_the_data(request_, model, toy_test, tmp_path):
    with pytest.raises(InputError, match="which this command reads"):
        fit_folder(request_, request_.data, overwrite=True)
    with pytest.raises(InputError, match="which this command reads"):
        predict_folder(model, toy_test / "images", toy_test, overwrite=True)
    with pytest.raises(InputError, match="which this command reads"):
        evaluate_folder(model, toy_test, model, overwrite=True)
    assert (request_.data / "images").is_dir() and (toy_test / "images").is_dir() and (model / "config.json").exists()


def test_a_fit_of_something_else_does_not_take_up_the_old_one(request_, tmp_path):
    with pytest.raises(Stop):
        fit_folder(request_, tmp_path / "model", progress=stop_at("features", 3))
    changed = replace(request_, backbone={"timesteps": (250,), "blocks": (1, 2)})
    seen = []
    fit_folder(changed, tmp_path / "model", progress=lambda *report: seen.append(report))
    assert ("features", 0, 4) in seen


@pytest.mark.parametrize("earlier_version", [False, True])
def test_a_fit_notices_another_file_of_its_checkpoint(earlier_version, request_, tiny_ddpm, tmp_path, caplog):
    """Of folders, earlier versions noted files of safetensors alone: what they began goes on."""
    checkpoint = shutil.copytree(tiny_ddpm, tmp_path / "ddpm")
    changed = replace(request_, checkpoint=str(checkpoint))
    with pytest.raises(Stop):
        fit_folder(changed, tmp_path / "model", progress=stop_at("features", 3))
    if earlier_version:
        record = Record(tmp_path / "model.work" / "run.json")
        record.write({name: value for name, value in record.read().items() if name != "checkpoint_files"})
    settings = checkpoint / "unet" / "config.json"
    settings.write_text(settings.read_text() + "\n")
    seen = []
    fit_folder(changed, tmp_path / "model", progress=lambda *report: seen.append(report))
    assert (("features", 0, 4) in seen) == ("changed: checkpoint files" in caplog.text) == (not earlier_version)


def test_a_fit_notices_other_classes(request_, toy_train, tmp_path, caplog):
    """The table is part of the model, and of what the masks mean."""
    data = tmp_path / "data"
    shutil.copytree(toy_train, data)
    changed = replace(request_, data=data)
    with pytest.raises(Stop):
        fit_folder(changed, tmp_path / "model", progress=stop_at("train", 1))
    names = ("sky", *TOY_CLASSES.names[1:])
    ClassTable(TOY_CLASSES.ids, names, TOY_CLASSES.colors).to_json(data / "classes.json")
    seen = []
    segmenter = fit_folder(changed, tmp_path / "model", progress=lambda *report: seen.append(report))
    assert "changed: names" in caplog.text and ("features", 0, 4) in seen
    assert segmenter.classes.names == names


@pytest.mark.parametrize("out", [None, "page"])
def test_nothing_to_evaluate_on(out, model, toy_test, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(toy_test, data)
    masks = sorted((data / "masks").iterdir())
    for path in masks[:-1]:
        write_mask(path, np.full((48, 48), 255), TOY_CLASSES)
    evaluation = evaluate_folder(model, data, out and tmp_path / out)
    assert len(evaluation.images) == 3 and np.isnan(evaluation.images[0].miou)
    write_mask(masks[-1], np.full((48, 48), 255), TOY_CLASSES)
    options = [] if out is None else ["-o", tmp_path / "other"]
    said = mistake("evaluate", model, data, "--device", "cpu", *options, capsys=capsys)
    assert said.endswith("no pixel is annotated; give annotated images") and not (tmp_path / "other").exists()


def test_predict_goes_on_and_refuses_foreign_folders(model, toy_test, tmp_path):
    images, out = toy_test / "images", tmp_path / "masks"
    with pytest.raises(Stop):
        predict_folder(model, images, out, progress=stop_at("predict", 2))
    first = sorted(out.glob("*.png"))
    assert len(first) == 2
    times = [p.stat().st_mtime_ns for p in first]
    assert predict_folder(model, images, out) == 1
    assert [p.stat().st_mtime_ns for p in first] == times
    assert {p.stem for p in out.glob("*.png")} == {p.stem for p in images.iterdir()}
    with pytest.raises(InputError, match="not empty"):
        predict_folder(model, images, out, extras=Extras(overlays=True))
    assert predict_folder(model, images, out, extras=Extras(True, True, True), overwrite=True) == 3
    for kind, suffix in (("overlays", "png"), ("uncertainty", "png"), ("probabilities", "npy")):
        assert len(list((out / kind).glob(f"*.{suffix}"))) == 3


@pytest.mark.parametrize("keep_time", [False, True])
def test_an_image_that_changed_is_segmented_again(keep_time, model, toy_test, tmp_path):
    """Also where a copy brings an old time with it: the image is newer in its place than the mask."""
    images, out = tmp_path / "images", tmp_path / "masks"
    shutil.copytree(toy_test / "images", images)
    extras = Extras(overlays=True, uncertainty=True)
    assert predict_folder(model, images, out, extras=extras) == 3
    assert predict_folder(model, images, out, extras=extras) == 0
    first, second, _ = sorted(images.iterdir())
    before = {path: path.read_bytes() for path in out.rglob("*.png")}
    (shutil.copy2 if keep_time else shutil.copy)(second, first)
    assert predict_folder(model, images, out, extras=extras) == 1
    for place in (out, out / "overlays", out / "uncertainty"):
        one, other = (place / f"{path.stem}.png" for path in (first, second))
        assert one.read_bytes() == other.read_bytes() != before[one]
    assert predict_folder(model, images, out, extras=extras) == 0


def test_two_runs_never_share_an_output_folder(model, toy_test, tmp_path):
    """Whoever comes second is told so, and does not disturb the first one."""
    commands = {
        tmp_path / "masks": lambda out, **given: predict_folder(model, toy_test / "images", out, **given),
        tmp_path / "report": lambda out, **given: evaluate_folder(model, toy_test, out, **given),
    }
    for out, command in commands.items():
        with alone(out):
            for overwrite in (False, True):
                with pytest.raises(InputError, match="another run is at work here"):
                    command(out, overwrite=overwrite)
        command(out, overwrite=True)
        (out / "first.png").touch()
        command(out, overwrite=True)
        assert not (out / ".lock").exists() and not (out / "first.png").exists()
        command(out, overwrite=False)


KILLED = """
import os, pathlib, signal, sys
from frugalseg.jobs.evaluate import evaluate_folder
from frugalseg.jobs.predict import predict_folder
model, data, out, command = sys.argv[1:]
real = pathlib.Path.replace

def end(path, to):
    if pathlib.Path(to).name == "run.json":
        os.kill(os.getpid(), signal.SIGKILL)
    return real(path, to)

pathlib.Path.replace = end
if command == "predict":
    predict_folder(pathlib.Path(model), pathlib.Path(data) / "images", pathlib.Path(out))
else:
    evaluate_folder(pathlib.Path(model), pathlib.Path(data), pathlib.Path(out))
"""


@pytest.mark.parametrize("command", ["predict", pytest.param("evaluate", marks=pytest.mark.slow)])
def test_killed_in_its_first_write_a_command_can_be_run_again(command, model, toy_test, tmp_path):
    out = tmp_path / "out"
    arguments = [sys.executable, "-c", KILLED, str(model), str(toy_test), str(out), command]
    killed = subprocess.run(arguments, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = [path.name for path in out.iterdir()]
    assert left and "run.json" not in left
    if command == "predict":
        assert predict_folder(model, toy_test / "images", out) == 3
    else:
        assert len(evaluate_folder(model, toy_test, out).images) == 3
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="space cannot be reserved on this system")
def test_maps_that_do_not_fit_on_the_disk_are_one_line(toy_train, tmp_path, capsys, monkeypatch):
    command = ["fit", toy_train, "--backbone", "colour", "-o", tmp_path / "model", "--members", 1, "--device", "cpu"]

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        code, _, said = run(*command, capsys=capsys)
    assert code == 1 and "Traceback" not in said
    assert f"{tmp_path / 'model.work' / 'maps' / '000-colour.f16'}: the disk is full; make room" in said
    assert run(*command, capsys=capsys)[0] == 0


def test_masks_hold_the_predicted_ids(model, toy_test, tmp_path):
    path = sorted((toy_test / "images").iterdir())[0]
    predict_folder(model, path, tmp_path / "masks")
    expected = next(Segmenter.from_pretrained(model).predict([np.asarray(Image.open(path).convert("RGB"))]))
    written = Image.open(tmp_path / "masks" / f"{path.stem}.png")
    assert written.mode == "P"
    assert (np.asarray(written) == expected.mask).all()


def test_a_full_disk_leaves_nothing_half_written(model, toy_test, tmp_path, monkeypatch):
    """The device refuses to write from the second mask on: the first stays, no other file appears, a rerun goes on."""
    real, written = Path.write_bytes, []

    def write(path, content):
        if len(written) == 1:
            real(path, b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        return real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write)
        with pytest.raises(OSError, match="No space left"):
            predict_folder(model, toy_test / "images", tmp_path / "masks")
    assert {p.name for p in (tmp_path / "masks").iterdir()} == {"run.json", "classes.json", "images.json", "001000.png"}
    assert predict_folder(model, toy_test / "images", tmp_path / "masks") == 2


@pytest.mark.slow
def test_a_process_killed_while_fitting(tiny_ddpm, tmp_path):
    """SIGKILL, from outside, with features under way."""
    write_toy_folder(tmp_path / "data", 12, seed=5)
    command = [sys.executable, "-m", "frugalseg", "fit", str(tmp_path / "data"), "--checkpoint", str(tiny_ddpm)]
    command += ["--members", "1", "--device", "cpu", "-o"]
    killed = subprocess.Popen([*command, str(tmp_path / "killed")], stderr=subprocess.DEVNULL)
    progress = tmp_path / "killed.work" / "maps" / "progress.json"
    deadline = time.monotonic() + 120
    while not progress.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert files.read_json(progress)["done"] >= 1
    for name in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / name)], check=True, capture_output=True)
    assert same_weights(tmp_path / "killed", tmp_path / "whole")
