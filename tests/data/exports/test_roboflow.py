"""Roboflow's PNG masks."""

from pathlib import Path

import pytest

from frugalseg.data.classes import ClassTable
from frugalseg.data.folder import SegmentationFolder
from frugalseg.support.files import FileError
from tests.data.helpers import halves, picture, save_image


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "train"
    for i, name in enumerate(("0_png.rf.abc", "1_png.rf.def")):
        save_image(folder / f"{name}.jpg", picture(i))
        save_image(folder / f"{name}_mask.png", halves(i, 2))
    (folder / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, cat\n2, dog\n")
    return folder


def test_masks_beside_images_and_names_from_the_table(export: Path) -> None:
    for place in (export, export.parent):
        folder = SegmentationFolder(place)
        assert folder.names == ["0_png.rf.abc", "1_png.rf.def"]
        assert folder.classes.names == ("background", "cat", "dog")
        assert folder[1].target[0].tolist() == [1] * 8 + [2] * 8


def test_classes_are_found_by_name_in_another_table(export: Path) -> None:
    table = ClassTable((3, 4, 9), ("dog", "cat", "background"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)))
    folder = SegmentationFolder(export, table)
    assert folder[0].target[0].tolist() == [2] * 8 + [0] * 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no class"),
        ("Pixel Value, Class\n0, a\nx, b\n", "line 3 is not a number and a name"),
        ("0, a\n0, b\n", "explains 0 twice"),
        ("0, a\n1, a\n", "used by more than one class"),
        ("0, background\n1, cat\n", "holds 2, which _classes.csv does not list"),
    ],
)
def test_a_wrong_table_is_told(export: Path, text: str, message: str) -> None:
    (export / "_classes.csv").write_text(text)
    with pytest.raises(FileError) as error:
        list(SegmentationFolder(export))
    assert message in str(error.value) and len(str(error.value).splitlines()) == 1


def test_a_table_without_masks(export: Path) -> None:
    for mask in export.glob("*_mask.png"):
        mask.unlink()
    with pytest.raises(FileError, match=r"no \*_mask\.png beside _classes\.csv"):
        SegmentationFolder(export)


def masks_of(export: Path, left: int, right: int) -> None:
    for mask in export.glob("*_mask.png"):
        save_image(mask, halves(left, right))


@pytest.mark.parametrize(
    ("table", "names", "target"),
    [
        ("0, background\n1, cat\n255, dog\n", ("background", "cat", "dog"), [1] * 8 + [2] * 8),
        ("255, background\n1, cat\n", ("background", "cat"), [1] * 8 + [0] * 8),
        ("0, background\n1, cat\n255, Void\n", ("background", "cat"), [1] * 8 + [255] * 8),
        ("0, background\n1, cat\n", ("background", "cat"), [1] * 8 + [255] * 8),
    ],
)
def test_255_is_a_class_where_the_table_lists_it(
    export: Path, table: str, names: tuple[str, ...], target: list[int]
) -> None:
    masks_of(export, 1, 255)
    (export / "_classes.csv").write_text(f"Pixel Value, Class\n{table}")
    folder = SegmentationFolder(export)
    assert folder.classes.names == names and folder.classes.ignore_index == 255
    assert folder[0].target[0].tolist() == target


def test_names_with_commas(export: Path) -> None:
    masks_of(export, 1, 2)
    (export / "_classes.csv").write_text('Pixel Value, Class\n0, background\n1, cat, black\n2, "cat, white"\n')
    assert SegmentationFolder(export).classes.names == ("background", "cat, black", "cat, white")
    (export / "_classes.csv").write_text("Pixel Value, Class, Color\n0, background, #000\n1, cat, #f00\n2, dog, #0f0\n")
    assert SegmentationFolder(export).classes.names == ("background", "cat", "dog")
