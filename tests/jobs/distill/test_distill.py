"""`distill`: what it writes, and that it goes on where a run ended before its time."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from frugalseg.jobs.distill import distill_folder
from frugalseg.jobs.distill.material import describe, gathered
from frugalseg.jobs.evaluate import evaluate_folder
from frugalseg.jobs.predict import Extras, predict_folder
from frugalseg.students import onnx_export
from frugalseg.students.student import Student
from frugalseg.support import runs
from frugalseg.support.errors import InputError, WorkError
from frugalseg.support.files import read_json, write_json
from frugalseg.support.progress import silent
from frugalseg.synthetic import Photographs, generate
from tests.jobs.distill.helpers import QUICK, copied, same_weights
from tests.jobs.interrupt import Stop, stop_at


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


@pytest.mark.parametrize("moment", [pytest.param(("train", 1), marks=pytest.mark.slow), ("train", 6), ("evaluate", 1)])
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


@pytest.mark.slow  # three trainings
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


@pytest.mark.slow  # two trainings
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


@pytest.mark.slow  # two trainings
def test_another_precision_begins_anew(request_, tmp_path, caplog):
    """What was begun on a GPU, in its bf16, is not taken up in fp32."""
    begun = replace(request_, settings=replace(QUICK, precision="bf16"))
    interrupted(begun, tmp_path / "student")
    assert steps_of(request_, tmp_path / "student") == list(range(1, 9))
    assert "changed: precision: bf16 before, fp32 now" in caplog.text


def test_a_student_within_its_data_is_refused(request_, folders, tmp_path):
    data = copied(folders, tmp_path, "validation")
    with pytest.raises(InputError, match=r"lies inside .*, which this command reads"):
        distill_folder(replace(request_, validation=data), data / "student")
    assert not list(data.glob("student*"))


@pytest.mark.slow  # four trainings
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


@pytest.mark.slow  # two trainings
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

    with pytest.raises(InputError, match="delete this one yourself"):
        distill_folder(request_, out, progress=meanwhile)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]
    assert (tmp_path / "student.work").exists() == trained
    if trained:
        (out / "notes.txt").unlink()
        assert steps_of(request_, out) == []


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
        if runs.may_be_in_place(work):
            raise Stop
        real(work)

    out = tmp_path / "student"
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(runs, "empty", stop)
        distill_folder(replace(request_, test=None), out)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".student.work.finished.json",
        "student",
        "student.work",
    ]
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
