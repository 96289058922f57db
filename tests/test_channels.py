"""Models on chosen channels: fitted, saved, and used from Python, from the command line and in recipes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from frugalseg import Segmenter, load_backbone
from frugalseg.classifier.protocol import PROTOCOLS, TrainingProtocol
from frugalseg.data.channels import ChannelChoice
from frugalseg.data.example import Example
from frugalseg.data.folder import SegmentationFolder
from frugalseg.experiments.comparison import run_comparison
from frugalseg.experiments.recipe import parse_recipe
from frugalseg.support.errors import InputError
from tests.cli.helpers import mistake, run
from tests.data.helpers import deep_tiff, halves, picture, save_image

QUICK = TrainingProtocol("quick", batch_size=64, learning_rate=1e-2, steps=30, standardise=True)
SIZE = (24, 32)


def told_apart_by(channel: int, seed: int, channels: int = 5) -> np.ndarray:
    """(24, 32, C) of 12 bits: noise, and in one channel a right half that is brighter by a hundredth of 16 bits."""
    values = np.random.default_rng(seed).integers(0, 100, (*SIZE, channels))
    values[:, 16:, channel] += 655
    return values.astype(np.uint16)


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two annotated images of five channels, in which the fourth tells the classes apart."""
    root = tmp_path_factory.mktemp("stacks")
    for number in range(2):
        deep_tiff(root / "images" / f"{number}.tif", told_apart_by(3, number))
        save_image(root / "masks" / f"{number}.png", halves(0, 1, *SIZE))
    return root


@pytest.fixture(scope="module")
def model(stacks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two channels and few filters, fitted by the command line."""
    out = tmp_path_factory.mktemp("fitted") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROTOCOLS, "default", QUICK)
        patch.setattr("sys.argv", [*FIT, str(stacks), "-o", str(out), "--channels", "4,1", "--percentiles", "1,99"])
        from frugalseg import cli

        with pytest.raises(SystemExit) as end:
            cli.main()
    assert not end.value.code
    return out


FIT = ["frugalseg", "fit", "--backbone", "filters", "--scales", "0.7", "--kinds", "gaussian", "--members", "1"]


def accuracy(mask: np.ndarray) -> float:
    return float((mask == halves(0, 1, *SIZE)).mean())


def test_the_ranges_are_saved_and_used_in_python_and_on_the_command_line(
    model: Path, stacks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((model / "config.json").read_text())
    expected = ChannelChoice((4, 1), (1.0, 99.0)).found_in_files([stacks / "images" / f"{n}.tif" for n in range(2)])
    assert config["format"] == 2
    assert config["channels"]["ranges"] == [list(ends) for ends in expected.ranges]
    assert json.loads((model / "backbone" / "backbone.json").read_text())["channels"] == 2

    loaded = Segmenter.from_pretrained(model)
    assert loaded.channels == expected and loaded.backbone.in_channels == 2
    values = told_apart_by(3, 7)
    (found,) = loaded.predict([values])
    assert accuracy(found.mask) > 0.95
    same = [values.astype(np.float32), torch.from_numpy(values.astype(np.int32)).permute(2, 0, 1)]
    for again in loaded.predict(same):
        np.testing.assert_array_equal(again.probabilities, found.probabilities)

    deep_tiff(tmp_path / "images" / "a.tif", values)
    code, _, err = run("predict", model, tmp_path / "images", "-o", tmp_path / "out", "--overlays", capsys=capsys)
    assert code == 0, err
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), found.mask)
    assert np.asarray(Image.open(tmp_path / "out" / "overlays" / "a.png")).shape == (*SIZE, 3)

    code, _, err = run("evaluate", model, stacks, "-o", tmp_path / "scores", capsys=capsys)
    assert code == 0, err
    assert json.loads((tmp_path / "scores" / "metrics.json").read_text())["miou"] > 0.9
    assert loaded.evaluate(stacks).metrics()["miou"] > 0.9
    raw = [Example("a", values, halves(0, 1, *SIZE))]
    assert loaded.evaluate(raw).metrics()["pixel_accuracy"] == pytest.approx(accuracy(found.mask))


def test_images_of_other_channels_end_in_one_line(
    model: Path, stacks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_image(tmp_path / "photos" / "b.png", picture(0))
    deep_tiff(tmp_path / "photos" / "a.tif", told_apart_by(3, 0))
    line = mistake("predict", model, tmp_path / "photos", "-o", tmp_path / "out", capsys=capsys)
    assert "b.png: has 3 channels, where the images that the model was fitted on have 5" in line
    shutil.copytree(stacks / "masks", tmp_path / "test" / "masks")
    for number in range(2):
        deep_tiff(tmp_path / "test" / "images" / f"{number}.tif", told_apart_by(3, 0)[..., : 4 + number])
    assert "0.tif: has 4 channels" in mistake("evaluate", model, tmp_path / "test", capsys=capsys)
    assert "0.tif has 4" in mistake(*FIT[1:], tmp_path / "test", "-o", tmp_path / "m", "--channels", "1", capsys=capsys)
    line = mistake("generate", model, "--images", tmp_path / "photos", "-o", tmp_path / "set", capsys=capsys)
    assert "fitted on chosen channels" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--channels", "1,6", "--backbone", "filters"], "0.tif: has no channel 6, only 5"),
        (["--channels", "0"], "channels are 0;"),
        (["--channels", "red"], "--channels red: give whole numbers"),
        (["--channels", ""], "--channels"),
        (["--channels", "1", "--percentiles", "9"], "percentiles are (9.0,); give a lower and a higher one"),
        (["--channels", "1", "--percentiles", "9,x"], "--percentiles 9,x"),
        (["--percentiles", "1,99"], "--percentiles: only with --channels"),
        (["--channels", "1,2", "--backbone", "timm"], "takes images of 3 channels, not of 2: choose 3 with --channels"),
        (["--channels", "1,2", "--backbone", "auto"], "--backbone auto compares networks of 3 channels, not of 2"),
        (["--backbone", "colour"], "or choose channels of it, such as --channels 1,2,3"),
    ],
)
def test_a_wrong_choice_ends_in_one_line(
    stacks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert said in mistake("fit", stacks, "-o", tmp_path / "model", *options, capsys=capsys)
    assert not (tmp_path / "model").exists()


def test_networks_of_three_channels_see_a_single_one_three_times(stacks: Path, tmp_path: Path) -> None:
    backbone = load_backbone("timm", model="test_resnet", pretrained=False, layers=(1,))
    settings = {"members": 1, "protocol": QUICK, "smoothing": 0}
    single = Segmenter(backbone, **settings).fit(stacks, channels=4)
    thrice = Segmenter(backbone, **settings).fit(SegmentationFolder(stacks, channels=(4, 4, 4)))
    values = told_apart_by(3, 9)
    found, same = (next(each.predict([values])) for each in (single, thrice))
    np.testing.assert_array_equal(found.probabilities, same.probabilities)
    single.save_pretrained(tmp_path / "model")
    again = next(Segmenter.from_pretrained(tmp_path / "model").predict([values]))
    np.testing.assert_array_equal(again.probabilities, found.probabilities)
    assert single.fingerprint() != thrice.fingerprint()
    with pytest.raises(InputError, match="not of 2: choose 3"):
        Segmenter(backbone).fit(stacks, channels=(1, 2))


def test_colour_and_arrays_in_python(stacks: Path) -> None:
    examples = [Example(str(n), told_apart_by(3, n).astype(np.float32) / 4096, halves(0, 1, *SIZE)) for n in range(2)]
    table = SegmentationFolder(stacks, channels=1).classes
    fitted = Segmenter(load_backbone("colour", native_size=SIZE), members=1, protocol=QUICK)
    fitted.fit(examples, classes=table, channels=ChannelChoice((1, 2, 3, 4)))
    assert [tap.channels for tap in fitted.backbone.taps] == [4, 2]
    (found,) = fitted.predict([told_apart_by(3, 5).astype(np.float32) / 4096])
    assert accuracy(found.mask) > 0.95
    with pytest.raises(InputError, match="images of 2 channels for a colour backbone of 4"):
        next(fitted.predict_positions([np.zeros((*SIZE, 2), np.uint8)]))


def test_a_damaged_model_is_refused(model: Path, tmp_path: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    several = {**config["channels"], "ranges": []}
    for number, changed in enumerate(({"channels": {}}, {"channels": several}, {"format": 3}, {"channels": None})):
        place = tmp_path / str(number)
        shutil.copytree(model, place)
        wrong = {**config, **changed}
        (place / "config.json").write_text(json.dumps(wrong))
        with pytest.raises(InputError):
            Segmenter.from_pretrained(place)


def test_a_recipe_of_chosen_channels(stacks: Path, tmp_path: Path) -> None:
    segmenter = {"members": 1, "protocol": {"base": "default", "steps": 30, "batch_size": 64}}
    row = {"kind": "features", "name": "colour", "backbone": "colour", "segmenter": segmenter}
    data = {"kind": "folder", "path": str(stacks), "train": ".", "test": ".", "channels": [4, 2]}
    recipe = {"title": "Stacks", "data": data, "rows": [row], "runs": 1, "pictures": 1}
    result = run_comparison(parse_recipe(recipe), tmp_path / "out")
    assert result.runs["colour"][0].confusions["test"].miou() > 0.9
    assert json.loads((tmp_path / "out" / "results.json").read_text())["recipe"]["data"]["channels"] == [4, 2]
    timm = {**row, "backbone": "timm", "options": {"model": "test_resnet", "pretrained": False}}
    unet = {"kind": "unet", "name": "U-Net"}
    for wrong, said in ((unet, "a row of kind unet sees RGB images only"), (timm, "not of 2")):
        with pytest.raises(InputError, match=said):
            run_comparison(parse_recipe({**recipe, "rows": [wrong]}), tmp_path / "other")
    with pytest.raises(InputError, match="channels are"):
        parse_recipe({**recipe, "data": {**data, "channels": [0]}})
