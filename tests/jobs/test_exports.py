"""Exports of annotation tools wherever annotated images are asked for, in one command also of different tools."""

import numpy as np
import pytest

from frugalseg.data.exports import labels
from frugalseg.data.toy.dataset import toy_example
from frugalseg.experiments.comparison import run_comparison
from frugalseg.experiments.recipe import parse_recipe
from frugalseg.jobs.distill import DistillRequest, distill_folder
from frugalseg.students.settings import student_settings
from frugalseg.support.errors import InputError
from tests.data.exports.helpers import box, classes_json, coco, labelme, square
from tests.data.helpers import picture, save_image
from tests.jobs.interrupt import Stop, stop_at

QUICK = student_settings(
    architecture="fpn", encoder="mobilenet_v2", epochs=2, least_steps=0, validations=1, batch_size=2
)


def labelme_folder(folder, count, seed=0):
    for number in range(seed, seed + count):
        labelme(folder, f"shapes{number}", [box("cat", 1, 1, 6, 8), box("dog", 8, 2, 14, 9)], seed=number)
    return folder


def coco_folder(folder, count, seed, cat, dog):
    """Images with a cat and a dog each, whose categories have these ids."""
    names = [f"coco{number}.png" for number in range(seed, seed + count)]
    for number, name in enumerate(names, seed):
        save_image(folder / name, picture(number))
    objects = [(i, c, [square(left, 1, 6)]) for i in range(1, count + 1) for c, left in ((cat, 1), (dog, 8))]
    coco(folder / "_annotations.coco.json", names, objects, {dog: "dog", cat: "cat"})
    return folder


@pytest.fixture
def folders(tmp_path):
    """COCO to learn from, COCO with other ids to validate on, labelme to test on."""
    return (
        coco_folder(tmp_path / "train", 4, 0, cat=7, dog=3),
        coco_folder(tmp_path / "validation", 2, 10, cat=1, dog=2),
        labelme_folder(tmp_path / "test", 2, 20),
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_classes_of_different_tools_meet_by_name(workers, folders, tmp_path):
    train, validation, test = folders
    out = tmp_path / "student"
    request = DistillRequest(train, validation, test, QUICK, workers=workers)
    with pytest.raises(Stop):
        distill_folder(request, out, progress=stop_at("evaluate", 1))
    steps = []
    result = distill_folder(request, out, progress=lambda stage, done, _: stage == "train" and steps.append(done))
    assert not steps and list(result.metrics()["class_iou"]) == ["background", "dog", "cat"]
    # Boxes of labelme hold their last row and column; the last number is that of pixels nobody annotated.
    assert result.confusion.counts.sum(1).tolist() == [2 * (12 * 16 - 48 - 56), 2 * 56, 2 * 48, 0]


def test_an_annotation_that_changes_begins_anew(folders, tmp_path, caplog):
    _, validation, test = folders
    with pytest.raises(Stop):
        distill_folder(DistillRequest(test, validation, settings=QUICK), tmp_path / "out", progress=stop_at("train", 1))
    labelme_folder(test, 1, 20)
    distill_folder(DistillRequest(test, validation, settings=QUICK), tmp_path / "out")
    assert "changed: samples" in caplog.text


def test_numbers_without_names_do_not_meet_labels(folders, tmp_path):
    examples = [toy_example(1, index, 32) for index in range(4)]
    images, targets = (np.stack([getattr(e, name) for e in examples]) for name in ("image", "target"))
    np.savez(tmp_path / "samples.npz", images, targets.clip(max=2), np.linspace(0, 1, 4, dtype=np.float32))
    for validation in folders[1:]:
        request = DistillRequest(tmp_path / "samples.npz", validation, settings=QUICK)
        with pytest.raises(InputError, match=r"samples\.npz: nothing says .* put a classes\.json beside it"):
            distill_folder(request, tmp_path / "student")
    classes_json(tmp_path, labels.BACKGROUND, "cat", "dog")
    assert distill_folder(request, tmp_path / "student") is None


def folder_recipe(root, checkpoint):
    ddpm = {"kind": "features", "checkpoint": str(checkpoint), "options": {"timesteps": [50], "blocks": [1, 2]}}
    few = {"members": 2, "small_region": 1, "protocol": {"steps": 5, "batch_size": 16}}
    student = {"architecture": "fpn", "encoder": "mobilenet_v2", "epochs": 1, "least_steps": 0, "batch_size": 2}
    return parse_recipe(
        {
            "title": "exports",
            "data": {"kind": "folder", "path": str(root)},
            "rows": [
                {**ddpm, "name": "features", "segmenter": few},
                {"kind": "unet", "name": "U-Net", "decoder": [8, 8, 8], "steps": 2, "batch": 2},
                {"kind": "student", "name": "student", "source": "images", "images": "train", "student": student},
            ],
            "runs": 1,
            "pictures": 2,
        }
    )


def test_a_recipe_on_exports(folders, tiny_ddpm, tmp_path):
    recipe = folder_recipe(tmp_path, tiny_ddpm)
    result = run_comparison(recipe, tmp_path / "out")
    assert result.classes.names == ("background", "dog", "cat")
    assert all(np.isfinite(result.values(row, "miou")).all() for row in result.runs)

    # What cannot be evaluated is found before anything is fitted.
    labelme(folders[2], "odd", [box("horse", 1, 1, 6, 8)])
    with pytest.raises(InputError, match="label 'horse' is none of the classes"):
        run_comparison(recipe, tmp_path / "other")
    for path in folders[2].glob("*.json"):
        labelme(folders[2], path.stem, [box(labels.IGNORED, 0, 0, 16, 12)])
    with pytest.raises(InputError, match="test: no pixel is annotated"):
        run_comparison(recipe, tmp_path / "other")
    assert not (tmp_path / "other" / "runs").exists()
