"""A comparison goes on where it stopped, and redoes what has changed, and nothing else."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.experiments.comparison import run_comparison
from frugalseg.experiments.data import FolderData, open_data
from frugalseg.experiments.recipe import Recipe, parse_recipe
from frugalseg.experiments.results import Comparison
from frugalseg.experiments.table import run_table
from frugalseg.support.errors import InputError
from frugalseg.support.runs import alone
from tests.report.reading import check_offline

QUICK = {"members": 2, "small_region": 1, "protocol": {"steps": 5, "batch_size": 16}}


def recipe(checkpoint: Path, **changes: Any) -> Recipe:
    """Three methods on a few small toy images, two runs each."""
    ddpm = {"kind": "features", "checkpoint": str(checkpoint), "options": {"timesteps": [50], "blocks": [1, 2]}}
    unet = {"kind": "unet", "name": "U-Net", "decoder": [8, 8, 8], "steps": 2, "batch": 2}
    content = {
        "title": "a comparison",
        "data": {"kind": "toy", "train": 3, "test": 3, "size": 16},
        "rows": [
            {**ddpm, "name": "features", "segmenter": QUICK},
            {**ddpm, "name": "random", "segmenter": QUICK, "random_weights": True},
            unet,
        ],
        "runs": 2,
        "pictures": 2,
    }
    return parse_recipe({**content, **changes})


def records(folder: Path) -> dict[str, int]:
    """When each run's record was written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in (folder / "runs").rglob("*.json")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_ddpm: Path) -> tuple[Path, Comparison]:
    folder = tmp_path_factory.mktemp("comparison")
    return folder, run_comparison(recipe(tiny_ddpm), folder)


def test_results_and_page_hold_every_method(finished: tuple[Path, Comparison]) -> None:
    folder, result = finished
    saved = json.loads((folder / "results.json").read_text())
    assert [row["name"] for row in saved["rows"]] == ["features", "random", "U-Net"]
    for row in saved["rows"]:
        values = row["miou"]["values"]
        assert len(values) == 2 and row["miou"]["mean"] == pytest.approx(sum(values) / 2)
        assert row["miou_paper"]["mean"] <= row["miou"]["mean"] + 1e-9
    assert yaml.safe_load(yaml.safe_dump(saved["recipe"]))["rows"][0]["segmenter"] == QUICK
    reader = check_offline(result.page.read_text(encoding="utf-8"))
    words = " ".join(reader.words)
    assert all(name in words for name in ("features", "random", "U-Net", "±", "paper"))
    assert all(name in result.summary() for name in result.runs) and "±" in result.summary()


def test_goes_on_where_it_stopped(finished: tuple[Path, Comparison], tiny_ddpm: Path) -> None:
    folder, result = finished
    before = records(folder)
    (folder / "runs" / "u-net" / "seed-1.json").unlink()
    (folder / "runs" / "random" / "pictures.npz").unlink()
    again = run_comparison(recipe(tiny_ddpm), folder)
    after = records(folder)
    redone = {name for name in after if after[name] != before[name]}
    assert redone == {"runs/u-net/seed-1.json", "runs/random/seed-0.json"}
    for row in result.runs:
        assert again.values(row, "miou").tolist() == result.values(row, "miou").tolist()


def test_redoes_what_has_changed_only(finished: tuple[Path, Comparison], tiny_ddpm: Path) -> None:
    folder, _ = finished
    before = records(folder)
    rows = [row.model_dump() for row in recipe(tiny_ddpm).rows]
    rows[2]["steps"] = 3
    run_comparison(recipe(tiny_ddpm, rows=rows, title="another title"), folder)
    after = records(folder)
    assert {name for name in after if after[name] != before[name]} == {
        "runs/u-net/seed-0.json",
        "runs/u-net/seed-1.json",
    }


def test_a_mistake_in_the_last_row_is_found_before_the_first_runs(tmp_path: Path, tiny_ddpm: Path) -> None:
    rows = [row.model_dump() for row in recipe(tiny_ddpm).rows]
    rows[2]["encoder"] = "resnet19"
    with pytest.raises(InputError, match="resnet19"):
        run_comparison(recipe(tiny_ddpm, rows=rows), tmp_path)
    assert not (tmp_path / "runs").exists()


def test_missing_data_is_named(tmp_path: Path, tiny_ddpm: Path) -> None:
    data = {"kind": "folder", "path": str(tmp_path / "nowhere")}
    with pytest.raises(InputError, match="nowhere"):
        run_comparison(recipe(tiny_ddpm, data=data), tmp_path / "out")


def test_a_page_of_something_else_is_spared(tmp_path: Path, tiny_ddpm: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    for run in (
        lambda: run_comparison(recipe(tiny_ddpm), tmp_path),
        lambda: run_table({"a": recipe(tiny_ddpm)}, tmp_path),
    ):
        with pytest.raises(InputError, match=r"its index\.html would be replaced"):
            run()
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


@pytest.mark.parametrize("changes", [{"path": "x" * 300}, {"path": "a\0b"}, {"train": "x" * 300}])
def test_names_that_no_folder_can_have(changes: dict[str, str], tmp_path: Path, tiny_ddpm: Path) -> None:
    data = {"kind": "folder", "path": str(tmp_path), **changes}
    with pytest.raises(InputError, match="check the path"):
        run_comparison(recipe(tiny_ddpm, data=data), tmp_path / "out")
    with pytest.raises(InputError, match="check the path"):
        run_comparison(recipe(Path("x" * 300)), tmp_path / "out")


def test_a_single_run_has_no_spread(tmp_path: Path, tiny_ddpm: Path) -> None:
    rows = [recipe(tiny_ddpm).rows[2].model_dump()]
    result = run_comparison(recipe(tiny_ddpm, rows=rows, runs=1, pictures=0), tmp_path)
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["rows"][0]["miou"]["std"] is None and "±" not in result.summary()
    check_offline(result.page.read_text(encoding="utf-8"))


def test_one_process_at_a_time(tmp_path: Path, tiny_ddpm: Path) -> None:
    with alone(tmp_path), pytest.raises(InputError, match="another run is at work"):
        run_comparison(recipe(tiny_ddpm), tmp_path)
    assert not (tmp_path / "runs").exists()


COLOUR = {
    "kind": "features",
    "name": "colour",
    "backbone": "colour",
    "options": {"native_size": [16, 16]},
    "segmenter": QUICK,
}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A data folder with two sets to test on beside the usual one, of which ``same`` has its images."""
    for name, count, seed in (("train", 3, 1), ("test", 2, 2), ("same", 2, 2), ("other", 3, 3)):
        write_toy_folder(tmp_path / "data" / name, count, seed, size=16)
    return tmp_path / "data"


def on_folders(folders: Path, **tests: str) -> Recipe:
    data = {"kind": "folder", "path": str(folders), "tests": tests}
    return parse_recipe({"title": "t", "data": data, "rows": [COLOUR], "runs": 2, "pictures": 1})


def test_a_mistake_in_the_last_recipe_of_a_table_is_found_before_the_first_runs(
    folders: Path, tmp_path: Path, tiny_ddpm: Path
) -> None:
    good, elsewhere = recipe(tiny_ddpm, runs=1), recipe(tmp_path / "nowhere", title="the last")
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"^the last: row 'features': there is no .*nowhere; give another place"):
        run_table({"a": good, "b": elsewhere}, out)
    inside = folders / "train" / "out"
    with pytest.raises(InputError, match=r"out/b: lies inside .*train, which this command reads"):
        run_table({"a": good, "b": on_folders(folders)}, inside)
    assert not out.exists() and not inside.exists()


def test_further_test_sets_are_counted_apart(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run_comparison(on_folders(folders, again="same", validation="other"), out)
    assert result.tests == ["test", "again", "validation"]
    for run in result.runs["colour"]:
        images = {name: int(matrix.counts.sum()) // 16**2 for name, matrix in run.confusions.items()}
        assert images == {"test": 2, "again": 2, "validation": 3}
        assert np.array_equal(run.confusions["test"].counts, run.confusions["again"].counts)
    (row,) = json.loads((out / "results.json").read_text())["rows"]
    assert list(row["tests"]) == ["again", "validation"]
    assert row["tests"]["again"]["miou"] == row["miou"] and row["tests"]["again"]["class_iou"] == row["class_iou"]
    expected = result.values("colour", "miou", "validation")
    assert row["tests"]["validation"]["miou"]["values"] == expected.tolist()
    words = " ".join(check_offline(result.page.read_text(encoding="utf-8")).words)
    assert "Test sets" in words and "validation (3 images)" in words
    assert result.summary().splitlines()[-1].startswith("validation")

    # What is on disk says the same.
    before = records(out)
    again = run_comparison(on_folders(folders, again="same", validation="other"), out)
    assert records(out) == before
    assert again.values("colour", "miou", "validation").tolist() == expected.tolist()


def test_the_page_counts_and_shows_images_that_are_annotated(folders: Path, tmp_path: Path) -> None:
    for name in ("train", "test", "other"):
        bare = sorted((folders / name / "masks").iterdir())[0]
        Image.fromarray(np.full((16, 16), 255, np.uint8)).save(bare)
    result = run_comparison(on_folders(folders, validation="other"), tmp_path / "out")
    html = result.page.read_text(encoding="utf-8")
    words = " ".join(check_offline(html).words)
    assert "2 annotated images to learn from, 1 to test on" in words and "validation (2 images)" in words
    assert html.partition('<div class="strip">')[2].partition("</div>")[0].count("<img") == 2


def test_masks_of_large_images_keep_the_colors_of_their_classes(folders: Path, tmp_path: Path) -> None:
    for name in ("train", "test"):
        for path in (folders / name).glob("*/*.png"):
            with Image.open(path) as picture:
                picture.resize((1400, 16), Image.Resampling.NEAREST).save(path)
    result = run_comparison(on_folders(folders), tmp_path / "out")
    pictures = check_offline(result.page.read_text(encoding="utf-8")).pictures()
    _, truth, prediction, *_ = (picture for picture in pictures if picture.size == (640, 7))
    for mask in (truth, prediction):
        colors = np.unique(np.asarray(mask.convert("RGB")).reshape(-1, 3), axis=0)
        assert {*map(tuple, colors.tolist())} <= {*result.classes.colors}


def test_a_change_in_a_further_test_set_is_noticed(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    without = run_comparison(on_folders(folders), out)
    assert without.tests == ["test"] and "tests" not in json.loads((out / "results.json").read_text())["rows"][0]
    for count in (3, 4):
        write_toy_folder(folders / "other", count, 3, size=16)
        result = run_comparison(on_folders(folders, more="other"), out)
        assert result.runs["colour"][0].confusions["more"].counts.sum() == count * 16**2


def test_a_further_test_set_that_is_wrong_is_found_first(folders: Path, tmp_path: Path) -> None:
    shutil.rmtree(folders / "other" / "masks")
    with pytest.raises(InputError, match="other"):
        run_comparison(on_folders(folders, more="other"), tmp_path / "out")
    assert not (tmp_path / "out" / "runs").exists()


@pytest.mark.parametrize("part", ["train", "test", "other"])
def test_a_change_of_the_classes_alone_is_noticed(part: str, folders: Path, tmp_path: Path) -> None:
    """Of ids in masks; that of a color changes nothing."""
    out, given = tmp_path / "out", on_folders(folders, more="other")
    run_comparison(given, out)
    before, table = records(out), folders / part / "classes.json"
    whole = table.read_text()
    content = json.loads(whole)
    content["classes"][0]["color"] = [1, 2, 3]
    table.write_text(json.dumps(content))
    run_comparison(given, out)
    assert records(out) == before
    first, second, *others = content["classes"]
    table.write_text(json.dumps({**content, "classes": [{**first, "id": 1}, {**second, "id": 0}, *others]}))
    changed = run_comparison(given, out)
    assert all(time != before[name] for name, time in records(out).items())
    found = {name: each.counts.sum() for name, each in changed.runs["colour"][0].confusions.items()}
    assert found == {"test": 2 * 16**2, "more": 3 * 16**2}
    # As it was at first, it has the keys that it had at first.
    table.write_text(whole)
    run_comparison(given, out)
    key = json.loads((out / "runs" / "colour" / "seed-0.json").read_text())["key"]
    data = open_data(given.data, out)
    assert (key["data"], key["tests"]) == (data.digest(), data.further_digests())


def test_a_class_more_is_no_damage(folders: Path, tmp_path: Path) -> None:
    run_comparison(on_folders(folders), tmp_path / "out")
    table = folders / "train" / "classes.json"
    content = json.loads(table.read_text())
    content["classes"].append({"id": 77, "name": "nothing"})
    table.write_text(json.dumps(content))
    result = run_comparison(on_folders(folders), tmp_path / "out")
    assert result.runs["colour"][0].confusions["test"].num_classes == len(content["classes"])


@pytest.mark.parametrize("size", [12, 24])
def test_images_of_another_size_are_compared_anew(size: int, folders: Path, tmp_path: Path) -> None:
    run_comparison(on_folders(folders), tmp_path / "out")
    shutil.rmtree(folders / "test")
    write_toy_folder(folders / "test", 2, 2, size=size)
    result = run_comparison(on_folders(folders), tmp_path / "out")
    assert result.runs["colour"][0].confusions["test"].counts.sum() == 2 * size**2


def test_an_image_is_decoded_once_where_memory_allows(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_data(FolderData(kind="folder", path=str(folders)), folders)
    first = data.train[0]
    assert data.train[0] is first and data.train[-3] is first and data.train[:2][0] is first
    assert data.train[1].name == data.train[1:][0].name == "000001"
    # Room for two images, one of each folder.
    monkeypatch.setattr("frugalseg.experiments.data.MEMORY", 2 * 4 * 16**2)
    small = open_data(FolderData(kind="folder", path=str(folders)), folders)
    assert small.train[0] is small.train[0] and small.test[0] is small.test[0]
    assert small.test[1] is not small.test[1]
    assert np.array_equal(small.test[1].image, data.test[1].image)
