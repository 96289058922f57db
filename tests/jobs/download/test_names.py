"""Names of the catalogue where paths are expected: in commands, recipes and Python."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pooch
import pytest

from frugalseg import SegmentationFolder, Segmenter, load_backbone
from frugalseg.classifier.protocol import PROTOCOLS
from frugalseg.data.catalogue.benchmarks import BENCHMARKS
from frugalseg.data.check import check_folder
from frugalseg.data.classes import NOT_ANNOTATED, ClassTable
from frugalseg.data.image_folder import list_images
from frugalseg.experiments.data import open_data
from frugalseg.experiments.recipe import parse_recipe
from frugalseg.jobs.distill.material import open_samples
from frugalseg.jobs.distill.request import DistillRequest
from frugalseg.jobs.download import Request, download
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from tests.cli.helpers import mistake, run
from tests.jobs.download.mirror import serving
from tests.jobs.download.published import benchmark_files, datasets, mae_file, synthetic_set

CLASSIFIER = ("--members", "1", "--protocol", "quick", "--device", "cpu")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with two benchmarks, a checkpoint and a set, all downloaded."""
    folder = tmp_path_factory.mktemp("filled") / "cache"
    with pytest.MonkeyPatch.context() as patch, serving() as mirror:
        patch.setenv("NO_PROXY", "*")
        mirror.files |= {
            "datasets.tar.gz": datasets("cat_15", "bedroom_28"),
            "models/mae_checkpoints/lsun_cat.pth": mae_file(),
            "synthetic-datasets/gan/cat_15.tar.gz": synthetic_set("cat_15"),
        }
        download(Request(["cat_15", "mae/lsun_cat", "synthetic_gan/cat_15"], folder, mirror.base))
    return folder


@pytest.fixture
def elsewhere(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, with the filled cache."""
    monkeypatch.setenv("FRUGALSEG_CACHE", str(filled))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_the_facts_of_the_benchmarks() -> None:
    """Counts of section 4.1; and each table has as many classes as its name says."""
    tables = {name: ClassTable.from_json(each.classes_file) for name, each in BENCHMARKS.items()}
    assert {name: len(table) for name, table in tables.items()} == {
        name: int(name.rpartition("_")[2]) for name in BENCHMARKS
    }
    assert [table.ignore_index for table in tables.values()] == [0, 255, 255, 255, 255, 255]
    assert tables["bedroom_28"].names[0] == "bed" and tables["bedroom_28"].colors[0] == (238, 229, 102)
    assert tables["cat_15"].names[13] == "whiskers" and tables["celeba_19"].names[-1] == "u_lip"
    assert [(each.train, each.generated, each.test) for each in BENCHMARKS.values()] == [
        (40, 40, 20),
        (20, 20, 20),
        (30, 30, 20),
        (30, 30, 30),
        (20, 0, 500),
        (50, 0, 650),
    ]
    assert BENCHMARKS["celeba_19"].networks == "ffhq" and BENCHMARKS["ade_bedroom_30"].networks == "lsun_bedroom"


def test_a_model_is_fitted_and_tested_by_names(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROTOCOLS, "quick", replace(PROTOCOLS["default"], steps=4))
    options = ("--checkpoint", "mae/lsun_cat", "--heads", "2", "--size", "16x16", *CLASSIFIER)
    code, _, err = run("fit", "cat_15", *options, "-o", "model", capsys=capsys)
    assert code == 0, err
    model = Segmenter.from_pretrained("model")
    assert model.classes == ClassTable.from_json(BENCHMARKS["cat_15"].classes_file) and model.backbone.family == "mae"
    code, out, _ = run("evaluate", "model", "cat_15", "--device", "cpu", capsys=capsys)
    assert code == 0 and "whiskers" in out
    assert model.evaluate("cat_15").metrics()["images"] == 20  # those to test on
    code, out, _ = run("predict", "model", "cat_15/ddpm", "-o", "masks", "--device", "cpu", capsys=capsys)
    assert code == 0 and "30 masks" in out


def test_in_python(elsewhere: Path) -> None:
    assert len(SegmentationFolder("cat_15")) == 30 and len(SegmentationFolder("cat_15/test")) == 20
    assert len(list_images("cat_15/ddpm")) == 30
    assert load_backbone("mae", "mae/lsun_cat", heads=2).family == "mae"
    assert "the same picture" in " ".join(str(each) for each in check_folder("cat_15", "cat_15/train"))
    samples, table_of = open_samples(DistillRequest(Path("synthetic_gan/cat_15"), Path("cat_15")))
    assert len(samples) == 4 and table_of is None and samples.classes.names[13] == "whiskers"


def test_an_ignored_background_is_no_class(elsewhere: Path) -> None:
    data = SegmentationFolder("bedroom_28")
    assert len(data.classes) == 28 and data.classes.ignore_index == 0
    assert set(np.unique(data[2].target)) == {NOT_ANNOTATED, 1}  # ids 0 and 2


def test_in_recipes(elsewhere: Path) -> None:
    rows = [{"kind": "features", "name": "mae", "backbone": "mae", "checkpoint": "mae/lsun_cat"}]
    data = {"kind": "folder", "path": "cat_15", "train": "real/train", "test": "real/test", "tests": {"made": "ddpm"}}
    recipe = parse_recipe({"title": "t", "data": data, "rows": rows})
    opened = open_data(recipe.data, elsewhere)
    assert (len(opened.train), len(opened.test), len(opened.further["made"])) == (30, 20, 30)
    assert opened.train.classes.names[0] == "background"


def test_a_path_that_exists_wins(elsewhere: Path, filled: Path) -> None:
    shutil.copytree(filled / "datasets/cat_15/real/test", "cat_15/real/train")
    assert len(SegmentationFolder("cat_15")) == 20
    Path("mae").mkdir()
    Path("mae/lsun_cat").write_text("no checkpoint")
    with pytest.raises(FileError, match="not a torch checkpoint"):
        load_backbone("mae", "mae/lsun_cat")


def test_a_published_folder_anywhere_has_its_classes(elsewhere: Path, filled: Path) -> None:
    """Also one that the user has unpacked; its name tells, unless it has a table of its own."""
    shutil.copytree(filled / "datasets/cat_15", "data/cat_15")
    folder = SegmentationFolder("data/cat_15/ddpm")
    assert folder.classes.names[1] == "back"
    ClassTable.from_ids(range(4)).to_json("data/cat_15/classes.json")
    assert SegmentationFolder("data/cat_15/ddpm").classes.names[1] == "class 1"
    Path("data/cat_15").rename("data/cats")
    assert SegmentationFolder("data/cats/real/train").classes.names[1] == "class 1"
    assert SegmentationFolder("data/cats").path == Path("data/cats/real/train")


def test_of_more_images_the_first_ones_are_used(elsewhere: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, content in benchmark_files("cat_15", more=2).items():
        path = Path("cat_15", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert SegmentationFolder("cat_15/real/test").names[-1] == "img_019"
    assert "the first 20 of 22 images are used" in caplog.text


def test_what_is_not_there(elsewhere: Path, filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, words in (
        ("horse_21", "not downloaded yet"),
        ("horse_21/test", "run frugalseg download horse_21"),
        ("cat15", "did you mean cat_15?"),
        ("celeba_19/ddpm", "did you mean"),
        ("photos", "no such folder"),
    ):
        assert words in mistake("fit", name, "--backbone", "colour", "-o", "model", capsys=capsys)
    line = mistake("fit", "cat_15", "--checkpoint", "ddpm/lsun_cat", "-o", "model", capsys=capsys)
    place = filled / "checkpoints/ddpm/lsun_cat.pt"
    told = f"error: ddpm/lsun_cat: not downloaded yet (looked in {place}); run frugalseg download ddpm/lsun_cat"
    assert line == told
    for checkpoint, family, words in (
        ("mae/lsun_cats", "mae", "did you mean mae/lsun_cat?"),
        ("mae/lsun_cat", "ddpm", "a checkpoint of the family mae, not of ddpm"),
    ):
        with pytest.raises(InputError, match=words.replace("?", r"\?")):
            load_backbone(family, checkpoint)
    assert not list(elsewhere.iterdir())


def test_what_is_only_half_there(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(filled, tmp_path / "cache")
    monkeypatch.setenv("FRUGALSEG_CACHE", str(tmp_path / "cache"))
    missing = tmp_path / "cache/datasets/cat_15/real/train/img_007.npy"
    content = missing.read_bytes()
    missing.unlink()
    with pytest.raises(FileError, match=r"1 file missing: .*img_007\.npy.*run frugalseg download cat_15"):
        SegmentationFolder("cat_15")
    missing.write_bytes(content + b"!")
    with pytest.raises(FileError, match="not the file that was downloaded first"):
        SegmentationFolder("cat_15")
    missing.write_bytes(content)
    assert len(SegmentationFolder("cat_15")) == 30  # written anew, but with the same bytes
    checkpoint = tmp_path / "cache/checkpoints/mae/lsun_cat.pth"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    with pytest.raises(FileError, match="not the file that was downloaded first"):
        load_backbone("mae", "mae/lsun_cat")
    shutil.rmtree(tmp_path / "cache/records")
    shutil.rmtree(tmp_path / "cache/datasets/cat_15/real/test")
    with pytest.raises(FileError, match="incomplete \\(0 of 20 images"):
        SegmentationFolder("cat_15")


def test_the_cache_is_where_the_platform_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from frugalseg.data.catalogue.store import cache_folder

    monkeypatch.delenv("FRUGALSEG_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == Path(pooch.os_cache("frugalseg"))
    monkeypatch.setenv("FRUGALSEG_CACHE", "~/mine")
    assert cache_folder() == Path("~/mine").expanduser()
