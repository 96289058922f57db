import pickle
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from frugalseg.data.check import check_folder
from frugalseg.data.classes import ClassTable
from frugalseg.data.exports.labelme_shapes import draw_shape
from frugalseg.data.folder import SegmentationFolder
from frugalseg.support.errors import InputError
from tests.data.exports.helpers import GOLDEN, SIZE, box, classes_json, drawn, labelme, write_json
from tests.data.helpers import data_folder, halves, picture, save_image


@pytest.mark.parametrize("known", GOLDEN["labelme"])
def test_shapes_are_drawn_as_labelme_draws_them(known: dict[str, Any]) -> None:
    canvas = Image.new("I", SIZE[::-1], 3)
    draw_shape(canvas, known, 700)
    np.testing.assert_array_equal(np.asarray(canvas), np.where(drawn(known["rows"]), 700, 3))


def test_shapes_lie_over_each_other_as_in_labelme(tmp_path: Path) -> None:
    known = GOLDEN["labels"]
    save_image(tmp_path / "a.png", picture(0, *SIZE))
    write_json(tmp_path / "a.json", {"shapes": known["shapes"], "imagePath": "a.png"})
    folder = SegmentationFolder(tmp_path)
    assert folder.classes.names == ("background", "a", "b", "c") and folder.classes.ids == (0, 1, 2, 3)
    truth = np.array([[255 if c == "9" else int(c) for c in row] for row in known["rows"]])
    np.testing.assert_array_equal(folder[0].target, truth)


def test_labels_are_numbered_by_the_alphabet_and_the_rest_is_background(tmp_path: Path) -> None:
    labelme(tmp_path, "a", [box("cell", 0, 0, 3, 3), box("axon", 10, 5, 12, 6)])
    labelme(tmp_path, "b", [], seed=1)
    save_image(tmp_path / "spare.png", picture(2))
    folder = pickle.loads(pickle.dumps(SegmentationFolder(tmp_path)))
    assert folder.names == ["a", "b"] and folder.classes.names == ("background", "axon", "cell")
    target = folder[0].target
    assert (target == 2).sum() == 16 and (target == 1).sum() == 6 and not folder[1].target.any()
    told = [str(finding) for finding in check_folder(tmp_path, small_regions=5)]
    assert any("1 image not annotated, not used: spare.png" in line for line in told)
    assert any("b.png: 1 image without any object" in line for line in told)
    assert not any(line.startswith("error") for line in told)


def test_without_a_background_class_the_rest_is_not_annotated(tmp_path: Path) -> None:
    scribbles = [
        {"label": "cell", "points": [[1, 1], [10, 1]], "shape_type": "linestrip"},
        box("matrix", 0, 10, 15, 11),
    ]
    labelme(tmp_path, "a", scribbles)
    classes_json(tmp_path, "cell", "matrix")
    target = SegmentationFolder(tmp_path)[0].target
    assert set(np.unique(target).tolist()) == {0, 1, 255} and (target[10:] == 1).all()


def test_a_table_is_matched_by_name(tmp_path: Path) -> None:
    labelme(tmp_path / "train", "a", [box("cell", 0, 0, 3, 3), box("axon", 5, 5, 6, 6)])
    labelme(tmp_path / "test", "b", [box("cell", 0, 0, 3, 3)])
    train = SegmentationFolder(tmp_path / "train")
    test = SegmentationFolder(tmp_path / "test", train.classes)
    assert (test[0].target == 2).sum() == 16
    assert SegmentationFolder(tmp_path).path == tmp_path / "train"
    classes_json(tmp_path, "axon", "Background", "cell")
    assert SegmentationFolder(tmp_path / "test")[0].target[5, 5] == 1


def test_an_unknown_label_is_named_with_its_remedy(tmp_path: Path) -> None:
    labelme(tmp_path, "a", [box("catt", 0, 0, 3, 3)])
    classes_json(tmp_path, "background", "cat")
    expected = r"a\.json: label 'catt' is none of the classes \('background', 'cat'\); correct the label, or add it to"
    with pytest.raises(InputError, match=expected):
        SegmentationFolder(tmp_path)[0]
    (finding,) = [f for f in check_folder(tmp_path) if f.level == "error"]
    assert "catt" in finding.message and finding.where.endswith("a.json")


@pytest.mark.parametrize("path", ["../images/a.png", "..\\images\\a.png"])
def test_the_image_may_be_elsewhere_in_the_folder(tmp_path: Path, path: str) -> None:
    save_image(tmp_path / "images" / "a.png", picture(0))
    write_json(tmp_path / "annotations" / "x.json", {"shapes": [box("c", 0, 0, 1, 1)], "imagePath": path})
    folder = SegmentationFolder(tmp_path)
    assert folder.names == ["a"] and folder[0].target.sum() == 4


@pytest.mark.parametrize("path", ["../secret.png", "/etc/secret.png", "C:\\x\\secret.png", "a/../../secret.png"])
def test_images_outside_of_the_folder_are_never_read(tmp_path: Path, path: str) -> None:
    save_image(tmp_path / "secret.png", picture(0))
    write_json(tmp_path / "data" / "x.json", {"shapes": [], "imagePath": path})
    with pytest.raises(InputError, match=r"x\.json: names the image .* leads out of the data folder; put the image"):
        SegmentationFolder(tmp_path / "data")
    # Of a file that was moved, the name is enough where the image came along.
    save_image(tmp_path / "data" / "secret.png", picture(1))
    np.testing.assert_array_equal(SegmentationFolder(tmp_path / "data")[0].image, picture(1))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"label": "c", "points": [[1, 1], [2, 2]]}, "shape 1 ('c'): it has 2 points, not at least 3"),
        ({"label": "c", "points": [[1, 1], [2, float("nan")], [3, 3]]}, "not finite"),
        ({"label": "c", "points": [[1, 1], [2, 1e9], [3, 3]]}, "beyond 1000000"),
        ({"label": "c", "points": "x"}, "not pairs of numbers"),
        ({"label": "c", "points": [[1, 1]], "shape_type": "star"}, "shape_type 'star' is none of polygon"),
        ({"label": "c", "points": [[0, 0], [1, 1]], "shape_type": "mask", "mask": "?"}, "not a PNG in base64"),
        ({"label": 7, "points": []}, "the label 7 is not a line of text"),
        ({"label": "a\nb", "points": []}, "is not a line of text"),
    ],
)
def test_wrong_shapes_are_one_line(tmp_path: Path, shape: dict[str, Any], message: str) -> None:
    labelme(tmp_path, "a", [shape])
    classes_json(tmp_path, "background", "c")
    with pytest.raises(InputError) as error:
        SegmentationFolder(tmp_path)[0]
    assert message in str(error.value) and "a.json" in str(error.value) and "\n" not in str(error.value)


def test_wrong_files_are_all_found(tmp_path: Path) -> None:
    labelme(tmp_path, "good", [box("c", 0, 0, 3, 3)])
    labelme(tmp_path, "large", [], seed=1, imageHeight=99)
    labelme(tmp_path, "turned", [], seed=2, imageHeight=16, imageWidth=12)
    labelme(tmp_path, "other", [], seed=3, imagePath="another.png")
    labelme(tmp_path, "broken", [], seed=4).write_text("{")
    write_json(tmp_path / "lost.json", {"shapes": [], "imagePath": "lost.png"})
    write_json(tmp_path / "twin.json", {"shapes": [], "imagePath": "good.png"})
    told = [str(finding) for finding in check_folder(tmp_path) if finding.level == "error"]
    for text in (
        "large.json: large.png is 99x16 (height x width) in it, the image itself 12x16; annotate",
        "turned.png is 16x12 (height x width) in it, the image itself 12x16, as if it lay on its side (EXIF)",
        "other.json: was drawn on another.png, but lies beside other.png",
        "broken.json: not JSON",
        "lost.json: names the image 'lost.png', which is not there",
        "good.png: annotated in good.json and in twin.json",
    ):
        assert any(text in line for line in told), text
    assert len(told) == 6


def test_shapes_are_drawn_on_the_upright_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(0)).save(tmp_path / "a.jpg", exif=exif)
    document = {"shapes": [box("c", 0, 12, 11, 15)], "imagePath": "a.jpg", "imageHeight": 16, "imageWidth": 12}
    write_json(tmp_path / "a.json", document)
    target = SegmentationFolder(tmp_path)[0].target
    assert target.shape == (16, 12) and target[12:].all() and not target[:12].any()


def test_images_and_masks_come_first(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 1)])
    labelme(tmp_path, "a", [box("c", 0, 0, 3, 3)])
    assert SegmentationFolder(tmp_path).classes == ClassTable.from_ids([0, 1])


def test_a_giant_file_is_not_read(tmp_path: Path) -> None:
    labelme(tmp_path, "a", [box("c", 0, 0, 3, 3)])
    with (tmp_path / "a.json").open("ab") as file:
        file.truncate(600 * 2**20)
    with pytest.raises(InputError, match="larger than 512 MB"):
        SegmentationFolder(tmp_path)


@pytest.mark.parametrize("named", ["NFC", "NFD"])
@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_names_that_differ_in_how_accents_are_written(tmp_path: Path, named: str, stored: str, written: str) -> None:
    image, file, path = (unicodedata.normalize(form, "café") for form in (stored, named, written))
    made = labelme(tmp_path, image, [box("cat", 0, 0, 4, 4)], imagePath=f"{path}.png")
    made.rename(tmp_path / f"{file}.json")
    assert SegmentationFolder(tmp_path)[0].target.max() == 1
