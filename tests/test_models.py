"""Saved models of either kind, from a folder and from the Hub."""

import json
import shutil
from dataclasses import replace

import huggingface_hub
import pytest
import torch

import frugalseg
from frugalseg import InputError, SegmentationFolder, Segmenter, load_backbone, load_model
from frugalseg.classifier.training import PROTOCOLS
from frugalseg.data.toy.dataset import TOY_CLASSES
from frugalseg.jobs.evaluate import evaluate_folder
from frugalseg.jobs.predict import predict_folder
from frugalseg.students.network import NetworkSpec, new_network
from frugalseg.students.student import Student, View


@pytest.fixture(scope="module")
def saved(toy_train, tmp_path_factory):
    """A folder with a model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    quick = replace(PROTOCOLS["default"], steps=10)
    backbone = load_backbone("colour", native_size=(24, 24))
    Segmenter(backbone, members=2, protocol=quick).fit(SegmentationFolder(toy_train)).save_pretrained(folder / "s")
    network = new_network(NetworkSpec("unet", "mobilenet_v2", 3, len(TOY_CLASSES)), 0)
    Student(network, TOY_CLASSES, View((48, 48))).save_pretrained(folder / "student")
    return folder


def test_either_kind_is_loaded_as_what_it_is(saved):
    for name, kind in (("s", Segmenter), ("student", Student)):
        model = load_model(saved / name)
        assert type(model) is kind and model.device == torch.device("cpu") and model.classes == TOY_CLASSES
        assert model.fingerprint() == load_model(str(saved / name)).fingerprint()
    assert frugalseg.load_model is load_model


def test_a_student_is_no_segmenter(saved):
    with pytest.raises(InputError, match=r"student: holds a student, not a segmenter; use frugalseg\.load_model"):
        Segmenter.from_pretrained(saved / "student")
    with pytest.raises(InputError, match="holds no student"):
        Student.from_pretrained(saved / "s")


def test_a_kind_of_a_later_version_is_refused(saved, tmp_path):
    shutil.copytree(saved / "s", tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "kind": "oracle"}))
    for load in (load_model, Segmenter.from_pretrained):
        with pytest.raises(InputError, match="oracle"):
            load(tmp_path / "model")


@pytest.mark.parametrize("kind", ["s", "student"])
def test_a_command_asks_the_hub_once(kind, saved, toy_test, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name: (asked.append(name), saved / kind)[1])
    for out in ("page", "page"):
        evaluate_folder("someone/model", toy_test, tmp_path / out)
    assert predict_folder("someone/model", toy_test / "images", tmp_path / "masks") == 3
    assert asked == ["someone/model"] * 3
