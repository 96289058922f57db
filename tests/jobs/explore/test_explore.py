"""An exploration from the command line: figures, files and pictures; what a kill costs; one line for mistakes."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frugalseg import SegmentationFolder, Segmenter, load_backbone
from frugalseg.classifier.protocol import PROTOCOLS
from frugalseg.features.clusters import renumbered
from frugalseg.jobs.explore.corruptions import CLEAN, Robustness
from frugalseg.jobs.explore.folder import Exploration, explore_folder
from frugalseg.jobs.explore.models import Found
from frugalseg.jobs.explore.page import figure
from frugalseg.jobs.explore.request import SUBJECTS, ExploreRequest, ExploreSettings
from frugalseg.jobs.explore.taps import pictured_taps, spread
from frugalseg.jobs.request import FitRequest
from frugalseg.metrics.confusion import ConfusionMatrix
from frugalseg.selection.cross_validation import cross_validate
from frugalseg.support.errors import InputError
from tests.cli.helpers import mistake, run
from tests.data.helpers import data_folder, halves
from tests.report.reading import check_offline

QUICK = {"protocol": replace(PROTOCOLS["default"], steps=10)}


@pytest.fixture(autouse=True)
def coarse_plots(monkeypatch):
    monkeypatch.setattr("frugalseg.report.plots.DPI", 40)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def request_for(data, checkpoint, *, test=None, options=None, **settings):
    fit = FitRequest(data, "ddpm", str(checkpoint), options or {}, QUICK)
    return ExploreRequest(fit, ExploreSettings(**{"folds": 2, "members": 1, **settings}), test)


def test_all_at_once(toy_train, tiny_ddpm, tmp_path):
    options = {"timesteps": (50, 300), "blocks": (1, 2)}
    looked_at = {"what": ("all",), "members": 2, "runs": 2, "sizes": (1, 2), "clusters": (3,), "pictures": 1}
    seen, out = [], tmp_path / "out"
    request = request_for(toy_train, tiny_ddpm, options=options, **looked_at)
    found = explore_folder(request, out, progress=lambda *said: seen.append(said))
    # Two steps of two blocks, whose maps were computed step by step, and then those of the model.
    taps = rows(out / "taps.csv")
    assert [row["tap"] for row in taps] == [f"t{t}.block{b}" for t in (50, 300) for b in (1, 2)]
    assert [done for stage, done, total in seen if stage == "features" and done < total] == [0, 1, 2, 3] * 3
    one = Segmenter(load_backbone("ddpm", tiny_ddpm, timesteps=(300,), blocks=(1,)), smoothing=0, **QUICK)
    expected = cross_validate(one, SegmentationFolder(toy_train), 2, members=2)
    assert float(taps[2]["miou"]) == pytest.approx(expected.miou, abs=2e-3)
    assert (taps[2]["timesteps"], taps[2]["blocks"], taps[2]["channels"]) == ("300", "1", "16")
    assert float(taps[2]["low"]) <= float(taps[2]["miou"]) <= float(taps[2]["high"])
    for subject in ("images", "members"):
        places = [(row[subject], row["run"]) for row in rows(out / f"{subject}.csv")]
        assert places == [("1", "0"), ("2", "0"), ("1", "1"), ("2", "1")]
    risk = rows(out / "uncertainty.csv")
    assert risk[-1]["risk"] == risk[-1]["risk without an order"] and len(risk) == 100
    assert len(rows(out / "uncertainty_images.csv")) == 4
    picture = Image.open(out / "pictures" / "k3" / "t300.block2.0.png")
    assert picture.size == (48, 48) and np.unique(np.asarray(picture)).tolist() == [0, 1, 2]
    assert Image.open(out / "pictures" / "pca" / "t50.block1.0.png").mode == "RGB"
    page = found.page.read_text()
    for words in ("Every tap alone", "3 clusters", "principal comp", "Annotated images", "Members of", "Uncertainty"):
        assert words in page
    assert {path.stem for path in (out / "plots").iterdir()} >= {"taps", "taps_lines", "images", "uncertainty"}
    assert not (out / "maps").exists() and "taps 4 of 4" in (out / "explore.log").read_text()
    assert len(found.summary()) == 4 + 3


def test_what_is_there_is_not_computed_again(toy_train, tiny_ddpm, tmp_path):
    options, out = {"timesteps": (50, 300), "blocks": (1,)}, tmp_path / "out"
    request, seen = request_for(toy_train, tiny_ddpm, options=options, what=("taps",)), []
    explore_folder(request, out)
    before = (out / "taps.csv").read_bytes()
    (out / "scores" / "taps" / "t300.block1.json").unlink()
    explore_folder(request, out, progress=lambda *said: seen.append(said))
    assert (out / "taps.csv").read_bytes() == before
    assert [done for stage, done, total in seen if stage == "features" and done < total] == [0, 1, 2, 3]
    with pytest.raises(InputError, match="exists and is not empty"):
        explore_folder(request_for(toy_train, tiny_ddpm, what=("images",)), out)


def test_a_test_folder_is_what_is_tested(toy_train, toy_test, tmp_path):
    fit = FitRequest(toy_train, "filters", None, {"scales": (1.0, 5.0)}, {**QUICK, "smoothing": 0})
    settings = ExploreSettings(what=("taps", "uncertainty"), members=2)
    found = explore_folder(ExploreRequest(fit, settings, toy_test), tmp_path / "out")
    model = Segmenter(load_backbone("filters", scales=(5.0,)), members=2, smoothing=0, **QUICK)
    expected = model.fit(SegmentationFolder(toy_train)).evaluate(SegmentationFolder(toy_test))
    assert found.taps[1].miou == pytest.approx(expected.confusion.miou(), abs=2e-3)
    assert [image.name for image in found.found.uncertainty.images] == SegmentationFolder(toy_test).names
    assert "4 annotated images to learn from, 3 to test on" in found.page.read_text()


def test_a_backbone_whose_taps_no_option_chooses_is_explored_as_it_comes(toy_train, tmp_path, capsys):
    code, out, err = run(
        *("explore", toy_train, "--backbone", "colour", "--native-size", "16x16", "--what", "taps"),
        *("--members", 1, "--folds", 2, "-o", tmp_path / "out", "--device", "cpu"),
        capsys=capsys,
    )
    assert code == 0, err
    assert "2 taps alone; 4 images: about" in err and "colour: mIoU" in out
    assert [row["tap"] for row in rows(tmp_path / "out" / "taps.csv")] == ["colour", "position"]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["command"] == "explore"


def test_the_first_tap_gives_the_clusters_their_colors_whatever_its_step(toy_train, tiny_ddpm, tmp_path):
    """Steps are computed from the lowest on; the same maps get the same numbers, whichever tap is named first."""
    options, found = {"timesteps": (50, 300), "blocks": (1,)}, {}
    for first, second in (("t50.block1", "t300.block1"), ("t300.block1", "t50.block1")):
        asked = {"what": ("taps", "clusters"), "clusters": (4,), "pictures": 2, "taps": (first, second)}
        out = tmp_path / first
        explore_folder(request_for(toy_train, tiny_ddpm, options=options, **asked), out)
        found[first] = {
            tap: np.stack([np.asarray(Image.open(out / "pictures" / "k4" / f"{tap}.{n}.png")) for n in range(2)])
            for tap in (first, second)
        }
    for first, second in (("t50.block1", "t300.block1"), ("t300.block1", "t50.block1")):
        by_itself = found[second][second]
        expected = np.stack(renumbered(list(by_itself), list(found[first][first]), 4))
        assert np.array_equal(found[first][second], expected) and not np.array_equal(expected, by_itself)


def test_taps_to_be_pictured_are_spread_over_all(tiny_ddpm):
    assert spread(list(range(18))) == [2, 6, 11, 15] and spread([7, 8]) == [7, 8]
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=tuple(range(0, 600, 100)), blocks=(0, 1))
    assert [tap.name for tap in pictured_taps(backbone.taps, None)] == [
        f"t{t}.block{b}" for t in (0, 200, 300, 500) for b in (0, 1)
    ]
    assert [tap.name for tap in pictured_taps(backbone.taps, ("t100.block1",))] == ["t100.block1"]


def test_what_has_no_effect_is_said(toy_train, toy_test, tmp_path, capsys):
    common = ("explore", toy_train, "--backbone", "colour", "--native-size", "16x16", "--members", 1, "--device", "cpu")
    idle = ("--clusters", 3, "--pictures", 2, "--severities", "1,2", "--folds", 2, "--runs", 1)
    code, _, err = run(*common, "--what", "taps", "--test", toy_test, *idle, "-o", tmp_path / "out", capsys=capsys)
    assert code == 0, err
    assert (
        "without effect here: --runs (for --what images,members,source), --clusters (for --what clusters), --pictures "
        "(for --what clusters), --severities (for --what corruptions) and --folds (for no --test)\n"
    ) in err
    asked = ("--what", "taps,clusters", "--folds", 2, "--clusters", 3)
    code, _, err = run(*common, *asked, "-o", tmp_path / "other", capsys=capsys)
    assert code == 0 and "without effect" not in err


def test_a_single_image_to_test_on_has_no_interval(toy_train, toy_test, tmp_path):
    test = tmp_path / "test"
    shutil.copytree(toy_test, test)
    for path in sorted((test / "images").iterdir())[1:]:
        path.unlink()
        (test / "masks" / path.name).unlink()
    fit = FitRequest(toy_train, "colour", None, {"native_size": (16, 16)}, QUICK)
    request = ExploreRequest(fit, ExploreSettings(("taps",), members=1), test)
    for _ in range(2):  # what is there is read again
        found = explore_folder(request, tmp_path / "out")
        assert all(np.isnan([score.low, score.high]).all() and score.miou > 0 for score in found.taps)
        assert not any("interval" in words for words in found.summary())
    assert [(row["low"], row["high"]) for row in rows(tmp_path / "out" / "taps.csv")] == [("", "")] * 2


MISTAKES = [
    ("--what tap", "--what tap: give any of taps, clusters, images, members, uncertainty, corruptions, source"),
    ("--what images --sizes 3", "--sizes 3: there are 2 annotated images to learn from; give numbers from 1 to 2"),
    ("--folds 5", "5 folds of 4 annotated images; give from 2 to 4 folds"),
    ("--taps scale9", "--taps scale9: no such tap; there are scale0.7"),
    ("--clusters 1", "give a whole number from 2 to 254"),
    ("--members 0", "give a whole number from 1 to 1000"),
    ("--backbone colour --scales 1", "an option of filters, not of colour"),
    ("--test nowhere", "nowhere"),
    ("--test loop", "loop"),
    ("--what taps --sizes 2", "--sizes: is for --what images; add that, or leave it out"),
    ("--what images --taps scale1", "--taps: is for --what clusters"),
    ("--corruptions fog", "--corruptions: is for --what corruptions"),
]


@pytest.mark.parametrize(("words", "line"), MISTAKES)
def test_mistakes_are_told_in_one_line(words, line, toy_train, tmp_path, capsys):
    family = () if "--backbone" in words else ("--backbone", "filters")
    common = () if "--folds" in words else ("--folds", "2")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    words = words.replace("loop", str(tmp_path / "loop"))
    found = mistake("explore", toy_train, *family, *common, *words.split(), "-o", tmp_path / "out", capsys=capsys)
    assert line in found
    assert not (tmp_path / "out").exists()


def test_more_clusters_than_values_are_refused(toy_train, tiny_ddpm, tmp_path):
    request = request_for(toy_train, tiny_ddpm, what=("clusters",), clusters=(200,), pictures=1, taps=("t50.block0",))
    with pytest.raises(InputError, match=r"--clusters 200: t50.block0 has \d+ values on 1 image; give at most"):
        explore_folder(request, tmp_path / "out")


COLOUR = ("--backbone", "colour", "--native-size", "16x16", "--members", 1, "--device", "cpu")


def test_small_regions_are_refused_before_the_features_and_learned_on_demand(tmp_path, capsys):
    few = np.full((12, 16), 255, np.uint8)
    few[0, :5] = 1
    data, out = data_folder(tmp_path / "data", [few, halves(0, 1)]), tmp_path / "out"
    asked = ("explore", data, *COLOUR, "--what", "taps", "--folds", 2)
    said = mistake(*asked, "-o", out, capsys=capsys)
    assert "only classes with fewer than 20 pixels" in said and "give a smaller number as --small-regions" in said
    assert not out.exists()
    code, _, err = run(*asked, "--small-regions", 5, "-o", out, capsys=capsys)
    assert code == 0, err
    # Explorations of earlier versions go on, whose records do not name the usual limit.
    code, _, err = run("explore", data, *COLOUR, "--what", "clusters", "-o", tmp_path / "usual", capsys=capsys)
    assert code == 0, err
    recorded = [json.loads((folder / "run.json").read_text())["settings"] for folder in (out, tmp_path / "usual")]
    assert recorded[0].pop("small_region") == 5 and recorded[0] == recorded[1]


def test_clusters_need_nothing_to_learn_from(tmp_path, capsys):
    """A single image is enough, and what only classifiers need is said to have no effect."""
    data, test = (data_folder(tmp_path / name, [halves(0, 1)], start) for start, name in enumerate(("data", "test")))
    out = tmp_path / "out"
    asked = ("explore", data, *COLOUR, "--what", "clusters", "--clusters", 2, "--folds", 4, "--test", test)
    code, _, err = run(*asked, "-o", out, capsys=capsys)
    assert code == 0, err
    trained = "for --what taps,images,members,uncertainty,corruptions,source"
    assert f"without effect here: --test ({trained}), --folds ({trained}) and --members ({trained})\n" in err
    assert '<p class="lead">1 annotated image.</p>' in (out / "index.html").read_text()
    assert Image.open(out / "pictures" / "k2" / "colour.0.png").size == (16, 12)


def test_the_mask_of_a_large_image_keeps_the_colors_of_its_classes(tmp_path):
    data = data_folder(tmp_path / "data", [halves(0, 1, 16, 1400)])
    fit = FitRequest(data, "colour", None, {"native_size": (16, 16)}, QUICK)
    page = explore_folder(ExploreRequest(fit, ExploreSettings(("clusters",), clusters=(2,))), tmp_path / "out").page
    _, truth, *_ = check_offline(page.read_text(encoding="utf-8")).pictures()
    colors = np.unique(np.asarray(truth.convert("RGB")).reshape(-1, 3), axis=0)
    assert truth.size == (320, 4) and {*map(tuple, colors.tolist())} == {*SegmentationFolder(data).classes.colors}


def test_what_is_no_number_is_a_dash():
    assert figure(float("nan"), 3) == "–" and figure(0.12345, 3) == "0.123"
    wrong = {case: ConfusionMatrix(2).update([0, 1], [1, 0]) for case in (CLEAN, ("fog", 1))}
    found = Exploration([], Found(corruptions=Robustness(("fog",), (1,), wrong)), Path("index.html"))
    assert found.summary() == ["corrupted images: mIoU 0.0 on average, 0.0 without corruption; a relative drop of – %"]


def test_every_subject_is_in_the_help(capsys):
    code, out, _ = run("explore", "--backbone", "filters", "--help", capsys=capsys)
    assert code == 0 and all(subject in out for subject in SUBJECTS) and "--scales" in out
