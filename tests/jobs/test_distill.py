"""`distill`: what it writes, that it goes on after a kill, and what it refuses before it trains."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from frugalseg.data.classes import ClassTable
from frugalseg.data.files import read_json
from frugalseg.data.masks import write_mask
from frugalseg.data.toy import TOY_CLASSES, toy_example, write_toy_folder
from frugalseg.errors import InputError
from frugalseg.jobs.distill import DistillRequest, distill_folder
from frugalseg.jobs.evaluate import evaluate_folder
from frugalseg.jobs.predict import Extras, predict_folder
from frugalseg.students.settings import student_settings
from frugalseg.students.student import Student
from tests.jobs.interrupt import Stop, stop_at
from tests.test_cli import mistake

QUICK = student_settings(
    architecture="fpn", encoder="mobilenet_v2", epochs=4, least_steps=0, validations=2, batch_size=2
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for name, count, first in (("samples", 4, 0), ("validation", 2, 100), ("test", 2, 200)):
        write_toy_folder(root / name, count, 1, first=first, size=32)
    return root


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A published file: 20 images, their uncertainties rising."""
    path = tmp_path_factory.mktemp("npz") / "samples.npz"
    examples = [toy_example(1, index, 32) for index in range(20)]
    images, labels = (np.stack([getattr(e, name) for e in examples]) for name in ("image", "target"))
    np.savez(path, images, labels, np.linspace(0, 1, 20, dtype=np.float32))
    return path


@pytest.fixture
def request_(folders):
    return DistillRequest(folders / "samples", folders / "validation", folders / "test", QUICK)


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("students") / "student"
    request = DistillRequest(folders / "samples", folders / "validation", folders / "test", QUICK)
    return out, distill_folder(request, out)


def same_weights(one, other):
    first, second = ((folder / "student.safetensors").read_bytes() for folder in (one, other))
    return first == second


def test_everything_is_written(finished):
    out, result = finished
    assert [p.name for p in out.parent.iterdir()] == ["student"]
    assert {p.name for p in out.iterdir()} == {
        "classes.json", "config.json", "distill.log", "index.html", "metrics.json", "student.safetensors",
        "tensorboard", "training.json",
    }  # fmt: skip
    assert read_json(out / "metrics.json") == json.loads(json.dumps(result.metrics()))
    record = read_json(out / "training.json")
    assert (record["found"], record["kept"], len(record["rounds"])) == (4, 4, 2)
    assert record["best_step"] == max(record["rounds"], key=lambda each: each["miou"])["step"]
    assert "test mIoU" in (out / "distill.log").read_text()


def test_a_student_is_evaluated_and_predicts_like_any_model(finished, folders, tmp_path):
    out, result = finished
    again = evaluate_folder(out, folders / "test", tmp_path / "page")
    assert again.metrics() == result.metrics()
    assert (tmp_path / "page" / "index.html").is_file()
    extras = Extras(overlays=True, uncertainty=True, probabilities=True)
    assert predict_folder(out, folders / "test" / "images", tmp_path / "masks", extras=extras) == 2
    assert len(list((tmp_path / "masks" / "uncertainty").glob("*.png"))) == 2


@pytest.mark.parametrize("moment", [("train", 1), ("train", 6), ("evaluate", 1)])
def test_an_interrupted_run_ends_the_same(moment, request_, finished, tmp_path):
    out = tmp_path / "student"
    with pytest.raises(Stop):
        distill_folder(request_, out, progress=stop_at(*moment))
    assert not out.exists()
    seen = []
    distill_folder(request_, out, progress=lambda *report: seen.append(report))
    assert same_weights(out, finished[0])
    assert read_json(out / "metrics.json") == read_json(finished[0] / "metrics.json")
    assert [p.name for p in tmp_path.iterdir()] == ["student"]
    steps = [done for stage, done, _ in seen if stage == "train"]
    assert steps == {("train", 1): list(range(1, 9)), ("train", 6): [5, 6, 7, 8]}.get(moment, [])


def test_another_request_begins_anew_and_a_finished_one_is_not_overwritten(request_, finished, tmp_path):
    out = tmp_path / "student"
    with pytest.raises(Stop):
        distill_folder(request_, out, progress=stop_at("train", 6))
    seen = []
    changed = replace(request_, settings=replace(QUICK, seed=1))
    distill_folder(changed, out, progress=lambda *report: seen.append(report))
    assert ("train", 1, 8) in seen and not same_weights(out, finished[0])
    with pytest.raises(InputError, match="--overwrite"):
        distill_folder(request_, out)
    distill_folder(request_, out, overwrite=True)
    assert same_weights(out, finished[0])


def test_a_published_file_is_filtered(published, folders, tmp_path):
    settings = replace(QUICK, epochs=1)
    request = DistillRequest(published, folders / "validation", settings=settings, drop=0.25)
    assert distill_folder(request, tmp_path / "student") is None
    record = read_json(tmp_path / "student" / "training.json")
    assert (record["found"], record["kept"], record["drop"]) == (20, 15, 0.25)
    assert Student.from_pretrained(tmp_path / "student").classes == TOY_CLASSES
    assert not (tmp_path / "student" / "metrics.json").exists()


@pytest.mark.slow
def test_onnx_is_written_on_request(request_, tmp_path):
    settings = replace(QUICK, architecture="unet", encoder="resnet18", epochs=1)
    distill_folder(replace(request_, settings=settings, test=None, onnx=True), tmp_path / "student")
    assert (tmp_path / "student" / "student.onnx").stat().st_size > 1000
    assert "as torch's within" in (tmp_path / "student" / "distill.log").read_text()


def copied(folders, tmp_path, name):
    shutil.copytree(folders / name, tmp_path / name)
    return tmp_path / name


def no_class_left(folder):
    for path in (folder / "masks").iterdir():
        write_mask(path, np.full((32, 32), 255), TOY_CLASSES)


def other_names(folder):
    names = ("sky", *TOY_CLASSES.names[1:])
    ClassTable(TOY_CLASSES.ids, names, TOY_CLASSES.colors).to_json(folder / "classes.json")


def unknown_id(folder):
    (folder / "classes.json").unlink()
    path = sorted((folder / "masks").iterdir())[0]
    write_mask(path, np.full((32, 32), 77), TOY_CLASSES)


@pytest.mark.parametrize("which", ["validation", "test"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_class_left, "no pixel is annotated"),
        (other_names, "class 0 is 'sky' there, 'background' in"),
        (unknown_id, "unknown class ids 77"),
        (lambda folder: sorted((folder / "masks").iterdir())[1].write_bytes(b"\x89PNG"), r"000.01\.png"),
        (lambda folder: shutil.rmtree(folder), "no such folder"),
    ],
)
def test_wrong_data_is_found_before_the_training(which, spoil, said, request_, folders, tmp_path):
    spoil(copied(folders, tmp_path, which))
    with pytest.raises(InputError, match=said) as caught:
        distill_folder(replace(request_, **{which: tmp_path / which}), tmp_path / "student")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("student*"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": replace(QUICK, encoder="resnet19")}, "no encoder 'resnet19'"),
        ({"settings": replace(QUICK, architecture="pan", size=(16, 16))}, "cannot segment images of 16x16"),
        ({"settings": replace(QUICK, precision="fp16")}, "CUDA devices only"),
        ({"drop": 1.5}, "below 1"),
    ],
)
def test_wrong_options_are_found_before_the_training(changes, said, request_, published, tmp_path):
    with pytest.raises(InputError, match=said):
        distill_folder(replace(request_, samples=published, **changes), tmp_path / "student")
    assert not list(tmp_path.glob("student*"))


def test_samples_that_are_none(request_, tmp_path):
    with pytest.raises(InputError, match="nothing: no such folder or file"):
        distill_folder(replace(request_, samples=tmp_path / "nothing"), tmp_path / "student")


def test_mistakes_on_the_command_line(folders, tmp_path, capsys):
    command = ["distill", folders / "samples", "--validation", folders / "validation", "-o", tmp_path / "student"]
    assert "did you mean" in mistake(*command, "--architecture", "unett", capsys=capsys)
    assert "default or paper" in mistake(*command, "--protocol", "fast", capsys=capsys)
    assert "height x width" in mistake(*command, "--size", "small", capsys=capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_process_killed_while_it_trains(folders, tmp_path):
    """SIGKILL, from outside, after a round has been saved."""
    command = [sys.executable, "-m", "frugalseg", "distill", str(folders / "samples"), "--device", "cpu"]
    command += ["--validation", str(folders / "validation"), "--test", str(folders / "test")]
    command += ["--encoder", "mobilenet_v2", "--batch-size", "2", "--least-steps", "60", "-o"]
    killed = subprocess.Popen([*command, str(tmp_path / "killed")], stderr=subprocess.DEVNULL)
    state = tmp_path / "killed.work" / "training" / "student.ckpt"
    deadline = time.monotonic() + 300
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL and state.exists()
    for name in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / name)], check=True, capture_output=True)
    assert same_weights(tmp_path / "killed", tmp_path / "whole")
    assert read_json(tmp_path / "killed" / "metrics.json") == read_json(tmp_path / "whole" / "metrics.json")
