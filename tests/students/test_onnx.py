"""The exported file gives users of onnxruntime what torch gives: any batch and size, from pictures as they are."""

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from frugalseg.data.toy.dataset import TOY_CLASSES, toy_example
from frugalseg.students import onnx_export
from frugalseg.students.network import NetworkSpec, new_network
from frugalseg.students.onnx_export import OnnxNetwork, export_onnx, largest_difference
from frugalseg.students.student import Student, View
from frugalseg.support.errors import InputError, WorkError


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    return Student(new_network(NetworkSpec("unet", "resnet18", 3, 10), 0), TOY_CLASSES, View((48, 48)))


@pytest.fixture(scope="module")
def file(student, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "student.onnx"
    assert export_onnx(student, path) < 1e-4
    assert [p.name for p in path.parent.iterdir()] == ["student.onnx"]
    return path


@pytest.mark.parametrize("shape", [(1, 48, 48), (3, 48, 48), (2, 8, 80), (1, 104, 56)])
def test_any_batch_and_size(student, file, shape):
    session = onnxruntime.InferenceSession(file)
    images = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    (found,) = session.run(["probabilities"], {"images": images})
    with torch.no_grad():
        expected = student.network(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).softmax(1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_file_answers_as_predict_does(student, file):
    image = toy_example(1, 0).image
    (found,) = onnxruntime.InferenceSession(file).run(None, {"images": image[None]})
    np.testing.assert_allclose(found[0], next(student.predict([image])).probabilities, atol=1e-4)


def test_the_file_says_what_its_user_must_know(file):
    facts = onnxruntime.InferenceSession(file).get_modelmeta().custom_metadata_map
    assert facts["classes"].split("\n") == list(TOY_CLASSES.names)
    assert facts["ids"].split() == [str(i) for i in TOY_CLASSES.ids]
    assert (facts["stride"], facts["trained_size"]) == ("8", "48x48")


def test_missing_packages_are_named(monkeypatch, student, tmp_path):
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"onnx, onnxscript, onnxruntime; run: pip install --upgrade 'frugalseg\[onnx\]'"
    ):
        export_onnx(student, tmp_path / "student.onnx")


def test_packages_that_are_too_old_or_broken_are_named(monkeypatch, student, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(onnx_export, "version", lambda name: "0.5.9" if name == "onnxscript" else "99.0")
        with pytest.raises(InputError, match=r"onnxscript 0\.5\.9 \(from 0\.6 on\); run: pip install --upgrade"):
            export_onnx(student, tmp_path / "student.onnx")
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: name)  # it is there,
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # but importing it fails
    with pytest.raises(InputError, match=r"cannot load what it needs \(.*onnxruntime.*\); run: pip install"):
        export_onnx(student, tmp_path / "student.onnx")
    assert not list(tmp_path.iterdir())


def test_the_oldest_packages_are_those_that_the_package_asks_for():
    text = (Path(onnx_export.__file__).parents[2] / "pyproject.toml").read_text()
    asked = dict(re.findall(r'"(onnx\w*)>=([\d.]+)"', text))
    assert asked == {name: f"{major}.{minor}" for name, (major, minor) in onnx_export.PACKAGES.items()}


@pytest.mark.skipif(sys.platform != "linux", reason="names are always Unicode there")
def test_a_file_in_a_folder_whose_name_is_no_utf_8_is_checked(student, file, tmp_path):
    place = tmp_path / os.fsdecode(b"caf\xe9") / "student.onnx"
    place.parent.mkdir()
    shutil.copy(file, place)
    assert largest_difference(OnnxNetwork(student).eval(), place, [(1, 48, 48)]) < 1e-4


def test_a_file_that_answers_otherwise_is_not_written(monkeypatch, file, tmp_path):
    """The file of one student in the place of another's."""
    other = Student(new_network(NetworkSpec("unet", "resnet18", 3, 10), 1), TOY_CLASSES, View((48, 48)))
    monkeypatch.setattr(onnx_export, "write", lambda network, student, path: shutil.copy(file, path))
    with pytest.raises(WorkError, match="differ"):
        export_onnx(other, tmp_path / "student.onnx")
    assert not list(tmp_path.iterdir())
