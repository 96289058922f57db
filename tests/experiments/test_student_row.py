"""Students in a recipe: fed by a teacher of the same seed, whose labels rows share and keep."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from frugalseg.data.classes import ClassTable
from frugalseg.data.folder import SegmentationFolder
from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.experiments.comparison import run_comparison
from frugalseg.experiments.cost import costs_of
from frugalseg.experiments.plan import Plan
from frugalseg.experiments.recipe import Recipe, parse_recipe
from frugalseg.experiments.rows import Context, FeatureRow
from frugalseg.experiments.rows.student import labels_folder
from frugalseg.support import digests
from frugalseg.support.errors import InputError
from frugalseg.synthetic import SyntheticSet
from tests.report.reading import check_offline

QUICK = {"members": 2, "small_region": 1, "protocol": {"steps": 5, "batch_size": 16}}
SMALL = {"encoder": "mobilenet_v2", "epochs": 1, "least_steps": 2, "batch_size": 2}
STUDENT: dict[str, Any] = {"kind": "student", "student": SMALL, "count": 3}
SAMPLING = {"sampler": "ddim", "sampling_steps": 2, "first_step": 900}
DRAWN = {**STUDENT, "name": "generated", "source": "synthetic", "generation": SAMPLING}


def recipe(checkpoint: Path, *students: dict[str, Any], **changes: Any) -> Recipe:
    options = {"timesteps": [50], "blocks": [1, 2]}
    ddpm = {"kind": "features", "name": "classifier", "checkpoint": str(checkpoint), "options": options}
    content = {
        "title": "students",
        "data": {"kind": "toy", "train": 3, "test": 2, "size": 16},
        "rows": [{**ddpm, "segmenter": QUICK}, *students],
        "runs": 1,
        "pictures": 1,
    }
    return parse_recipe({**content, **changes})


@pytest.mark.slow  # four students
def test_every_source(tiny_ddpm: Path, tmp_path: Path) -> None:
    rows = [
        DRAWN,
        {**DRAWN, "name": "generated, a third dropped", "drop": 0.34},
        {**STUDENT, "name": "photographs", "source": "images"},
        {**STUDENT, "name": "annotated", "source": "annotated"},
    ]
    result = run_comparison(recipe(tiny_ddpm, *rows), tmp_path)
    assert list(result.runs) == ["classifier", *(row["name"] for row in rows)]
    assert all(0 <= result.values(row, "miou")[0] <= 1 for row in result.runs)
    check_offline(result.page.read_text(encoding="utf-8"))
    # Two rows share the generated images, and all of them one teacher.
    assert len(list(tmp_path.glob("labels/*/seed-0/labelled-*"))) == 2
    assert len(list(tmp_path.glob("labels/*/seed-0/teacher"))) == 1
    before = result.values("photographs", "miou").tolist()
    (tmp_path / "runs" / "photographs" / "seed-0.json").unlink()
    again = run_comparison(recipe(tiny_ddpm, *rows), tmp_path)
    assert again.values("photographs", "miou").tolist() == before


def test_photographs_of_a_data_folder(tiny_ddpm: Path, tmp_path: Path) -> None:
    for name, count in (("train", 3), ("test", 2)):
        write_toy_folder(tmp_path / name, count, 1, size=16)
    (tmp_path / "photos").mkdir()
    for number, size in enumerate(((20, 16), (16, 16))):
        Image.new("RGB", size, (200, 90 * number, 30)).save(tmp_path / "photos" / f"{number}.png")
    data = {"kind": "folder", "path": str(tmp_path)}
    row = {**STUDENT, "name": "photographs", "source": "images", "images": "photos", "longest_side": 18, "drop": 0}
    smaller = {**row, "name": "smaller ones", "longest_side": 16}
    result = run_comparison(recipe(tiny_ddpm, row, smaller, data=data), tmp_path / "out")
    assert len(result.runs["photographs"]) == len(result.runs["smaller ones"]) == 1


def test_photographs_that_change_without_their_names_and_sizes_are_labelled_anew(
    tiny_ddpm: Path, tmp_path: Path
) -> None:
    for name, count in (("train", 3), ("test", 2)):
        write_toy_folder(tmp_path / name, count, 1, size=16)
    photograph = tmp_path / "photos" / "a.bmp"
    photograph.parent.mkdir()
    data = {"kind": "folder", "path": str(tmp_path)}
    row = {**STUDENT, "name": "photographs", "source": "images", "images": "photos", "drop": 0}
    colors = [(200, 90, 30), (30, 90, 200)]
    for color in colors:
        Image.new("RGB", (16, 16), color).save(photograph)
        run_comparison(recipe(tiny_ddpm, row, data=data), tmp_path / "out")
    sets = [SyntheticSet(place) for place in (tmp_path / "out").glob("labels/*/seed-0/labelled-*")]
    assert sorted(tuple(each[0].image[0, 0].tolist()) for each in sets) == sorted(colors)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teacher": "nobody"}, "teacher 'nobody'.*classifier"),
        ({"student": {"epoch": 3}}, "epoch"),
        ({"student": {"encoder": "resnet19"}}, "resnet19"),
        ({"student": {"batch_size": 0}}, "batch_size"),
        ({"generation": {"sampler": "magic"}}, "magic"),
        ({"generation": {"stepps": 3}}, "stepps"),
        ({"generation": {"precision": 16}}, "generation.precision"),
    ],
)
def test_mistakes_are_found_before_anything_runs(
    changes: dict[str, Any], said: str, tiny_ddpm: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        run_comparison(recipe(tiny_ddpm, {**DRAWN, **changes}), tmp_path)
    assert str(caught.value).startswith("row 'generated': ")
    assert not (tmp_path / "runs").exists()


def test_a_teacher_that_cannot_generate(tiny_ddpm: Path, tmp_path: Path) -> None:
    colour = {"kind": "features", "name": "colour", "backbone": "colour"}
    rows = [colour, {**DRAWN, "teacher": "colour"}]
    with pytest.raises(InputError, match="ddpm"):
        run_comparison(recipe(tiny_ddpm, rows=rows), tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": "photos"}, "source"),
        ({"drop": 1.0}, "drop"),
        ({"studnet": {}}, "studnet"),
        ({"protocol": "x"}, "protocol"),
    ],
)
def test_keys_that_do_not_fit(changes: dict[str, Any], said: str, tiny_ddpm: Path) -> None:
    with pytest.raises(InputError, match=said):
        recipe(tiny_ddpm, {**DRAWN, **changes})


def test_labels_are_named_after_the_network_wherever_it_lies(tiny_ddpm: Path, tmp_path: Path) -> None:
    def teacher(place: Path) -> tuple[FeatureRow, Context]:
        given = recipe(place)
        row = given.rows[0]
        assert isinstance(row, FeatureRow)
        return row, Context(given.rows, given.data, tmp_path, "digest")

    shutil.copytree(tiny_ddpm, tmp_path / "copied")
    place = labels_folder(*teacher(tiny_ddpm))
    assert labels_folder(*teacher(tmp_path / "copied")) == place
    shutil.copytree(tiny_ddpm, tmp_path / "changed")
    (tmp_path / "changed" / "more").write_text("x")
    assert labels_folder(*teacher(tmp_path / "changed")) != place
    # Earlier versions named them after the place, too.
    row, context = teacher(tiny_ddpm)
    earlier = tmp_path / "labels" / digests.text(json.dumps(row.key(context)))
    earlier.mkdir(parents=True)
    assert labels_folder(row, context) == earlier != place


def test_a_finished_set(tmp_path: Path) -> None:
    """A published file of samples needs no teacher; a change in it is noticed, and other classes are refused."""
    write_toy_folder(tmp_path / "more", 3, 3, size=16)
    samples = SegmentationFolder(tmp_path / "more")
    images, masks = (np.stack([getattr(each, name) for each in samples]) for name in ("image", "target"))
    place = tmp_path / "samples.npz"
    np.savez(place, images, masks, np.float32([0.1, 0.3, 0.2]))
    content = {
        "title": "a set",
        "data": {"kind": "toy", "train": 2, "test": 2, "size": 16},
        "rows": [{**STUDENT, "name": "student", "source": "set", "samples": str(place), "drop": 0.34}],
        "runs": 1,
        "pictures": 0,
    }
    given = parse_recipe(content)
    assert Plan.of(given).ready == ["student"] and costs_of(given)["student"].steps == 2
    run_comparison(given, tmp_path / "out")
    assert not list((tmp_path / "out").glob("labels/*"))
    record = tmp_path / "out/runs/student/seed-0.json"
    before = json.loads(record.read_text())["key"]
    assert before["row"]["samples"] == str(place) and len(before["samples"]) == 64 and before["teacher"] is None
    written = record.stat().st_mtime_ns
    same = [{**content["rows"][0], "samples": f"{tmp_path}/more/../samples.npz"}]  # type: ignore[index]
    run_comparison(parse_recipe({**content, "rows": same}), tmp_path / "out")
    assert record.stat().st_mtime_ns == written
    folder = parse_recipe({**content, "rows": [{**content["rows"][0], "samples": str(tmp_path / "more")}]})
    with pytest.raises(InputError, match=r"more/out: lies inside .*more, which this command reads"):
        run_comparison(folder, tmp_path / "more" / "out")
    ClassTable.from_ids(range(12)).to_json(tmp_path / "classes.json")
    with pytest.raises(InputError, match="its classes are not those of the data"):
        run_comparison(given, tmp_path / "again")
    place.unlink()
    assert "there is no" in Plan.of(given).rows["student"].words  # type: ignore[union-attr]
    with pytest.raises(InputError, match="row 'student': samples: there is no"):
        run_comparison(given, tmp_path / "out")
