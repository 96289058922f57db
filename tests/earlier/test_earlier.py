"""What version 0.1.0 has left on disk: its models predict the same, its unfinished work goes on; see `make_earlier`.

Commands run where the archive is unpacked, with the arguments that they had then: records name inputs by these.
"""

import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from frugalseg import SegmentationFolder, load_backbone, load_model
from frugalseg.cli import app
from frugalseg.support.marks import is_ours
from frugalseg.synthetic import SyntheticSet
from tests.earlier.commands import CLASS, FEATURE, IMAGE, arguments

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text())


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    root = tmp_path_factory.mktemp("earlier")
    with tarfile.open(HERE / "v0.1.0.tar.gz") as archive:
        archive.extractall(root, filter="data")
    # An image counts as changed when it came to its place after its mask was written; here all came at once.
    for path in (root / "predict").rglob("*"):
        os.utime(path)
    return root


@pytest.fixture(autouse=True)
def root(unpacked, monkeypatch):
    monkeypatch.chdir(unpacked)
    return unpacked


def run(out, *more):
    app(arguments(out, *more), standalone_mode=False)


def contents(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def times(folder):
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*")}


def kept(before, folder):
    """Whether all files that were in a folder are there with the same bytes."""
    return before and before.items() <= contents(folder).items()


def seen_in(model, image=IMAGE):
    (found,) = load_model(model).predict([np.asarray(Image.open(image).convert("RGB"))])
    return found


OUTPUTS = (
    *("models/ddpm", "models/student", "predict/whole", "predict/part", "generate/whole", "generate/part"),
    *("pretrain/ddpm", "pretrain/mae", "models/mae/backbone"),
)


def test_what_may_be_replaced():
    """All outputs, whole or not, but neither data nor the masks of annotators."""
    assert all(is_ours(Path(out)) for out in OUTPUTS)
    assert not [p for p in ("inputs/study/train", "inputs/photos", "inputs/ddpm") if is_ours(Path(p))]
    assert not is_ours(Path("generate", "annotation")) and not is_ours(Path("generate", "annotation-part"))


@pytest.mark.parametrize("name", EXPECTED)
def test_a_model_predicts_what_it_did(name, tmp_path):
    expected = EXPECTED[name]
    for folder in (Path("models", name), tmp_path / "again"):
        model = load_model(folder)
        (found,) = model.predict([np.asarray(Image.open(IMAGE).convert("RGB"))])
        assert ["".join(map(str, row)) for row in found.mask.tolist()] == expected["mask"]
        np.testing.assert_allclose(found.probabilities.mean(axis=(1, 2)), expected["probabilities"], atol=1e-4)
        assert found.image_uncertainty == pytest.approx(expected["uncertainty"], abs=1e-4)
        model.save_pretrained(tmp_path / "again")


@pytest.mark.parametrize(("family", "steps"), [("ddpm", 6), ("mae", 7), ("swav", 7)])
def test_a_pretraining_is_continued(family, steps):
    """As it was begun, with six steps, or with more of them."""
    out = Path("pretrain", family)
    before = weights_in(out)
    assert steps_of(out) == 2
    load_backbone(family, out)
    run(f"pretrain/{family}", "--steps", str(steps))
    assert steps_of(out) == steps
    load_backbone(family, out)
    after = weights_in(out)
    assert before.keys() == after.keys()
    # The weights in the archive are no seed's, and a few steps of Adam move each by few learning rates.
    assert 0 < max((after[key] - before[key]).abs().max() for key in before) < 0.01
    finished = times(out)
    run(f"pretrain/{family}", "--steps", str(steps))
    assert times(out) == finished


def steps_of(out):
    return json.loads((out / "training" / "progress.json").read_text())["step"]


def weights_in(out):
    """The weights that are learnt; running statistics move freely."""
    (path,) = out.rglob("*.safetensors")
    return {
        key: value
        for key, value in load_file(path).items()
        if not key.endswith(("running_mean", "running_var", "tracked"))
    }


def test_a_fit_goes_on_from_its_features():
    run("fit/features")
    mean = load_file("fit/features/classifier.safetensors")["feature_mean"]
    assert (mean > FEATURE / 2).all()
    assert not Path("fit/features.work").exists()


def test_a_fit_goes_on_from_its_training():
    run("fit/train")
    assert (seen_in("fit/train").mask == CLASS).all()
    assert not Path("fit/train.work").exists()


def test_a_distillation_goes_on():
    run("distill/train")
    assert (seen_in("distill/train").mask == CLASS).all()
    record = json.loads(Path("distill/train/training.json").read_text())
    assert [each["step"] for each in record["rounds"]] == [3, 6]
    assert not Path("distill/train.work").exists()


def test_predictions_are_kept_and_completed():
    whole, part = contents("predict/whole"), contents("predict/part")
    before = times("predict/whole/probabilities")
    run("predict/whole")
    assert kept(whole, "predict/whole") and times("predict/whole/probabilities") == before
    whole = contents("predict/whole")
    before = times("predict/part/probabilities")
    run("predict/part")
    assert kept(part, "predict/part") and len(contents("predict/part")) == len(whole)
    assert before.items() <= {path: path.stat().st_mtime_ns for path in before}.items()


def test_a_synthetic_set_is_read():
    found, labelled = SyntheticSet("generate/whole"), SyntheticSet("generate/photographs")
    assert (len(found), len(labelled)) == (66, 6)
    for sample, size in ((found[0], (8, 8)), (found[65], (8, 8)), (labelled[5], (16, 16))):
        assert sample.image.shape[:2] == sample.target.shape == size
    assert found[65].origin == found[0].origin + 65 and labelled[5].origin is None
    assert found.uncertainties.min() > 0


@pytest.mark.parametrize("name", ["whole", "photographs"])
def test_a_whole_set_is_left_alone(name):
    folder = f"generate/{name}"
    before = {path: content for path, content in contents(folder).items() if path.suffix != ".log"}
    shards = {path: path.stat().st_mtime_ns for path in Path(folder).glob("shard-*")}
    run(folder)
    assert kept(before, folder) and shards == {path: path.stat().st_mtime_ns for path in shards}


def test_a_set_is_completed():
    shards = {path: path.stat().st_mtime_ns for path in Path("generate/part").glob("shard-*")}
    assert len(shards) == 2
    run("generate/part")
    assert shards == {path: path.stat().st_mtime_ns for path in shards}
    found, whole = SyntheticSet("generate/part"), SyntheticSet("generate/whole")
    assert len(found) == len(whole)
    assert (found[3].image == whole[3].image).all()


@pytest.mark.parametrize(("name", "there"), [("annotation", 3), ("annotation-part", 1)])
def test_images_for_annotators_are_completed(name, there):
    folder = Path("generate", name)
    before = contents(folder)
    assert len(list((folder / "images").iterdir())) == there
    run(str(folder))
    before.pop(folder / "README.txt", None)
    assert kept(before, folder)
    assert len(SegmentationFolder(folder)) == 3


def test_a_comparison_is_taken_as_it_is():
    parts = ("runs", "networks", "labels")
    before = [(times(f"comparison/{part}"), contents(f"comparison/{part}")) for part in parts]
    results = json.loads(Path("comparison/results.json").read_text())
    run("comparison")
    assert [(times(f"comparison/{part}"), contents(f"comparison/{part}")) for part in parts] == before
    assert json.loads(Path("comparison/results.json").read_text())["rows"] == results["rows"]


def test_a_run_of_a_comparison_is_done_again():
    """From the teacher and the labels that are there."""
    place = Path("comparison/runs/student/seed-1.json")
    earlier, labels = json.loads(place.read_text()), contents("comparison/labels")
    place.unlink()
    run("comparison")
    assert contents("comparison/labels") == labels
    assert json.loads(place.read_text())["key"] == earlier["key"]
