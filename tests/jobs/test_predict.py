"""Predict over folders in which something is wrong: what can be done is done, and the rest is named."""

import logging
import shutil
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frugalseg.data.masks import read_mask
from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.jobs.fit import FitRequest, fit_folder
from frugalseg.jobs.output import logged
from frugalseg.jobs.predict import SHOWN, Extras, predict_folder
from frugalseg.model import Model
from frugalseg.models import load_model
from frugalseg.segmenter import Segmenter
from frugalseg.support.errors import InputError, WorkError
from tests.cli.helpers import mistake, run
from tests.jobs.interrupt import Stop, stop_at
from tests.jobs.test_resume import QUICK


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict") / "data"
    write_toy_folder(folder, 4, seed=1, size=32)
    return folder


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("predict") / "model"
    fit_folder(FitRequest(data, "colour", None, {}, {"protocol": QUICK, "members": 2}), out)
    return out


@pytest.fixture
def images(data, tmp_path):
    return shutil.copytree(data / "images", tmp_path / "images")


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".png")


@pytest.mark.parametrize("batch_size", [1, 3])
def test_all_images_but_the_broken_ones_are_segmented(batch_size, model, images, tmp_path, capsys, caplog):
    out, whole = tmp_path / "masks", (images / "000001.png").read_bytes()
    (images / "000001.png").write_bytes(whole[: len(whole) // 2])
    (images / "a.jpg").write_text("no picture")
    command = ["predict", model, images, "-o", out, "--device", "cpu", "--batch-size", batch_size]
    code, _, said = run(*command, capsys=capsys)
    assert code == 1 and "Traceback" not in said
    assert "error: 2 of 5 images could not be read, the others are done" in said
    assert names(out) == ["000000.png", "000002.png", "000003.png"]
    listed = (out / "failures.txt").read_text().splitlines()
    assert len(listed) == 2 and all(line in caplog.messages for line in listed)
    assert "000001.png: cannot be read" in listed[0] and "a.jpg: not an image of a known format" in listed[1]
    (images / "a.jpg").unlink()
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    with pytest.raises(WorkError, match="1 of 4 images"):
        predict_folder(model, images, out, batch_size=batch_size)
    assert (out / "failures.txt").read_text().splitlines() == listed[:1]
    (images / "000001.png").write_bytes(whole)
    assert run(*command, capsys=capsys)[0] == 0
    assert len(names(out)) == 4 and not (out / "failures.txt").exists()
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_strict_stops_at_the_first_broken_image(model, images, tmp_path, capsys):
    (images / "000001.png").write_bytes(b"")
    said = mistake("predict", model, images, "-o", tmp_path / "masks", "--strict", "--device", "cpu", capsys=capsys)
    assert "000001.png: not an image" in said and names(tmp_path / "masks") == ["000000.png"]
    said = mistake("predict", model, images / "000001.png", "-o", tmp_path / "one", "--device", "cpu", capsys=capsys)
    assert "000001.png: not an image" in said


def test_exchanged_arguments_are_told_by_the_model(model, images, tmp_path, capsys):
    line = mistake("predict", images, model, "-o", tmp_path / "out", "--device", "cpu", capsys=capsys)
    assert "not a frugalseg model (no config.json)" in line and str(images) in line
    assert not (tmp_path / "out").exists()


def test_images_that_vanish_under_way_are_listed_and_many_failures_shown_in_part(model, images, tmp_path, caplog):
    for number in range(SHOWN + 5):
        (images / f"broken{number:02}.png").touch()
    last = [shutil.copy(images / "000002.png", images / name) for name in ("last.png", "last2.png")]

    def remove(stage, done, total):
        for path in last:
            path.unlink(missing_ok=True)

    with pytest.raises(WorkError, match=f"{SHOWN + 7} of {SHOWN + 11} images could not be read"):
        predict_folder(model, images, tmp_path / "masks", progress=remove)
    listed = (tmp_path / "masks" / "failures.txt").read_text().splitlines()
    assert len(listed) == SHOWN + 7 and "last.png: no such file" in listed[-2]
    assert len([line for line in listed if line in caplog.messages]) == SHOWN


@pytest.mark.parametrize("damage", ["empty", "cut", "zeros"])
def test_damaged_files_of_an_earlier_run_are_written_again(damage, model, images, tmp_path):
    out, extras = tmp_path / "masks", Extras(True, True, True)
    assert predict_folder(model, images, out, extras=extras) == 4
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    victims = ["000000.png", "overlays/000001.png", "uncertainty/000002.png", "probabilities/000003.npy"]
    for name in victims:
        length = len(before[out / name])
        damaged = {"empty": b"", "cut": before[out / name][: length - 6], "zeros": bytes(length)}[damage]
        (out / name).write_bytes(damaged)
    assert predict_folder(model, images, out, extras=extras) == 4
    assert {path: path.read_bytes() for path in before} == before
    assert predict_folder(model, images, out, extras=extras) == 0


def test_masks_without_an_image_are_named_and_kept(model, images, tmp_path, caplog):
    out = tmp_path / "masks"
    predict_folder(model, images, out)
    assert "no longer" not in caplog.text
    (images / "000000.png").unlink()
    (images / "000003.png").unlink()
    assert predict_folder(model, images, out) == 0
    assert "2 masks of an earlier run whose image is no longer in" in caplog.text
    assert "000000.png, 000003.png" in caplog.text and len(names(out)) == 4


def test_files_hold_what_the_model_says(model, images, tmp_path):
    predict_folder(model, images, tmp_path / "masks", extras=Extras(probabilities=True, uncertainty=True))
    loaded = load_model(model)
    for path in sorted(images.iterdir()):
        (found,) = loaded.predict(path)
        assert (read_mask(tmp_path / "masks" / path.name) == found.mask).all()
        stored = np.load(tmp_path / "masks" / "probabilities" / f"{path.stem}.npy")
        assert stored.dtype == np.float16 and (stored == found.probabilities.astype(np.float16)).all()
        grey = np.asarray(Image.open(tmp_path / "masks" / "uncertainty" / path.name))
        assert np.abs(grey / 255 * loaded.greatest_uncertainty - found.uncertainty).max() < 0.002


def test_python_raises_for_the_broken_image(model, images):
    (images / "000001.png").write_bytes(b"")
    found = load_model(model).predict(images)
    assert next(found).mask.shape == (32, 32)
    with pytest.raises(InputError, match=r"image number 2: .*000001\.png"):
        next(found)


def test_evaluate_refuses_a_folder_with_a_broken_image(model, data, tmp_path, capsys):
    """A score of the other images would be that of another set."""
    folder = shutil.copytree(data, tmp_path / "data")
    whole = (folder / "images" / "000003.png").read_bytes()
    (folder / "images" / "000003.png").write_bytes(whole[: len(whole) // 2])
    said = mistake("evaluate", model, folder, "-o", tmp_path / "page", "--device", "cpu", capsys=capsys)
    assert "000003.png: cannot be read" in said and not (tmp_path / "page").exists()


def test_photographs_that_cannot_be_labeled_are_counted(model, images, tmp_path, capsys):
    (images / "000001.png").write_bytes(b"")
    out = tmp_path / "set"
    code, said, _ = run("generate", model, "--images", images, "-o", out, "--device", "cpu", capsys=capsys)
    assert code == 0 and "3 labeled images" in said
    assert f"1 of 4 photographs could not be read and is left out; {out / 'generate.log'} names it" in said


@pytest.mark.parametrize("name", ["config.json", "classes.json", "backbone/backbone.json"])
def test_another_file_of_the_model_is_noticed(name, model, images, tmp_path):
    own = shutil.copytree(model, tmp_path / "model")
    predict_folder(own, images, tmp_path / "masks")
    (own / name).write_text((own / name).read_text() + "\n")
    with pytest.raises(InputError, match="not empty"):
        predict_folder(own, images, tmp_path / "masks")


def test_of_a_large_image_only_what_is_wanted_is_kept(model, images, tmp_path, monkeypatch):
    """The rows of the prediction come in bands, with a report of each; no prediction is ever put together."""
    monkeypatch.setattr("frugalseg.classifier.tiling.LARGE", 32 * 32)
    monkeypatch.setattr("frugalseg.classifier.stretching.ROWS", (4, 4))
    monkeypatch.delattr(Model, "predict_positions")
    seen = []
    predict_folder(model, images / "000000.png", tmp_path / "masks", progress=lambda *report: seen.append(report))
    assert len(seen) > 5 and seen[-2:] == [("rows", 32, 32), ("predict", 1, 1)]
    assert [done for stage, done, _ in seen if stage == "rows"] == sorted({done for stage, done, _ in seen[:-1]})


def test_windows_are_told_of(data, images, tmp_path):
    settings = {"protocol": QUICK, "members": 2, "tile": True, "network_size": (16, 16)}
    fit_folder(FitRequest(data, "colour", None, {}, settings), tmp_path / "tiled")
    seen = []
    predict_folder(tmp_path / "tiled", images, tmp_path / "masks", progress=lambda *report: seen.append(report))
    windows = len(Segmenter.from_pretrained(tmp_path / "tiled").windows((32, 32)))
    assert windows == 9
    assert seen[:10] == [*(("windows", number, windows) for number in range(1, 10)), ("predict", 1, 4)]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_that_leads_to_another_image_is_segmented_again(model, images, tmp_path):
    link, out = tmp_path / "links" / "a.png", tmp_path / "masks"
    link.parent.mkdir()
    Image.new("RGB", (20, 10)).save(images / "wide.png")
    link.symlink_to(images / "000000.png")
    assert [predict_folder(model, link.parent, out) for _ in range(2)] == [1, 0]
    assert read_mask(out / "a.png").shape == (32, 32)
    link.unlink()
    link.symlink_to(images / "wide.png")
    assert [predict_folder(model, link.parent, out) for _ in range(2)] == [1, 0]
    assert read_mask(out / "a.png").shape == (10, 20)


def other_folder(images):
    """A folder of other images, of the same names."""
    other = images.with_name("other")
    other.mkdir()
    for number, path in enumerate(sorted(images.iterdir())):
        Image.new("RGB", (20 + number, 10)).save(other / path.name)
    return other


def exchange(images, other):
    """Rename two folders to the places of each other: no file changes, and none becomes newer."""
    between = images.with_name("between")
    images.rename(between)
    other.rename(images)
    between.rename(other)


def shapes(folder):
    return [Image.open(folder / name).size[::-1] for name in names(folder)]


OF_OTHERS = [(10, 20 + number) for number in range(4)]


def test_a_folder_that_took_the_place_of_another_is_segmented_again(model, images, tmp_path):
    other, out, extras = other_folder(images), tmp_path / "masks", Extras(overlays=True)
    assert [predict_folder(model, images, out, extras=extras) for _ in range(2)] == [4, 0]
    first = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    exchange(images, other)
    assert [predict_folder(model, images, out, extras=extras) for _ in range(2)] == [4, 0]
    assert shapes(out) == OF_OTHERS == shapes(out / "overlays")
    exchange(images, other)
    assert [predict_folder(model, images, out, extras=extras) for _ in range(2)] == [4, 0]
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == first


def test_an_image_that_comes_back_older_is_segmented_again(model, images, tmp_path):
    """Its mask has stayed; here the file of another kind, in a folder that was renamed to the place."""
    other, out = other_folder(images), tmp_path / "masks"
    (other / "000003.png").rename(other / "000003.bmp")
    predict_folder(model, images, out)
    (images / "000003.png").unlink()
    assert predict_folder(model, images, out) == 0
    exchange(images, other)
    assert predict_folder(model, images, out) == 4
    assert shapes(out) == OF_OTHERS


def test_an_exchanged_folder_is_noticed_after_a_stop(model, images, tmp_path):
    other, out = other_folder(images), tmp_path / "masks"
    predict_folder(model, images, out)
    exchange(images, other)
    with pytest.raises(Stop):
        predict_folder(model, images, out, progress=stop_at("predict", 2))
    assert [predict_folder(model, images, out) for _ in range(2)] == [2, 0]
    assert shapes(out) == OF_OTHERS


def test_a_folder_that_is_exchanged_under_way_and_back_again_is_noticed(model, images, tmp_path, monkeypatch):
    monkeypatch.setattr("frugalseg.jobs.read_ahead.PIXELS", 1)  # each image is read when it is its turn
    other, out = other_folder(images), tmp_path / "masks"

    def progress(stage, done, total):
        if (stage, done) == ("predict", 2):
            exchange(images, other)

    predict_folder(model, images, out, progress=progress)
    assert OF_OTHERS[3] in shapes(out)
    exchange(images, other)
    predict_folder(model, images, out)
    assert shapes(out) == [(32, 32)] * 4 and predict_folder(model, images, out) == 0


def test_masks_of_versions_that_noted_nothing_count(model, images, tmp_path):
    out = tmp_path / "masks"
    predict_folder(model, images, out)
    (out / "images.json").unlink()
    assert predict_folder(model, images, out) == 0
    exchange(images, other_folder(images))
    assert predict_folder(model, images, out) == 4


@pytest.mark.parametrize("content", ["", "{", "[1]", "3"])
def test_a_damaged_note_of_the_images_is_one_line(content, model, images, tmp_path, capsys):
    out = tmp_path / "masks"
    predict_folder(model, images, out)
    (out / "images.json").write_text(content)
    said = mistake("predict", model, images, "-o", out, "--device", "cpu", capsys=capsys)
    assert "images.json: a damaged part of a result" in said and "delete it, and run the same command again" in said


@pytest.mark.parametrize(
    ("one", "other"), [("A.jpg", "a.png"), ("b.png", "B.png"), ("caf\u00e9.png", "CAFE\u0301.jpg")]
)
def test_masks_that_a_disk_takes_for_one_are_refused(one, other, model, tmp_path, capsys, monkeypatch):
    """Where the disk of the masks tells neither case nor forms of letters; elsewhere, all is well."""
    images, out, real = tmp_path / "images", tmp_path / "out" / "masks", Path.touch
    images.mkdir()
    for number, name in enumerate((one, other, "c.png")):
        Image.new("RGB", (20 + number, 10)).save(images / name)
    if len(list(images.iterdir())) < 3:
        pytest.skip("this disk is such a one itself")

    def touch(path, **given):
        real(path.with_name(unicodedata.normalize("NFC", path.name).casefold()), **given)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "touch", touch)
        said = mistake("predict", model, images, "-o", out, "--device", "cpu", capsys=capsys)
    assert f"{images}: images whose masks would be one file on the disk of {out}: " in said
    assert {one, other} == set(said.partition("masks: ")[2].partition(";")[0].split("/"))
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
    assert predict_folder(model, images, out) == len(names(out)) == 3


def test_a_log_leaves_the_logger_as_it_was(tmp_path, caplog, monkeypatch):
    logger = logging.getLogger("frugalseg")
    caplog.set_level(logging.WARNING, "frugalseg")
    monkeypatch.setattr(logger, "propagate", False)  # pytest's processes cannot tell each other this name
    before = logger.level, list(logger.handlers)
    with logged(tmp_path / "a.log") as log:
        log.info("of caf\udce9: said")  # a file's name that is no UTF-8
    assert (logger.level, list(logger.handlers)) == before
    assert (tmp_path / "a.log").read_text().endswith(" of caf?: said\n")
