"""The images of a folder, and what is said of the rest."""

from pathlib import Path

import pytest

from frugalseg.data.image_folder import list_images, other_files, report_other_files, require_distinct_stems
from frugalseg.support.files import FileError
from tests.data.helpers import picture, save_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_list_images_is_sorted_and_knows_its_own(folder: Path) -> None:
    for name in ("b.JPG", "a.png", "c.webp", ".hidden.png", "._b.JPG", "notes.txt", "d.npy"):
        (folder / name).touch()
    (folder / "sub.png").mkdir()
    assert [p.name for p in list_images(folder)] == ["a.png", "b.JPG", "c.webp"]
    assert list_images(folder / "a.png") == [folder / "a.png"]


def test_list_images_of_nothing(folder: Path) -> None:
    with pytest.raises(FileError, match=r"no images in this folder; put images in it .avif bmp gif"):
        list_images(folder)
    with pytest.raises(FileError, match="no such folder"):
        list_images(folder / "none")
    (folder / "file.txt").touch()
    with pytest.raises(FileError, match="not a folder"):
        list_images(folder / "file.txt")


def test_equal_stems_are_named() -> None:
    require_distinct_stems([Path("x/a.png"), Path("x/b.png")])
    with pytest.raises(FileError, match=r"a.jpg/a.png"):
        require_distinct_stems([Path("x/a.jpg"), Path("x/a.png"), Path("x/b.png")])


def test_images_in_a_folder_of_the_folder_are_pointed_at(tmp_path: Path) -> None:
    for name in ("unlabeled", "train/images", "train/masks", "masks"):
        save_image(tmp_path / name / "a.png", picture(0))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=r"name the folder that has them: masks, train/images, unlabeled$"):
        list_images(tmp_path)


def test_images_below_a_folder_are_said_to_be_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.png", "more/b.png", ".hidden/c.png"):
        save_image(tmp_path / name, picture(0))
    (tmp_path / "empty").mkdir()
    report_other_files(tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: the images in folders of it are left out: more"
    ]


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", picture(0))
    for name in ("notes.txt", "b.xcf", ".hidden.png", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in other_files(tmp_path)] == ["b.xcf", "notes.txt"]
