import json
import pickle
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frugalseg.data.check import check_folder
from frugalseg.data.exports.coco import _unpaired
from frugalseg.data.exports.coco_index import ImageEntry
from frugalseg.data.folder import SegmentationFolder
from frugalseg.support.errors import InputError
from frugalseg.support.files import read_json
from tests.data.exports.helpers import classes_json, coco, square, write_json
from tests.data.helpers import picture, save_image

CATEGORIES = {1: "cell", 7: "axon"}


@pytest.mark.parametrize(
    ("file", "image"),
    [
        ("_annotations.coco.json", "a.png"),
        ("annotations/instances_default.json", "images/a.png"),
        ("annotations/instances_train.json", "images/train/a.png"),
        ("annotations/instances_train2017.json", "train2017/a.png"),
        ("result.json", "images/a.png"),
        ("annotations.json", "images/a.png"),
    ],
)
def test_where_tools_put_their_files(tmp_path: Path, file: str, image: str) -> None:
    save_image(tmp_path / image, picture(0))
    coco(tmp_path / file, ["a.png"], [(1, 7, [square(2, 3, 4)])], CATEGORIES)
    folder = SegmentationFolder(tmp_path)
    assert folder.names == ["a"] and folder.classes.ids == (0, 1, 7)
    assert folder.classes.names == ("background", "cell", "axon")
    assert (folder[0].target[3:7, 2:6] == 2).all() and (folder[0].target == 2).sum() == 16


def test_roboflow_splits_and_its_unused_category(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        save_image(tmp_path / split / "a.png", picture(0))
        file = coco(tmp_path / split / "_annotations.coco.json", ["a.png"], [(1, 1, [square(0, 0, 2)])], {1: "cell"})
        document = json.loads(file.read_text())
        document["categories"].insert(0, {"id": 0, "name": "cell", "supercategory": "none"})
        write_json(file, document)
    assert SegmentationFolder(tmp_path).path == tmp_path / "train"
    assert SegmentationFolder(tmp_path / "valid").classes.ids == (0, 1)


def test_moved_and_windows_paths_of_label_studio(tmp_path: Path) -> None:
    for i, name in enumerate("ab"):
        save_image(tmp_path / "images" / f"{name}.png", picture(i))
    coco(
        tmp_path / "result.json",
        ["images\\a.png", "..\\..\\label-studio\\media\\upload\\4\\b.png"],
        [(1, 0, [square(0, 0, 2)]), (2, 1, [square(0, 0, 3)])],
        {0: "cell", 1: "axon"},
    )
    folder = SegmentationFolder(tmp_path)
    # Its categories begin with 0, which is the background's.
    assert folder.classes.ids == (0, 1, 2) and folder.classes.names[1:] == ("cell", "axon")
    assert [(example.target == 0).sum() for example in folder] == [192 - 4, 192 - 9]


def test_smaller_objects_lie_over_larger_ones_and_parts_unite(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", picture(0))
    runs = {"counts": [0, 192], "size": [12, 16]}
    two = [square(0, 0, 3), square(2, 2, 3)]
    coco(tmp_path / "x.json", ["a.png"], [(1, 1, [square(1, 1, 1)]), (1, 7, two), (1, 1, runs)], CATEGORIES)
    target = SegmentationFolder(tmp_path)[0].target
    assert target[1, 1] == 1 and (target == 2).sum() == 9 + 9 - 1 - 1 and not (target == 0).any()


def test_equal_stems_in_sub_folders_have_names_of_their_own(tmp_path: Path) -> None:
    names = ["day1/a.png", "day2/a.png", "b.png"]
    for i, name in enumerate(names):
        save_image(tmp_path / "images" / name, picture(i))
    coco(tmp_path / "x.json", names, [(2, 1, [square(0, 0, 2)])], CATEGORIES)
    folder = SegmentationFolder(tmp_path)
    assert folder.names == ["b", "images/day1/a", "images/day2/a"]
    assert [int(example.target.sum()) for example in folder] == [0, 0, 4]
    save_image(tmp_path / "images" / "b.bmp", picture(9))
    coco(tmp_path / "x.json", ["b.png", "b.bmp"], [], CATEGORIES)
    with pytest.raises(InputError, match="names clash"):
        SegmentationFolder(tmp_path)


def test_the_file_is_read_once_and_its_images_travel_light(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(5):
        save_image(tmp_path / f"{i}.png", picture(i))
    file = coco(
        tmp_path / "x.json",
        [f"{i}.png" for i in range(5)],
        [(i, 1, [square(0, 0, i)]) for i in range(1, 6)],
        CATEGORIES,
    )
    read: list[Path] = []
    monkeypatch.setattr("frugalseg.data.exports.coco.read_json", lambda path: (read.append(path), read_json(path))[1])
    packed = pickle.dumps(SegmentationFolder(tmp_path))
    assert read.count(file) == 1 and len(packed) < 5000
    folder = pickle.loads(packed)
    assert [int((example.target == 1).sum()) for example in folder] == [1, 4, 9, 16, 25]
    assert folder.files == [*folder.image_paths, file] and read.count(file) == 1


def test_numbers_of_train_and_test_may_differ(tmp_path: Path) -> None:
    for split, categories in (("train", {1: "cell", 2: "axon"}), ("test", {1: "axon", 2: "cell"})):
        save_image(tmp_path / split / "a.png", picture(0))
        coco(tmp_path / split / "x.json", ["a.png"], [(1, 1, [square(0, 0, 2)])], categories)
    train = SegmentationFolder(tmp_path / "train")
    test = SegmentationFolder(tmp_path / "test", train.classes)
    assert train[0].target.max() == 1 and test[0].target.max() == 2
    classes_json(tmp_path, "cell", "axon")
    assert (SegmentationFolder(tmp_path / "test")[0].target[5:] == 255).all()


def changed(**values: Any) -> dict[str, Any]:
    """A sound document with other values."""
    return {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"image_id": 1, "category_id": 1, "segmentation": [square(0, 0, 3)]}],
        "categories": [{"id": 1, "name": "cell"}],
        **values,
    }


BOX = {"image_id": 1, "category_id": 1, "segmentation": [], "bbox": [0, 0, 3, 3]}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (changed(annotations=[BOX]), "1 of 1 objects have no segmentation, at most a box; segmentation needs outlines"),
        (changed(annotations=[{**BOX, "category_id": 9}]), "has the category 9, which is not listed"),
        (changed(annotations=[{**BOX, "category_id": [9]}]), "has the category [9], which is not listed"),
        (changed(annotations=[3]), "number 1 of annotations is not an object"),
        (changed(categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]), "several categories are named a"),
        (changed(categories=[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]), "several categories have the id 1"),
        (changed(categories=[{"id": -1, "name": "a"}]), "a category has the id -1"),
        (changed(categories=[{"id": 1, "name": ""}]), "is not a line of text"),
        (changed(images=[]), "lists no images"),
        (changed(images=[{"id": 1}]), "image number 1 has no id or no file_name"),
        (changed(images=[{"id": 1, "file_name": "a.png"}] * 2), "several images have the id 1"),
        (changed(images=[{"id": i, "file_name": "a.png"} for i in (1, 2)]), "1 image listed more than once: a.png"),
        (changed(images=[{"id": 1, "file_name": "b.png"}]), "names the image 'b.png', which is not there"),
        (changed(images=[{"id": 1, "file_name": "../b.png"}]), "which leads out of the data folder"),
        (changed(images=[{"id": 1, "file_name": "b\0" + "x" * 300}]), "which is not there"),
        (changed(images=[{"id": i, "file_name": f"{i}.png"} for i in (1, 2)]), "2 of its images are not in the folder"),
        (changed(images=[{"id": 1, "file_name": "a.png", "width": 9, "height": 9}]), "a.png is 9x9 (height x width)"),
        (changed(annotations=[{**BOX, "segmentation": [[1, 1]]}]), "an object ('cell') of a.png: it has 1 points"),
    ],
)
def test_wrong_files_are_one_line(tmp_path: Path, document: dict[str, Any], message: str) -> None:
    save_image(tmp_path / "a.png", picture(0))
    write_json(tmp_path / "x.json", document)
    with pytest.raises(InputError) as error:
        SegmentationFolder(tmp_path)[0]
    assert message in str(error.value) and "x.json" in str(error.value) and "\n" not in str(error.value)


def test_a_broken_file_and_several_files(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", picture(0))
    (tmp_path / "_annotations.coco.json").write_text("{")
    with pytest.raises(InputError, match=r"_annotations\.coco\.json: not JSON"):
        SegmentationFolder(tmp_path)
    for name in ("_annotations.coco.json", "other.json"):
        write_json(tmp_path / name, changed())
    with pytest.raises(InputError, match=r"several COCO files: _annotations\.coco\.json, other\.json"):
        SegmentationFolder(tmp_path)


def test_the_doctor_names_images(tmp_path: Path) -> None:
    for i, name in enumerate("abc"):
        save_image(tmp_path / f"{name}.png", picture(i))
    objects = [(1, 1, [square(0, 0, 3)]), (2, 1, [[1, 1]])]
    coco(tmp_path / "x.json", ["a.png", "b.png", "c.png"], objects, CATEGORIES)
    told = [str(finding) for finding in check_folder(tmp_path, small_regions=5)]
    assert any("x.json: an object ('cell') of b.png: it has 1 points, not at least 3" in line for line in told)
    assert any("c.png: 1 image without any object" in line for line in told)
    assert any("no pixel of: axon" in line for line in told)
    assert np.array([line.startswith("error") for line in told]).sum() == 1


@pytest.mark.parametrize("write", [str, float, int, lambda i: str(i) if i == 1 else float(i)])
def test_ids_are_the_same_however_they_are_written(tmp_path: Path, write: Any) -> None:
    for name in "ab":
        save_image(tmp_path / f"{name}.png", picture(0))
    objects = [(1, 1, [square(2, 3, 4)]), (2, 7, [square(0, 0, 3)])]
    file = coco(tmp_path / "x.json", ["a.png", "b.png"], objects, CATEGORIES)
    document = json.loads(file.read_text())
    for annotation in document["annotations"]:
        annotation |= {"image_id": write(annotation["image_id"]), "category_id": write(annotation["category_id"])}
    write_json(file, document)
    folder = SegmentationFolder(tmp_path)
    assert [(example.target == place).sum() for place, example in enumerate(folder, 1)] == [16, 9]


def test_names_of_digits_stay_names(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", picture(0))
    save_image(tmp_path / "b.png", picture(1))
    file = coco(tmp_path / "x.json", ["a.png", "b.png"], [(1, 1, [square(0, 0, 2)])], CATEGORIES)
    document = json.loads(file.read_text())
    for image, key in zip(document["images"], ("007", 7), strict=True):
        image["id"] = key
    document["annotations"][0]["image_id"] = "007"
    write_json(file, document)
    assert [(example.target == 1).sum() for example in SegmentationFolder(tmp_path)] == [4, 0]


def test_objects_of_images_that_are_not_listed_are_counted(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", picture(0))
    objects = [(1, 1, [square(0, 0, 2)]), (5, 1, [square(0, 0, 2)]), (6, 1, [square(0, 0, 2)])]
    coco(tmp_path / "x.json", ["a.png"], objects, CATEGORIES)
    message = r"2 of 3 objects are of images that the file does not list \(image_id 5, 6\)"
    with pytest.raises(InputError, match=message):
        SegmentationFolder(tmp_path)
    assert any("2 of 3 objects" in finding.message for finding in check_folder(tmp_path))


@pytest.mark.parametrize("beyond", [0.0, 1e-9, 0.02])
def test_outlines_in_shares_of_the_image_are_refused(tmp_path: Path, beyond: float) -> None:
    """They may reach a little beyond the image."""
    save_image(tmp_path / "a.png", picture(0))
    coco(tmp_path / "x.json", ["a.png"], [(1, 1, [[-beyond, 0.1, 0.5, 0.1, 0.5, 1 + beyond]])], CATEGORIES)
    with pytest.raises(InputError, match="between 0 and 1, as shares of the images' sides"):
        SegmentationFolder(tmp_path)


@pytest.mark.parametrize(("listed", "stored"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_that_differ_in_how_accents_are_written(tmp_path: Path, listed: str, stored: str) -> None:
    name = "café.png"
    save_image(tmp_path / unicodedata.normalize(stored, name), picture(0))
    coco(tmp_path / "x.json", [unicodedata.normalize(listed, name)], [(1, 1, [square(0, 0, 2)])], CATEGORIES)
    assert (SegmentationFolder(tmp_path)[0].target == 1).sum() == 4


@pytest.mark.parametrize(("listed", "stored"), [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("name", ["a.png", "café.png"])
def test_folders_that_differ_in_how_accents_are_written(tmp_path: Path, listed: str, stored: str, name: str) -> None:
    save_image(tmp_path / unicodedata.normalize(stored, "Köln") / name, picture(0))
    path = unicodedata.normalize(listed, "Köln") + f"/{name}"
    coco(tmp_path / "x.json", [path], [(1, 1, [square(0, 0, 2)])], CATEGORIES)
    assert (SegmentationFolder(tmp_path)[0].target == 1).sum() == 4


def test_one_image_listed_twice_among_many_is_found_at_once(tmp_path: Path) -> None:
    """Each path is compared with those of one hash, not with all others: with 100 000 images that took hours."""
    compared = 0

    class Counted(type(tmp_path)):  # type: ignore[misc]
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return bool(super().__eq__(other))

        __hash__ = type(tmp_path).__hash__

    names = [f"{number}.png" for number in range(500)]
    places = {ImageEntry(number, name, None): Counted(tmp_path / name) for number, name in enumerate([*names, "7.png"])}
    (problem,) = _unpaired(tmp_path, tmp_path / "x.json", [tmp_path], places)
    assert "1 image listed more than once: 7.png" in str(problem) and compared < 1000


def test_a_category_without_objects_is_one_whatever_its_supercategory(tmp_path: Path) -> None:
    """Some tools give all categories the supercategory "none"."""
    save_image(tmp_path / "a.png", picture(0))
    file = coco(tmp_path / "x.json", ["a.png"], [(1, 1, [square(0, 0, 2)])], CATEGORIES)
    document = json.loads(file.read_text())
    for category in document["categories"]:
        category["supercategory"] = "none"
    write_json(file, document)
    assert SegmentationFolder(tmp_path).classes.names == ("background", "cell", "axon")
    document["categories"][0]["supercategory"] = "axon"  # as Roboflow's own category has it
    write_json(file, document)
    assert SegmentationFolder(tmp_path).classes.names == ("background", "cell")


@pytest.mark.parametrize("write", [float, str])
def test_sizes_are_compared_however_they_are_written(tmp_path: Path, write: Any) -> None:
    save_image(tmp_path / "a.png", picture(0))
    file = coco(tmp_path / "x.json", ["a.png"], [(1, 1, [square(0, 0, 2)])], CATEGORIES)
    document = json.loads(file.read_text())
    document["images"][0] |= {"height": write(12), "width": write(16)}
    write_json(file, document)
    assert (SegmentationFolder(tmp_path)[0].target == 1).sum() == 4
    document["images"][0]["height"] = write(24)
    write_json(file, document)
    with pytest.raises(InputError, match=r"a\.png is 24x16 \(height x width\) in it, the image itself 12x16"):
        list(SegmentationFolder(tmp_path))


def test_run_lengths_may_be_written_with_a_point(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", picture(0))
    runs = {"size": [12, 16], "counts": [12.0, 24.0, 156.0]}
    coco(tmp_path / "x.json", ["a.png"], [(1, 1, runs)], CATEGORIES)
    assert SegmentationFolder(tmp_path)[0].target[0].tolist() == [0, 1, 1] + [0] * 13


@pytest.mark.parametrize(("listed", "given"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_labels_that_differ_in_how_accents_are_written(tmp_path: Path, listed: str, given: str) -> None:
    save_image(tmp_path / "a.png", picture(0))
    label = unicodedata.normalize(listed, "fenêtre")
    coco(tmp_path / "x.json", ["a.png"], [(1, 1, [square(0, 0, 2)])], {1: label})
    classes_json(tmp_path, "background", unicodedata.normalize(given, "fenêtre"))
    assert (SegmentationFolder(tmp_path)[0].target == 1).sum() == 4
