"""A comparison of an earlier version is taken as it is: nothing runs again.

``earlier/`` was written by the code of the version before rows had a file for each kind (commit 83f4425), with
``frugalseg benchmark recipe.yaml --data data``; it holds the recipe, the data, and what that left in ``runs/``.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from frugalseg.experiments.comparison import run_comparison
from frugalseg.experiments.data import open_data
from frugalseg.experiments.recipe import Recipe, load_recipe
from frugalseg.experiments.records import completed
from frugalseg.experiments.rows import Context, FeatureRow, build
from frugalseg.experiments.rows.student_method import StudentMethod

EARLIER = Path(__file__).parent / "earlier"
RECORDS = {path.parent.name: json.loads(path.read_text()) for path in sorted(EARLIER.glob("runs/*/seed-0.json"))}


def recipe() -> Recipe:
    return load_recipe(EARLIER / "recipe.yaml", data=EARLIER / "data")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EARLIER / "runs", tmp_path / "runs")
    return tmp_path


def test_nothing_runs_again(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("seed-0.json")}
    assert len(before) == 5
    result = run_comparison(recipe(), folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("seed-0.json")} == before
    now, then = (json.loads((place / "results.json").read_text()) for place in (folder, EARLIER))
    assert now["rows"] == then["rows"]
    assert not list(folder.glob("labels/*")) and "Colour & position" in result.summary()


def test_keys_are_those_of_the_earlier_version(tmp_path: Path) -> None:
    given = recipe()
    data = open_data(given.data, tmp_path)
    context = Context(given.rows, given.data, tmp_path, data.digest())
    keys = {row.name: row.key(context) for row in given.rows}
    # As text, for folders of labels are named after it.
    assert {name: json.dumps(key) for name, key in keys.items()} == {
        record["row"]: json.dumps(record["key"]) for record in RECORDS.values()
    }
    student = build(given.rows[4], 2, context)
    assert isinstance(student, StudentMethod)
    assert student.inputs.labels == tmp_path / "labels" / "0a188b1eac0f17dc" / "seed-2"


def without(key: dict[str, Any], *path: str) -> dict[str, Any]:
    """A copy of a key without the value at a path."""
    copy: dict[str, Any] = json.loads(json.dumps(key))
    *parents, last = path
    place = copy
    for part in parents:
        place = place[part]
    del place[last]
    return copy


def test_options_that_came_later_have_their_defaults() -> None:
    key = RECORDS["student-photographs"]["key"]
    assert completed(without(key, "row", "longest_side")) == completed(without(key, "teacher", "row", "checkpoint"))
    unet = RECORDS["u-net"]["key"]
    assert completed(without(unet, "row", "augmentation", "rotation")) == completed(unet) == unet


@pytest.mark.parametrize(
    "path", [("row", "images"), ("row", "student", "size"), ("teacher", "row", "segmenter", "members"), ("weights",)]
)
def test_other_options_are_other_keys(path: tuple[str, ...]) -> None:
    key = RECORDS["student-photographs"]["key"]
    assert completed(without(key, *path)) != completed(key)


def features(backbone: str, checkpoint: str, weights: str = "digest") -> dict[str, Any]:
    """The key of a row of features."""
    row = {"kind": "features", "name": "a", "backbone": backbone, "checkpoint": checkpoint}
    return {"row": row, "data": "d", "weights": weights}


def test_a_network_is_known_by_its_weights_wherever_it_lies() -> None:
    key = features("ddpm", "runs/networks/mine")
    assert completed(key) == completed(features("ddpm", "/home/me/runs/networks/mine"))
    assert completed(key) != completed(features("ddpm", "runs/networks/mine", "another digest"))
    student = RECORDS["student-photographs"]["key"]
    one, other = ({**student, "teacher": features("ddpm", place)} for place in ("runs/mine", "/runs/mine"))
    assert completed(one) == completed(other) != completed(student)
    both = completed(features("ddpm+timm", "ddpm=a,timm=b"))
    assert both == completed(features("ddpm+timm", "timm=c,ddpm=d")) != completed(features("ddpm+timm", "ddpm=a"))
    assert completed(features("ddpm+swav", "ddpm=a")) != completed(features("ddpm+swav", "swav=a"))


@pytest.mark.parametrize(
    ("family", "names"),
    [("timm", ("builtin:efficientnet_lite0", "builtin:efficientnet_lite2")), ("ddpm", ("someone/one", "someone/two"))],
)
def test_names_are_told_apart(family: str, names: tuple[str, str], tmp_path: Path) -> None:
    """Those of built-in networks, and those of networks that are not on this machine."""
    rows = [FeatureRow(kind="features", name="a", backbone=family, checkpoint=name) for name in names]
    context = Context(rows, recipe().data, tmp_path, "d")
    first, second = (completed(row.key(context)) for row in rows)
    assert first != second and first["row"] == second["row"]


def test_keys_of_kinds_that_are_unknown_stay_as_they_are() -> None:
    for key in (None, {}, {"row": {"kind": "other"}}, {"row": {"kind": "unet", "depth": 9}}, features("no", "a")):
        assert completed(key) == key
