"""Corrupted test images and sources to learn from, from the command line and in Python; what a kill costs."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from frugalseg import SegmentationFolder, Segmenter, load_backbone
from frugalseg.classifier.protocol import PROTOCOLS
from frugalseg.data.corruptions.corrupt import Corrupted
from frugalseg.data.corruptions.names import CORRUPTIONS
from frugalseg.data.subset import Subset
from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.jobs.explore.folder import explore_folder
from frugalseg.jobs.explore.request import ExploreRequest, ExploreSettings
from frugalseg.jobs.request import FitRequest
from frugalseg.selection.folds import splits_of
from frugalseg.support.errors import InputError
from tests.cli.helpers import mistake, run
from tests.data.helpers import data_folder
from tests.jobs.explore.test_explore import rows

STEPS = {"protocol": replace(PROTOCOLS["default"], steps=10), "smoothing": 0}
OPTIONS = {"scales": (1.0, 5.0)}


@pytest.fixture(autouse=True)
def coarse_plots(monkeypatch):
    monkeypatch.setattr("frugalseg.report.plots.DPI", 40)


@pytest.fixture
def generated(tmp_path):
    folder = tmp_path / "generated"
    write_toy_folder(folder, 2, seed=1, first=500)
    return folder


def request_for(data, test=None, sources=None, **settings):
    fit = FitRequest(data, "filters", None, OPTIONS, STEPS)
    return ExploreRequest(fit, ExploreSettings(**{"members": 1, "folds": 2, **settings}), test, sources or {})


def fitted(images, classes=None, **settings):
    model = Segmenter(load_backbone("filters", **OPTIONS), members=1, **STEPS, **settings)
    return model.fit(images, classes=classes)


def test_each_corruption_and_severity_is_what_a_model_makes_of_these_images(toy_train, toy_test, tmp_path):
    asked = {"what": ("corruptions",), "corruptions": ("fog", "contrast"), "severities": (5, 2)}
    request, out, seen = request_for(toy_train, toy_test, **asked), tmp_path / "out", []
    found = explore_folder(request, out)
    model, test = fitted(SegmentationFolder(toy_train)), SegmentationFolder(toy_test)
    robustness = found.found.corruptions
    assert robustness.clean == pytest.approx(model.evaluate(test).confusion.miou(), abs=2e-3)
    for name, severity in (("fog", 2), ("contrast", 5)):
        expected = model.evaluate(Corrupted(test, name, severity)).confusion
        assert robustness.counts[name, severity].miou() == pytest.approx(expected.miou(), abs=2e-3)
    table = rows(out / "corruptions.csv")
    assert [(row["kind"], row["corruption"], row["severity"]) for row in table] == [
        ("", "none", "0"),
        ("weather", "fog", "2"),
        ("weather", "fog", "5"),
        ("digital", "contrast", "2"),
        ("digital", "contrast", "5"),
    ]
    drop = 1 - float(table[1]["miou"]) / robustness.clean
    assert float(table[1]["relative drop"]) == pytest.approx(drop, abs=1e-5) and "iou background" in table[0]
    assert Image.open(out / "pictures" / "corruptions" / "fog.png").size == (3 * 48, 48)
    page = found.page.read_text()
    assert "Corrupted images" in page and "severity 5" in page and "a relative drop of" in found.summary()[0]
    assert {path.stem for path in (out / "plots").iterdir()} == {f"corruptions{e}" for e in ("", "_drops", "_lines")}
    # A kill costs what was not written: the network sees the training images, and one corruption of the test images.
    before = (out / "corruptions.csv").read_bytes()
    (out / "scores" / "corruptions" / "fog-5-0.json").unlink()
    explore_folder(request, out, progress=lambda *said: seen.append(said))
    assert (out / "corruptions.csv").read_bytes() == before
    assert [done for stage, done, total in seen if stage == "features" and done < total]


def test_without_test_images_each_image_is_corrupted_for_the_classifier_that_has_not_seen_it(toy_train, tmp_path):
    asked = {"what": ("corruptions",), "corruptions": ("pixelate",), "severities": (3,)}
    found = explore_folder(request_for(toy_train, **asked), tmp_path / "out").found.corruptions
    images = SegmentationFolder(toy_train)
    total = 0
    for split in splits_of([example.target for example in images], 2, 0):
        model = fitted(Subset(images, split.train), images.classes)
        total = total + model.evaluate(Corrupted(Subset(images, split.test), "pixelate", 3)).confusion.counts
    differing = np.abs(found.counts["pixelate", 3].counts - total).sum() / total.sum()
    assert differing < 5e-3 and found.counts["pixelate", 3].counts.sum() == 4 * 48 * 48


def test_sources_are_compared_on_the_same_test_images(toy_train, toy_test, generated, tmp_path):
    sources = {"gan": generated, "real": toy_train}
    asked = {"what": ("source", "uncertainty"), "runs": 2}
    request, out = request_for(toy_train, toy_test, sources, **asked), tmp_path / "out"
    told = set()
    found = explore_folder(request, out, progress=lambda stage, done, total: told.add(stage))
    assert {"source", "uncertainty", "features"} <= told and "taps" not in told
    table = rows(out / "source.csv")
    assert [(row["source"], row["images"], row["run"]) for row in table] == [
        *(("gan", "2", run) for run in "01"),
        *(("real", "4", run) for run in "01"),
    ]
    test = SegmentationFolder(toy_test)
    for row in table:
        images = SegmentationFolder(sources[row["source"]], SegmentationFolder(toy_train).classes)
        expected = fitted(images, seed=int(row["run"])).evaluate(test).confusion.miou()
        assert float(row["miou"]) == pytest.approx(expected, abs=4e-3)
    assert "Training source" in found.page.read_text() and (out / "plots" / "source.png").is_file()
    assert found.summary()[-1].startswith("mIoU by training source: gan ")
    # The other subjects learn from the annotated images alone.
    assert [image.name for image in found.found.uncertainty.images] == test.names
    record = json.loads((out / "run.json").read_text())
    assert record["sources"] == ["gan", "real"] and "severities" not in record["explore"]


def test_the_annotated_images_are_the_first_source(toy_train, toy_test, generated, tmp_path):
    request = request_for(toy_train, toy_test, {"gan": generated}, what=("source",), runs=1)
    scores = explore_folder(request, tmp_path / "out").found.source
    assert [(score.name, score.images) for score in scores] == [(toy_train.name, 4), ("gan", 2)]
    with pytest.raises(InputError, match="the annotated images have this name"):
        request = request_for(toy_train, toy_test, {toy_train.name: generated}, what=("source",), runs=1)
        explore_folder(request, tmp_path / "other")


def test_sources_that_change_names_are_another_exploration(toy_train, toy_test, generated, tmp_path):
    out = tmp_path / "out"
    asked = {"what": ("source",), "runs": 1}
    request = request_for(toy_train, toy_test, {"a": toy_train, "b": generated}, **asked)
    first = explore_folder(request, out).found.source
    other = request_for(toy_train, toy_test, {"a": generated, "b": toy_train}, **asked)
    with pytest.raises(InputError, match="exists and is not empty"):
        explore_folder(other, out)
    # A record of an earlier version does not say which source is the annotated images.
    record = out / "run.json"
    values = json.loads(record.read_text())
    assert values.pop("own") == ["a"]
    record.write_text(json.dumps(values))
    assert explore_folder(request, out).found.source == first


def test_a_source_without_anything_to_learn_is_refused_first(toy_train, toy_test, tmp_path):
    few = np.full((48, 48), 255, np.uint8)
    few[0, :5] = 1
    source, out = data_folder(tmp_path / "few", [few]), tmp_path / "out"
    request = request_for(toy_train, toy_test, {"few": source}, what=("source",), runs=1)
    with pytest.raises(InputError, match="only classes with fewer than 20 pixels"):
        explore_folder(request, out)
    assert not out.exists()


def test_a_folder_that_stands_for_its_train_is_not_tested_on(toy_train, toy_test, generated, tmp_path):
    """The part train/ of a folder is what the folder itself stands for."""
    for name, place in (("photos", toy_train), ("others", toy_test)):
        shutil.copytree(place, tmp_path / name / "train")
        shutil.copyfile(place / "classes.json", tmp_path / name / "classes.json")
    photos, others = tmp_path / "photos", tmp_path / "others"
    for data, test in ((photos, photos / "train"), (photos / "train", photos)):
        with pytest.raises(InputError, match="is the folder of the annotated images"):
            explore_folder(request_for(data, test, {}, what=("taps",)), tmp_path / "out")
    request = request_for(photos, others, {"gan": others / "train"}, what=("source",), runs=1)
    with pytest.raises(InputError, match="--source gan: is the folder of --test"):
        explore_folder(request, tmp_path / "out")


def test_records_of_earlier_versions_are_taken_up(toy_train):
    recorded = ExploreSettings(what=("all",)).recorded()
    assert recorded["what"] == ("taps", "clusters", "images", "members", "uncertainty")
    assert {*recorded} == {"what", "folds", "members", "runs", "sizes", "taps", "clusters", "pictures", "seed"}
    assert ExploreSettings(what=("corruptions",)).recorded()["severities"] == (1, 2, 3, 4, 5)


MISTAKES = [
    ("--corruptions fogg", "--corruptions fogg: did you mean fog? give any of gaussian_noise, "),
    ("--corruptions frost", "--corruptions frost: "),
    ("--severities 0,3", "--severities 0, 3; give a whole number from 1 to 5"),
    ("--severities 6", "--severities 6; give a whole number from 1 to 5"),
    ("--what source --test {test}", "--what source: give one --source NAME=FOLDER or more"),
    ("--what source --source a={test}", "--what source: give --test FOLDER, annotated images to test all sources on"),
    ("--source a={test} --test {test}", "--source: is for --what source; add that, or leave it out"),
    ("--what source --source {test} --test {test}", "give NAME=FOLDER, such as ddpm=generated"),
    ("--what source --source a={test} --source a={test} --test {test}", "--source a: is given twice"),
    ("--what source --source a=nowhere --test {test}", "nowhere"),
    ("--what source --source a={others} --test {test}", "has classes that the model lacks: sky"),
    ("--test {empty}", "no images"),
    ("--test {data}", "is the folder of the annotated images; leave --test out"),
    ("--what source --source a={test} --test {test}", "--source a: is the folder of --test"),
]


@pytest.mark.parametrize(("words", "line"), MISTAKES)
def test_mistakes_are_told_in_one_line(words, line, toy_train, toy_test, generated, tmp_path, capsys):
    classes = json.loads((generated / "classes.json").read_text())
    classes["classes"].append({"id": 77, "name": "sky"})
    (generated / "classes.json").write_text(json.dumps(classes))
    (tmp_path / "empty" / "images").mkdir(parents=True)
    (tmp_path / "empty" / "masks").mkdir()
    words = words.format(data=toy_train, test=toy_test, others=generated, empty=tmp_path / "empty").split()
    what = () if "--what" in words else ("--what", "corruptions")
    common = ("--backbone", "filters", "--folds", 2, *what)
    found = mistake("explore", toy_train, *common, *words, "-o", tmp_path / "out", capsys=capsys)
    assert line in found and not (tmp_path / "out").exists()


def test_the_help_names_every_corruption(capsys):
    code, out, _ = run("explore", "--help", capsys=capsys)
    plain = "".join(out.replace("│", "").split())
    assert code == 0 and all(name in plain for name in CORRUPTIONS) and "NAME=FOLDER" in plain
