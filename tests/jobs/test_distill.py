"""`distill`: what it writes, that it goes on after a kill, and what it refuses before it trains."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frugalseg.data.classes import ClassTable
from frugalseg.data.masks import write_mask
from frugalseg.data.toy.dataset import TOY_CLASSES, toy_example, write_toy_folder
from frugalseg.jobs.distill import DistillRequest, distill_folder, run
from frugalseg.jobs.distill.material import describe, gathered
from frugalseg.jobs.evaluate import evaluate_folder
from frugalseg.jobs.predict import Extras, predict_folder
from frugalseg.students import onnx_export
from frugalseg.students.settings import student_settings
from frugalseg.students.student import Student
from frugalseg.support import runs
from frugalseg.support.errors import InputError, WorkError
from frugalseg.support.files import read_json, write_json
from frugalseg.support.progress import silent
from frugalseg.synthetic import Photographs, generate
from tests.cli.test_cli import mistake
from tests.jobs.interrupt import Stop, stop_at

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


def steps_of(request, out, **options):
    """The steps that a run trains."""
    steps = []
    distill_folder(request, out, progress=lambda stage, done, _: stage == "train" and steps.append(done), **options)
    return steps


def interrupted(request, out):
    """Stop a run after the state of its step 4 is saved."""
    with pytest.raises(Stop):
        distill_folder(request, out, progress=stop_at("train", 6))


def test_another_request_begins_anew_and_a_finished_one_is_not_overwritten(request_, finished, tmp_path, caplog):
    out = tmp_path / "student"
    interrupted(request_, out)
    assert "begins anew" not in caplog.text
    changed = replace(request_, settings=replace(QUICK, seed=1))
    assert steps_of(changed, out) == list(range(1, 9)) and not same_weights(out, finished[0])
    for text in (caplog.text, (out / "distill.log").read_text()):
        assert "changed: seed: 0 before, 1 now" in text
    with pytest.raises(InputError, match="--overwrite"):
        distill_folder(request_, out)
    distill_folder(request_, out, overwrite=True)
    assert same_weights(out, finished[0])


def test_what_the_training_does_not_depend_on_may_change(request_, finished, tmp_path, monkeypatch):
    def export_onnx(student, path):
        path.touch()
        raise Stop

    monkeypatch.setattr(onnx_export, "require_exportable", lambda *_: None)
    monkeypatch.setattr(onnx_export, "export_onnx", export_onnx)
    out = tmp_path / "student"
    interrupted(replace(request_, test=None), out)
    more = replace(request_, onnx=True, workers=1)
    with pytest.raises(Stop):
        distill_folder(more, out)
    assert (tmp_path / "student.work" / "student" / "student.onnx").exists()
    assert steps_of(request_, out) == []
    assert same_weights(out, finished[0])
    assert {p.name for p in out.iterdir()} == {p.name for p in finished[0].iterdir()}


def test_a_device_may_change_where_it_does_not_choose_the_precision(request_):
    material = gathered(request_, silent)

    def described(precision, device):
        return describe(replace(request_, settings=replace(QUICK, precision=precision), device=device), material)

    assert described("bf16", "cuda") == described("bf16", "cpu")
    assert described(None, "cuda") == described("bf16", "cuda")
    assert described(None, "cpu") == described("fp32", "cpu") != described(None, "cuda")


def test_another_precision_begins_anew(request_, tmp_path, caplog):
    """What was begun on a GPU, in its bf16, is not taken up in fp32."""
    begun = replace(request_, settings=replace(QUICK, precision="bf16"))
    interrupted(begun, tmp_path / "student")
    assert steps_of(request_, tmp_path / "student") == list(range(1, 9))
    assert "changed: precision: bf16 before, fp32 now" in caplog.text


def test_a_student_within_its_data_goes_on(request_, folders, tmp_path):
    data = copied(folders, tmp_path, "validation")
    inside = replace(request_, validation=data)
    interrupted(inside, data / "student")
    assert steps_of(inside, data / "student") == [5, 6, 7, 8]


def test_a_set_is_known_by_its_checksums(request_, finished, folders, tmp_path):
    photographs = Photographs(folders / "samples" / "images")
    generate(Student.from_pretrained(finished[0]), photographs, tmp_path / "set", batch_size=2, shard_size=2)
    generated = replace(request_, samples=tmp_path / "set", drop=0.0)
    shards = sorted((tmp_path / "set").glob("shard-*"))
    assert len(shards) == 4

    interrupted(generated, tmp_path / "student")
    for path in shards:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    assert steps_of(generated, tmp_path / "student") == [5, 6, 7, 8]

    interrupted(generated, tmp_path / "other")
    index = read_json(shards[-2])
    write_json(shards[-2], {**index, "sha256": "0" * 64})
    assert steps_of(generated, tmp_path / "other") == list(range(1, 9))


@pytest.mark.parametrize("what", [{"notes.txt": "mine"}, {"run.json": '{"command": "evaluate"}'}, {"run.json": "[]"}])
def test_a_folder_of_the_users_is_no_scratch_folder(what, request_, tmp_path):
    work = tmp_path / "student.work"
    work.mkdir()
    for name, text in what.items():
        (work / name).write_text(text)
    with pytest.raises(InputError, match="holds something else than an unfinished run of distill; move or delete it"):
        distill_folder(request_, tmp_path / "student")
    assert {path.name: path.read_text() for path in work.iterdir()} == what


def test_a_file_where_the_scratch_folder_should_be(request_, tmp_path):
    (tmp_path / "student.work").write_text("mine")
    with pytest.raises(InputError, match="a file of that name is in the way"):
        distill_folder(request_, tmp_path / "student")


def test_what_a_kill_leaves_before_the_record_is_nobodys(request_, tmp_path):
    work = tmp_path / "student.work"
    work.mkdir()
    for name in (".lock", ".run.abcd1234.json", ".run.partial-a_1b2c3d.json"):
        (work / name).touch()
    interrupted(request_, tmp_path / "student")
    assert {path.name for path in work.iterdir()} == {"distill.log", "run.json", "training"}


def test_a_folder_that_is_half_emptied_is_of_no_run(request_, tmp_path, monkeypatch):
    """Killed while it throws away what another request began, a run leaves nothing that the other would go on with."""

    def stop(*_):
        raise Stop

    out = tmp_path / "student"
    interrupted(request_, out)
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(shutil, "rmtree", stop)
        distill_folder(replace(request_, settings=replace(QUICK, seed=1)), out)
    assert (tmp_path / "student.work" / "training").is_dir()
    assert steps_of(request_, out) == list(range(1, 9))


def test_two_runs_at_one_student(request_, finished, tmp_path):
    refused = []

    def meanwhile(stage, done, _):
        if (stage, done) == ("train", 6):
            with pytest.raises(InputError, match="another run is at work here") as caught:
                distill_folder(replace(request_, settings=replace(QUICK, seed=1)), tmp_path / "student")
            refused.append(caught.value)

    distill_folder(request_, tmp_path / "student", progress=meanwhile)
    assert len(refused) == 1 and same_weights(tmp_path / "student", finished[0])


@pytest.mark.parametrize(("moment", "trained"), [(("check validation", 1), False), (("evaluate", 1), True)])
def test_what_appears_meanwhile_is_not_replaced(moment, trained, request_, tmp_path):
    out = tmp_path / "student"

    def meanwhile(stage, done, _):
        if (stage, done) == moment:
            out.mkdir()
            (out / "notes.txt").write_text("mine")

    with pytest.raises(InputError, match="--overwrite"):
        distill_folder(request_, out, progress=meanwhile)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]
    assert (tmp_path / "student.work").exists() == trained
    if trained:
        assert steps_of(request_, out, overwrite=True) == []


def test_a_kill_as_the_student_is_put_into_its_place(request_, finished, tmp_path, monkeypatch):
    real = Path.rename

    def stop(path, target):
        if target == tmp_path / "student":
            raise Stop
        return real(path, target)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(type(tmp_path), "rename", stop)
        distill_folder(replace(request_, test=None), tmp_path / "student")
    written = {path.name for path in (tmp_path / "student.work" / "training" / "tensorboard").iterdir()}
    assert steps_of(replace(request_, test=None), tmp_path / "student") == []
    assert same_weights(tmp_path / "student", finished[0])
    assert written <= {path.name for path in (tmp_path / "student" / "tensorboard").iterdir()}


def test_a_kill_before_what_was_under_way_is_deleted(request_, finished, tmp_path, monkeypatch, caplog):
    """The student has its place: a rerun tidies up and trains nothing; another request is refused."""

    real = runs.empty

    def stop(work):
        if (work / runs.FINISHED).exists():
            raise Stop
        real(work)

    out = tmp_path / "student"
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(runs, "empty", stop)
        distill_folder(replace(request_, test=None), out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["student", "student.work"]
    changed = replace(request_, settings=replace(QUICK, seed=1))
    with pytest.raises(InputError, match="exists and is not empty"):
        distill_folder(changed, out)
    assert steps_of(request_, out) == [] and "student: is complete" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["student"] and same_weights(out, finished[0])
    with pytest.raises(InputError, match="exists and is not empty"):
        distill_folder(request_, out)


def test_a_failed_export_does_not_cost_the_student(request_, finished, tmp_path, monkeypatch):
    def export_onnx(student, path):
        raise WorkError("onnxruntime and torch differ by 0.5")

    monkeypatch.setattr(onnx_export, "require_exportable", lambda *_: None)
    monkeypatch.setattr(onnx_export, "export_onnx", export_onnx)
    with pytest.raises(WorkError, match=r"student is whole, but has no student\.onnx: .* differ by 0\.5"):
        distill_folder(replace(request_, onnx=True), tmp_path / "student")
    assert [path.name for path in tmp_path.iterdir()] == ["student"]
    assert {p.name for p in (tmp_path / "student").iterdir()} == {p.name for p in finished[0].iterdir()}
    assert "no student.onnx" in (tmp_path / "student" / "distill.log").read_text()


def test_the_folder_one_stands_in(request_, finished, tmp_path, monkeypatch):
    (tmp_path / "student").mkdir()
    monkeypatch.chdir(tmp_path / "student")
    distill_folder(request_, Path())
    assert [path.name for path in tmp_path.iterdir()] == ["student"]
    assert same_weights(tmp_path / "student", finished[0])


@pytest.mark.parametrize("which", ["samples", "validation", "test"])
def test_inputs_are_spared(which, request_, folders, tmp_path):
    data = copied(folders, tmp_path, which)
    request = replace(request_, **{which: data})
    for out in (data, tmp_path):
        with pytest.raises(InputError, match="which this command reads"):
            distill_folder(request, out, overwrite=True)
    assert len(list((data / "images").iterdir())) == len(list((folders / which / "images").iterdir()))


@pytest.mark.parametrize(("protocol", "kept"), [("default", range(15)), ("paper", range(5, 20))])
def test_the_samples_that_each_protocol_keeps(protocol, kept, published, folders, tmp_path, monkeypatch, capsys):
    """The paper's selection loses the most certain and keeps the most uncertain, as many as were to be dropped."""

    def train_student(samples, *_, **__):
        raise InputError(f"these: {samples.places.tolist()}")

    monkeypatch.setattr(run, "train_student", train_student)
    command = ["distill", published, "--validation", folders / "validation", "--drop", 0.25, "--protocol", protocol]
    said = mistake(*command, "--encoder", "resnet18", "-o", tmp_path / "student", "--device", "cpu", capsys=capsys)
    assert said.endswith(f"these: {list(kept)}")


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


def test_ctrl_c_while_it_trains(folders, tmp_path):
    """It is said in a line, with the shell's exit code, and the same command goes on."""
    command = [sys.executable, "-m", "frugalseg", "distill", str(folders / "samples"), "--device", "cpu"]
    command += ["--validation", str(folders / "validation"), "--encoder", "mobilenet_v2", "--batch-size", "2"]
    command += ["--least-steps", "400", "--validations", "100", "-o", str(tmp_path / "student")]
    state = tmp_path / "student.work" / "training" / "student.ckpt"
    stopped = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not state.exists() and stopped.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    stopped.send_signal(signal.SIGINT)
    said = stopped.communicate(timeout=300)[1]
    assert stopped.returncode == 130, said
    assert said.rstrip().endswith("stopped; run the same command again to go on") and "Traceback" not in said
    assert state.exists() and not (tmp_path / "student").exists()


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
