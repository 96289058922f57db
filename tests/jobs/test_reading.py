"""How often the commands read their input: a folder is searched once, an image decoded once."""

from collections import Counter
from pathlib import Path

import pytest

from frugalseg.data import images, masks, opened
from frugalseg.data.exports import coco as reader
from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.jobs.evaluate import evaluate_folder
from frugalseg.jobs.fit import FitRequest, fit_folder
from frugalseg.jobs.predict import predict_folder
from tests.data.exports.helpers import coco, square
from tests.data.helpers import picture, save_image
from tests.jobs.test_resume import QUICK

COUNT = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_toy_folder(folder, COUNT, seed=1)
    return folder


@pytest.fixture
def decoded(monkeypatch):
    """How often each image has been decoded: `read_image` ends in `rgb_of`, whoever has imported it."""
    counts = Counter()
    real = images.rgb_of
    monkeypatch.setattr(images, "rgb_of", lambda image, path: (counts.update([path.name]), real(image, path))[1])
    return counts


@pytest.fixture
def masks_decoded(monkeypatch):
    counts = Counter()
    real = masks._read_picture
    monkeypatch.setattr(
        masks, "_read_picture", lambda path, classes: (counts.update([path.name]), real(path, classes))[1]
    )
    return counts


def request_for(data, **settings):
    backbone = {"native_size": (16, 16)}
    return FitRequest(data, "colour", None, backbone, {"protocol": QUICK, "members": 2, **settings})


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("with_classes", [False, True])
def test_every_image_is_decoded_once(mirror, with_classes, data, decoded, masks_decoded, tmp_path):
    once = {f"{number:06d}.png": 1 for number in range(COUNT)}
    table = data / "classes.json"
    assert table.exists()
    if not with_classes:
        table.rename(data.parent / "away.json")
    try:
        fit_folder(request_for(data, mirror=mirror), tmp_path / "model")
    finally:
        if not with_classes:
            (data.parent / "away.json").rename(table)
    assert decoded == masks_decoded == once
    for counts in (decoded, masks_decoded):
        counts.clear()
    evaluate_folder(tmp_path / "model", data, tmp_path / "page")
    assert decoded == masks_decoded == once
    decoded.clear()
    predict_folder(tmp_path / "model", data / "images", tmp_path / "masks")
    assert decoded == once


@pytest.mark.parametrize("mirror", [False, True])
def test_of_a_folder_too_large_to_keep_the_first_images_are_decoded_once(mirror, data, decoded, tmp_path, monkeypatch):
    """An image and its mask take 48 * 48 * (3 + 1) bytes; the others are decoded as often as they are needed."""
    monkeypatch.setattr("frugalseg.jobs.fit.KEPT", 2 * 48 * 48 * 4)
    fit_folder(request_for(data, mirror=mirror), tmp_path / "model")
    assert sorted(decoded.values()) == [1, 1] + [3 if mirror else 2] * (COUNT - 2)


def test_a_coco_file_is_parsed_once(tmp_path, monkeypatch):
    for number in range(3):
        save_image(tmp_path / "data" / f"{number}.png", picture(number))
    objects = [(number, 1 + number % 2, [square(2, 1, 3 + number)]) for number in (1, 2, 3)]
    names = [f"{number}.png" for number in range(3)]
    file = coco(tmp_path / "data" / "_annotations.coco.json", names, objects, {1: "cell", 2: "axon"})
    parsed: list[Path] = []
    real = reader.read_json
    monkeypatch.setattr(reader, "read_json", lambda path: (parsed.append(path), real(path))[1])
    searched: list[Path] = []
    find = opened.find_layout
    monkeypatch.setattr(opened, "find_layout", lambda path: (searched.append(path), find(path))[1])
    fit_folder(request_for(tmp_path / "data", small_region=0), tmp_path / "model")
    assert parsed == [file] and searched == [tmp_path / "data"]
    evaluate_folder(tmp_path / "model", tmp_path / "data", None)
    assert parsed == [file] * 2 and len(searched) == 2
