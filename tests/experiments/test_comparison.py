"""A comparison goes on where it stopped, and redoes what has changed, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from frugalseg.experiments.comparison import run_comparison
from frugalseg.experiments.recipe import Recipe, parse_recipe
from frugalseg.experiments.results import Comparison
from frugalseg.support.errors import InputError
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


def test_a_single_run_has_no_spread(tmp_path: Path, tiny_ddpm: Path) -> None:
    rows = [recipe(tiny_ddpm).rows[2].model_dump()]
    result = run_comparison(recipe(tiny_ddpm, rows=rows, runs=1, pictures=0), tmp_path)
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["rows"][0]["miou"]["std"] is None and "±" not in result.summary()
    check_offline(result.page.read_text(encoding="utf-8"))
