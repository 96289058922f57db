"""What `distill` refuses before it trains, and which samples it keeps."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from frugalseg.data.classes import ClassTable
from frugalseg.data.masks import write_mask
from frugalseg.data.toy.dataset import TOY_CLASSES
from frugalseg.jobs.distill import DistillRequest, distill_folder, run
from frugalseg.students.student import Student
from frugalseg.support.errors import InputError
from frugalseg.support.files import read_json
from tests.cli.test_cli import mistake
from tests.jobs.distill.helpers import QUICK, copied


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
