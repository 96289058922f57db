import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frugalseg.data.check import check_folder
from frugalseg.data.classes import ClassTable
from frugalseg.data.exports.voc_legend import voc_colors
from frugalseg.data.folder import SegmentationFolder
from frugalseg.support.errors import InputError
from tests.data.exports.helpers import classes_json, voc, write_json
from tests.data.helpers import halves

PALETTE = [value for color in voc_colors() for value in color]
LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncell:250,50,83::\naxon:51,221,255::\n"


def coloured(*colors: tuple[int, int, int]) -> np.ndarray:
    """(12, 16, 3) in vertical stripes of equal width."""
    return np.repeat(np.array(colors, np.uint8), 16 // len(colors), axis=0)[None].repeat(12, 0)


def test_the_colours_are_those_of_the_devkit() -> None:
    colors = voc_colors()
    known = {1: (128, 0, 0), 2: (0, 128, 0), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    assert {i: colors[i] for i in known} == known and colors[255] == (224, 224, 192)


def test_indexed_masks_have_the_names_of_voc(tmp_path: Path) -> None:
    mask = halves(0, 15)
    mask[:, 8] = 255
    voc(tmp_path, {"a": mask, "b": halves(0, 8)}, PALETTE, spare=["c"])
    folder = pickle.loads(pickle.dumps(SegmentationFolder(tmp_path)))
    assert folder.names == ["a", "b"] and folder.classes.ids == (0, 8, 15)
    assert folder.classes.names == ("background", "cat", "person")
    assert folder[0].target[0].tolist() == [0] * 8 + [255] + [2] * 7
    assert any("1 image not annotated, not used: c.png" in str(finding) for finding in check_folder(tmp_path))


@pytest.mark.parametrize("place", ["VOC2012", "VOCdevkit/VOC2012"])
def test_the_parents_of_a_year(tmp_path: Path, place: str) -> None:
    voc(tmp_path / place, {"a": halves(0, 15)}, PALETTE)
    assert SegmentationFolder(tmp_path).path == tmp_path / place
    voc(tmp_path / "VOC2007", {"a": halves(0, 15)}, PALETTE)
    with pytest.raises(InputError, match="several years"):
        SegmentationFolder(tmp_path)


def test_lists_of_images(tmp_path: Path) -> None:
    voc(tmp_path, {"a": halves(0, 1), "b": halves(0, 2)}, PALETTE, spare=["c"])
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("b\n")
    (lists / "train.txt").write_text("a\nc\n")
    assert SegmentationFolder(tmp_path).names == ["a"]
    (lists / "trainval.txt").write_text("a\nb\nc\n")
    assert SegmentationFolder(tmp_path).names == ["a", "b"]


LISTS = {
    "lines of Windows": b"a\r\nb\r\n",
    "a mark in front": b"\xef\xbb\xbfa\nb\n",
    "UTF-16": "a\r\nb\r\n".encode("utf-16"),
    "empty lines, doubled names": b"\n b \n\n a\nb",
}


@pytest.mark.parametrize("content", LISTS.values(), ids=LISTS)
def test_lists_as_editors_save_them(content: bytes, tmp_path: Path) -> None:
    voc(tmp_path, {"a": halves(0, 1), "b": halves(0, 2), "c": halves(0, 2)}, PALETTE)
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_bytes(content)
    assert SegmentationFolder(tmp_path).names == ["a", "b"]


STRANGE = {
    "another name": ("a\nzz", "1 name in it of which there is no image: zz; correct the list"),
    "a label behind the name": ("a 1\nb -1\n", "2 names in it of which there is no image: a 1, b -1"),
    "another case": ("A\nb", "no image: A"),
    "a way out": ("../a\nb", r"no image: \.\./a"),
    "nothing": ("\n\n", r"train\.txt: names no image"),
}


@pytest.mark.parametrize(("content", "said"), STRANGE.values(), ids=STRANGE)
def test_names_in_a_list_that_no_image_has_are_told(content: str, said: str, tmp_path: Path) -> None:
    """Without a word, the images that were meant would be left out."""
    voc(tmp_path, {"a": halves(0, 1), "b": halves(0, 2)}, PALETTE)
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_text(content)
    with pytest.raises(InputError, match=said):
        SegmentationFolder(tmp_path)


def test_colours_of_cvat_are_matched_by_name(tmp_path: Path) -> None:
    voc(tmp_path, {"a": coloured((0, 0, 0), (51, 221, 255), (224, 224, 192), (250, 50, 83))})
    (tmp_path / "labelmap.txt").write_text(LABELMAP)
    folder = SegmentationFolder(tmp_path)
    assert folder.classes == ClassTable(
        (0, 1, 2), ("background", "cell", "axon"), ((0, 0, 0), (250, 50, 83), (51, 221, 255))
    )
    assert folder[0].target[0, ::4].tolist() == [0, 2, 255, 1] and tmp_path / "labelmap.txt" in folder.files
    classes_json(tmp_path, "axon", "cell", first=3)
    assert SegmentationFolder(tmp_path)[0].target[0, ::4].tolist() == [255, 0, 255, 1]
    classes_json(tmp_path, "background", "cell")
    with pytest.raises(InputError, match=r"a\.png: label 'axon' is none of the classes"):
        SegmentationFolder(tmp_path)[0]


def test_the_palette_of_an_indexed_mask_decides_not_the_order(tmp_path: Path) -> None:
    palette = [0, 0, 0, 51, 221, 255, 250, 50, 83]
    voc(tmp_path, {"a": halves(1, 2)}, palette)
    (tmp_path / "labelmap.txt").write_text(LABELMAP)
    assert SegmentationFolder(tmp_path)[0].target[0, ::8].tolist() == [2, 1]


def test_class_names_of_labelme(tmp_path: Path) -> None:
    voc(tmp_path, {"a": halves(0, 1)}, PALETTE)
    (tmp_path / "class_names.txt").write_text("_background_\ncell")
    folder = SegmentationFolder(tmp_path)
    assert folder.classes.names == ("_background_", "cell") and folder[0].target[0, ::8].tolist() == [0, 1]


def test_voc_colours_without_a_legend(tmp_path: Path) -> None:
    voc(tmp_path, {"a": coloured((0, 0, 0), (64, 0, 0))})
    assert SegmentationFolder(tmp_path).classes.names == ("background", "cat")


def test_without_a_legend_masks_hold_ids(tmp_path: Path) -> None:
    voc(tmp_path, {"a": halves(0, 33)})
    assert SegmentationFolder(tmp_path).classes.names == ("class 0", "class 33")
    classes_json(tmp_path, *[f"c{i}" for i in range(34)])
    assert SegmentationFolder(tmp_path)[0].target.max() == 33


@pytest.mark.parametrize(
    ("legend", "message"),
    [
        (
            None,
            r"a\.png: the color 1,2,3 is that of no label; give the folder a labelmap\.txt with a line name:1,2,3::",
        ),
        (LABELMAP, "the color 1,2,3 is that of no label"),
        ("cell:1,2::", r"labelmap\.txt: the color of 'cell' is '1,2'"),
        ("cell:1,2,3::\ncell:3,2,1::", "name 'cell' is used by more than one class"),
        ("cell:1,2,3::\naxon:1,2,3::", "two labels have the same color"),
        ("# nothing", "has 0 labels"),
        (f"cell:{'1' * 5000},2,3::", r"labelmap\.txt: the color of 'cell' is '1111"),
        ("#" * 2**20 + "\n", r"labelmap\.txt: larger than 1 MB; list 1 to 254 labels"),
    ],
)
def test_wrong_colours_are_one_line(tmp_path: Path, legend: str | None, message: str) -> None:
    voc(tmp_path, {"a": coloured((0, 0, 0), (1, 2, 3))})
    if legend is not None:
        (tmp_path / "labelmap.txt").write_text(legend)
    with pytest.raises(InputError, match=message):
        SegmentationFolder(tmp_path)[0]


def test_a_mask_without_its_image(tmp_path: Path) -> None:
    voc(tmp_path, {"a": halves(0, 1), "b": halves(0, 1)}, PALETTE)
    (tmp_path / "JPEGImages" / "b.png").unlink()
    with pytest.raises(InputError, match=r"1 mask without an image: b\.png"):
        SegmentationFolder(tmp_path)


def test_folders_within_the_folders_and_a_list_with_suffixes(tmp_path: Path) -> None:
    voc(tmp_path, {"a": halves(0, 15), "b.v2": halves(0, 8), "c": halves(0, 7)}, PALETTE)
    for part in ("JPEGImages", "SegmentationClass"):
        (tmp_path / part / "cam1").mkdir()
        for path in list((tmp_path / part).glob("*.png")):
            path.rename(path.parent / "cam1" / path.name)
    folder = SegmentationFolder(tmp_path)
    assert folder.names == ["cam1/a", "cam1/b.v2", "cam1/c"]
    assert folder.classes.names == ("background", "car", "cat", "person")
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("cam1/a.png\nb.v2.png\n")
    assert SegmentationFolder(tmp_path).names == ["cam1/a", "cam1/b.v2"]
    (lists / "train.txt").write_text("cam1/a\nb.v2\n")
    assert SegmentationFolder(tmp_path).names == ["cam1/a", "cam1/b.v2"]


def test_a_giant_list_is_not_read(tmp_path: Path) -> None:
    voc(tmp_path, {"a": halves(0, 15)}, PALETTE)
    path = tmp_path / "ImageSets" / "Segmentation" / "train.txt"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match=r"train\.txt: larger than 64 MB; write the name of one image into each line"):
        SegmentationFolder(tmp_path)


@pytest.mark.parametrize("mode", ["RGB", "P", "L"])
def test_a_mask_of_several_pages_is_refused(tmp_path: Path, mode: str) -> None:
    voc(tmp_path, {"a": halves(0, 15)}, PALETTE)
    (tmp_path / "labelmap.txt").write_text(LABELMAP)
    (tmp_path / "SegmentationClass" / "a.png").unlink()
    pages = [Image.new(mode, (16, 12)) for _ in range(2)]
    pages[0].save(tmp_path / "SegmentationClass" / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match=r"a\.tif: holds 2 pages, where a mask is one page"):
        SegmentationFolder(tmp_path)[0]


def test_without_a_legend_the_colors_of_classes_json_come_before_those_of_voc(tmp_path: Path) -> None:
    """Green is VOC's label 2 and maroon its label 1."""
    green, maroon, void = (0, 128, 0), (128, 0, 0), (224, 224, 192)
    voc(tmp_path, {"a": coloured((0, 0, 0), green, maroon, void)})
    voc(tmp_path, {"b": halves(1, 2)}, [0, 0, 0, *maroon, *green])
    colors = [(0, "background", (0, 0, 0)), (1, "cat", green), (2, "dog", maroon)]
    table = {"classes": [{"id": i, "name": name, "color": color} for i, name, color in colors]}
    write_json(tmp_path / "classes.json", table)
    folder = SegmentationFolder(tmp_path)
    assert folder[0].target[0].tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [255] * 4
    assert folder[1].target[0].tolist() == [2] * 8 + [1] * 8


def test_masks_of_which_none_can_be_read_are_not_said_to_be_empty(tmp_path: Path) -> None:
    voc(tmp_path, {"a": coloured((1, 2, 3), (0, 0, 0))})
    told = [str(finding) for finding in check_folder(tmp_path)]
    assert any("the color 1,2,3 is that of no label" in line for line in told)
    assert not any("no pixel of any mask is annotated" in line for line in told)
