"""An exploration goes on over what somebody has changed in its folder; and images of other than three channels."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from frugalseg.data.channels import ChannelChoice
from frugalseg.data.classes import ClassTable
from frugalseg.jobs.explore.folder import explore_folder
from frugalseg.jobs.explore.request import ExploreRequest, ExploreSettings
from frugalseg.jobs.request import FitRequest
from frugalseg.support.damage import DamagedError
from frugalseg.support.errors import InputError
from tests.data.helpers import data_folder, halves
from tests.jobs.explore.test_explore import QUICK

PARTS = {
    "taps/colour.json": (b"[1]", b'{"miou": 2, "low": 0, "high": 1, "class_iou": [1, 1]}', b'{"miou": 0.5'),
    "corruptions/fog-1-0.json": (b"[[1]]", b"[[1, -1], [0, 0], [0, 0]]", b"[[1, 2, 3], [1, 2, 3]]"),
    "images/1-0.json": (b"7.5", b"true", b'"x"', b"NaN", b"0."),
    "uncertainty/0.json": (b"{}", b'{"images": [], "risk": {"greatest": 1, "counts": [[1]]}}'),
}


@pytest.fixture
def request_and_place(tmp_path, monkeypatch):
    monkeypatch.setattr("frugalseg.report.plots.DPI", 40)
    data = data_folder(tmp_path / "data", [halves(0, 1), halves(1, 0), halves(0, 1)])
    for number, path in enumerate(sorted((data / "images").iterdir())):
        values = np.random.default_rng(number).integers(0, 65536, (12, 16)).astype(np.uint16)
        Image.fromarray(values).save(path)
    fit = FitRequest(data, "colour", None, {"native_size": (16, 16)}, QUICK, channels=ChannelChoice((1,)))
    what = ("taps", "clusters", "images", "uncertainty", "corruptions")
    settings = ExploreSettings(
        what, folds=2, members=1, runs=1, sizes=(1,), clusters=(2,), corruptions=("fog",), severities=(1,), pictures=1
    )
    return ExploreRequest(fit, settings), tmp_path / "out"


def test_what_was_changed_is_named_and_pictures_are_drawn_again(request_and_place):
    request, out = request_and_place
    page = explore_folder(request, out).page.read_bytes()
    for name, contents in PARTS.items():
        path = out / "scores" / name
        sound = path.read_bytes()
        for content in contents:
            path.write_bytes(content)
            with pytest.raises(DamagedError, match="delete it, and run the same command again") as refused:
                explore_folder(request, out)
            assert str(refused.value).startswith(str(path))
        path.write_bytes(sound)
    first, second = (out / "pictures" / "k2" / f"{tap}.0.png" for tap in ("colour", "position"))
    sound = first.read_bytes()
    first.write_bytes(sound[:40])
    Image.new("P", (3, 3)).save(second)
    assert explore_folder(request, out).page.read_bytes() == page and first.read_bytes() == sound


def test_other_classes_of_the_images_to_test_on_are_another_exploration(request_and_place, tmp_path):
    request, out = request_and_place
    test = data_folder(tmp_path / "test", [halves(0, 1)])
    Image.fromarray(np.full((12, 16), 9, np.uint16)).save(test / "images" / "000.png")
    names, colors = ("left", "right"), ((0, 0, 0), (9, 9, 9))
    for folder in (request.fit.data, test):
        ClassTable((0, 1), names, colors).to_json(folder / "classes.json")
    asked = replace(request, test=test, explore=ExploreSettings(("taps",), members=1))
    page = explore_folder(asked, out).page
    record, before = out / "run.json", page.read_bytes()
    # A record of an earlier version says nothing of them.
    for values in (json.loads(record.read_text()),) * 2:
        assert explore_folder(asked, out).page.read_bytes() == before
        record.write_text(json.dumps({name: value for name, value in values.items() if name != "tables"}))
    record.write_text(json.dumps(values))
    ClassTable((1, 0), names, colors).to_json(test / "classes.json")
    with pytest.raises(InputError, match="exists and is not empty"):
        explore_folder(asked, out)
    assert explore_folder(asked, out, overwrite=True).page.read_bytes() != before


def test_images_whose_names_are_no_utf8(request_and_place):
    request, out = request_and_place
    for folder in ("images", "masks"):
        path = request.fit.data / folder / "000.png"
        try:
            path.rename(os.fsdecode(os.fsencode(path.parent) + b"/caf\xe9.png"))
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
    asked = replace(request, explore=ExploreSettings(("clusters", "uncertainty"), folds=2, members=1, clusters=(2,)))
    page = explore_folder(asked, out).page.read_bytes()
    assert b"caf?" in page and explore_folder(asked, out).page.read_bytes() == page
    assert "caf?" in (out / "uncertainty_images.csv").read_text(encoding="utf-8")


def test_the_folder_one_stands_in_has_a_name(request_and_place, monkeypatch):
    request, out = request_and_place
    monkeypatch.chdir(request.fit.data)
    here = replace(request.fit, data=request.fit.data.relative_to(request.fit.data))
    page = explore_folder(replace(request, fit=here, explore=ExploreSettings(("taps",), folds=2, members=1)), out).page
    assert "<h1>colour on data</h1>" in page.read_text()
