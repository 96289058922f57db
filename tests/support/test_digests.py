"""Digests stand in records on disk: each value here was computed with the code that wrote the first of them."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from frugalseg.backbones import load_backbone
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.data.classes import ClassTable
from frugalseg.segmenter import Segmenter
from frugalseg.support import digests
from frugalseg.synthetic.sources import Photographs


def filled(network, period):
    """Weights that depend on nothing but their order."""
    with torch.no_grad():
        for number, values in enumerate(network.state_dict().values()):
            values.copy_(torch.arange(values.numel()).reshape(values.shape) % period + number)
    return network


@pytest.fixture
def two_files(tmp_path):
    for name, content in (("a.png", b"abc"), ("b.png", b"defgh")):
        (tmp_path / name).write_bytes(content)
    return [tmp_path / "a.png", tmp_path / "b.png"]


def test_json_values():
    settings = {"sampler": "ddim", "sampling_steps": 2, "a": [1, None, 0.5], "é": {"b": True}}
    assert digests.values(settings) == "4f8d2d6dcc5702b2"
    assert digests.values(dict(reversed(settings.items()))) == "4f8d2d6dcc5702b2"


def test_a_text():
    assert digests.text(json.dumps({"b": 1, "a": [1, 2]})) == "4df8f5da3554d497"
    assert digests.text("null") == "74234e98afe7498f"


def test_weights():
    network = filled(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).half(), 1000)
    assert digests.network(network) == "da26695c6fce3c9c"
    with torch.no_grad():
        network[0].bias[0] += 1
    assert digests.network(network) != "da26695c6fce3c9c"


def test_names_and_sizes_of_files(two_files):
    assert digests.names_and_sizes(two_files) == "ce6ada2787b7363a"
    assert digests.names_and_sizes(two_files[:1]) != "ce6ada2787b7363a"
    two_files[0].write_bytes(b"longer")
    assert digests.names_and_sizes(two_files) != "ce6ada2787b7363a"


def test_contents_of_files(two_files):
    assert digests.contents(two_files) == "ca3ae096e3f12fe0a4f02cefa74be48840cabd480f1359467bb05d74a32a7517"
    assert digests.file(two_files[0]) == hashlib.sha256(b"abc").hexdigest()


def test_a_folder_is_all_of_its_files_but_what_file_managers_leave(two_files):
    place = two_files[0].parent
    assert digests.folder(place) == digests.contents(two_files)
    (place / "inner").mkdir()
    for path in (
        place / ".DS_Store",
        place / "inner" / "Thumbs.db",
        place / "inner" / "._b.png",
        place / "desktop.ini",
    ):
        path.write_bytes(b"x")
    assert digests.folder(place) == digests.contents(two_files)
    (place / "inner" / ".hidden").write_bytes(b"x")
    assert digests.folder(place) != digests.contents(two_files)
    assert digests.folder(two_files[0]) == digests.contents(two_files[:1])


def test_pixels():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert digests.pixels(image).hex() == "b3b31f806a2cc9ba175f758279abebd2"
    assert digests.pixels(image.reshape(4, 2, 3)) != digests.pixels(image)


def test_photographs(two_files):
    assert Photographs(two_files[0].parent).settings()["images"] == "a8c74e89a2e6ebe9"
    try:
        two_files[1].rename(Path(os.fsdecode(os.fsencode(two_files[0].parent) + b"/caf\xe9.png")))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert Photographs(two_files[0].parent).settings()["images"] == "08b46f36b75d5529"


def test_a_model():
    """Sets that were begun with it go on: no setting of the classifier may be added without thinking of that."""
    model = Segmenter(load_backbone("colour"), members=2, seed=3, smoothing=0)
    model.classes = ClassTable((0, 1), ("sky", "tree"), ((0, 0, 0), (0, 255, 0)))
    model.classifier = filled(PixelClassifier([5], 2, 2), 7)
    assert model.fingerprint() == "fe8748d3eb049f1a"
