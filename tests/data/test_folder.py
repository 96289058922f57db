import json
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frugalseg.data.channels import ChannelChoice
from frugalseg.data.classes import ClassTable
from frugalseg.data.datasets import channels_of, classes_of
from frugalseg.data.folder import Example, SegmentationFolder, as_dataset
from frugalseg.data.scan import summary
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from tests.data.helpers import data_folder, halves, picture, save_image


def classes_json(folder: Path, ids: list[int]) -> None:
    (folder / "classes.json").write_text(json.dumps({"classes": [{"id": i} for i in ids]}))


def test_images_and_masks(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 5), halves(7, 255, 6, 8)])
    folder = SegmentationFolder(tmp_path)
    assert len(folder) == 2 and folder.names == ["000", "001"] and folder.path == tmp_path
    assert folder.classes.ids == (0, 5, 7) and folder.size(1) == (6, 8)
    examples = list(folder)
    assert isinstance(examples[0], Example) and [e.name for e in examples] == folder.names
    np.testing.assert_array_equal(examples[0].image, picture(0))
    np.testing.assert_array_equal(examples[1].target, halves(2, 255, 6, 8))
    assert examples[1].target.dtype == np.uint8
    np.testing.assert_array_equal(folder[-1].target, examples[1].target)
    with pytest.raises(IndexError):
        folder[2]


def test_a_slice_is_a_smaller_folder_with_the_same_classes(tmp_path: Path) -> None:
    folder = SegmentationFolder(data_folder(tmp_path, [halves(0, 1), halves(2, 3), halves(4, 5)]))
    part = folder[1:]
    assert isinstance(part, SegmentationFolder) and part.names == ["001", "002"] and part.classes == folder.classes
    assert len(folder) == 3 and part[0].name == "001" and part.annotations[0].path.name == "001.png"


def test_published_layout(tmp_path: Path) -> None:
    for i in range(2):
        save_image(tmp_path / f"{i}.jpg", picture(i))
        np.save(tmp_path / f"{i}.npy", halves(0, 1).astype(float))
    folder = SegmentationFolder(str(tmp_path))
    assert folder.names == ["0", "1"] and folder[1].target.max() == 1


@pytest.mark.parametrize("place", ["data", "data/train", "."])
def test_classes_json_is_found_in_the_folder_or_its_parent(tmp_path: Path, place: str) -> None:
    data_folder(tmp_path / "data" / "train", [halves(0, 1)])
    classes_json(tmp_path / place, [0, 1, 2])
    # Two levels up belongs to something else.
    expected = 2 if place == "." else 3
    assert len(SegmentationFolder(tmp_path / "data" / "train").classes) == expected
    assert len(SegmentationFolder(tmp_path / "data").classes) == expected


def test_the_parent_is_found_from_inside_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_folder(tmp_path / "train", [halves(0, 1)])
    classes_json(tmp_path, [0, 1, 2])
    monkeypatch.chdir(tmp_path / "train")
    assert len(SegmentationFolder(".").classes) == 3


def test_given_classes_win(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(3, 4)])
    classes_json(tmp_path, [0])
    folder = SegmentationFolder(tmp_path, ClassTable.from_ids([4, 3, 9]))
    assert folder[0].target[0, 0] == 0 and folder[0].target[0, -1] == 1


def test_the_folder_is_read_lazily(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 1), halves(0, 1)])
    classes_json(tmp_path, [0, 1])
    (tmp_path / "images" / "001.png").write_bytes(b"broken")
    folder = SegmentationFolder(tmp_path)
    assert folder[0].name == "000"
    with pytest.raises(InputError, match=r"001\.png"):
        folder[1]


def nothing(_: Path) -> None:
    pass


def no_masks_folder(folder: Path) -> None:
    save_image(folder / "images" / "a.png", picture(0))


def empty_masks_folder(folder: Path) -> None:
    no_masks_folder(folder)
    (folder / "masks").mkdir()


def empty_images_folder(folder: Path) -> None:
    data_folder(folder, [halves(0, 1)])
    (folder / "images" / "000.png").unlink()


def only_images(folder: Path) -> None:
    save_image(folder / "a.png", picture(0))


def a_model(folder: Path) -> None:
    save_image(folder / "reconstructions.png", picture(0))
    (folder / "config.json").write_text("{}")
    (folder / "classifier.safetensors").touch()


def many_images_without_mask(folder: Path) -> None:
    data_folder(folder, [halves(0, 1)])
    for i in range(12):
        save_image(folder / "images" / f"lonely{i:02d}.png", picture(i))


def mask_without_image(folder: Path) -> None:
    data_folder(folder, [halves(0, 1)])
    save_image(folder / "masks" / "lonely.png", halves(0, 1))


def clashing_names(folder: Path) -> None:
    data_folder(folder, [halves(0, 1)])
    np.save(folder / "masks" / "000.npy", halves(0, 1))


def nothing_annotated(folder: Path) -> None:
    data_folder(folder, [halves(255, 255)])


def grey_pictures_as_masks(folder: Path) -> None:
    data_folder(folder, [np.arange(256, dtype=np.uint8).reshape(16, 16)])


def broken_classes(folder: Path) -> None:
    data_folder(folder, [halves(0, 1)])
    (folder / "classes.json").write_text("{")


def coloured_mask(folder: Path) -> None:
    data_folder(folder, [halves(0, 1)])
    save_image(folder / "masks" / "000.png", picture(1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (nothing, "no images here; expected images/ and masks/"),
        (no_masks_folder, "masks: no such folder"),
        (empty_masks_folder, "no masks in this folder"),
        (empty_images_folder, "no images in this folder"),
        (only_images, "images but no masks; expected"),
        (a_model, "a model or a network, and no data folder; expected"),
        (many_images_without_mask, "12 images without a mask: lonely00.png"),
        (many_images_without_mask, "lonely09.png and 2 more; add a mask"),
        (mask_without_image, "1 mask without an image: lonely.png; add the image"),
        (clashing_names, "names clash: 000.npy and 000.png; keep one"),
        (nothing_annotated, "no pixel of any mask is annotated"),
        (grey_pictures_as_masks, "255 classes; at most 254 are possible; these look like pictures"),
        (broken_classes, "not JSON"),
        (coloured_mask, "in color"),
    ],
)
def test_a_wrong_folder_is_one_line(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path)
    with pytest.raises(InputError) as error:
        SegmentationFolder(tmp_path)
    assert message in str(error.value) and str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder; check the path"):
        SegmentationFolder(tmp_path / "none")


def test_sizes_that_differ_are_told_when_read(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 1)])
    save_image(tmp_path / "masks" / "000.png", halves(0, 1, 10, 20))
    with pytest.raises(InputError, match=r"the mask is 10x20 \(height x width\), the image 12x16; export the mask at"):
        SegmentationFolder(tmp_path)[0]


def test_ids_outside_the_classes_are_named_with_the_file(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 9)])
    classes_json(tmp_path, [0, 1])
    with pytest.raises(InputError, match=r"000\.png: unknown class ids 9 \(known: 0, 1; not annotated: 255\)"):
        SegmentationFolder(tmp_path)[0]
    with pytest.raises(InputError, match="unknown class ids 9"):
        summary(SegmentationFolder(tmp_path))


def test_summary_counts(tmp_path: Path) -> None:
    sparse = np.full((12, 16), 255, np.uint8)
    sparse[0, :5] = 3
    told = summary(SegmentationFolder(data_folder(tmp_path, [halves(0, 3), sparse, halves(0, 0, 4, 4)])))
    assert told.images == 3 and told.sizes == {(12, 16): 2, (4, 4): 1}
    assert told.pixels.tolist() == [[96, 96], [0, 5], [16, 0]]
    assert told.pixels_per_class.tolist() == [112, 101]
    assert (told.labelled(0), told.labelled(), told.labelled(6)) == (213, 192, 208)


@pytest.mark.parametrize(("image", "mask"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_that_differ_in_how_accents_are_written_are_pairs(tmp_path: Path, image: str, mask: str) -> None:
    data_folder(tmp_path, [halves(0, 1), halves(1, 0)])
    for part, form in (("images", image), ("masks", mask)):
        for path in list((tmp_path / part).iterdir()):
            path.rename(path.with_name(unicodedata.normalize(form, f"café{path.name}")))
    assert len(SegmentationFolder(tmp_path)) == 2


def test_images_and_masks_in_folders_of_equal_names(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 1)])
    for part in ("images", "masks"):
        for camera in ("cam1", "cam2"):
            (tmp_path / part / camera).mkdir()
            shutil.copy(tmp_path / part / "000.png", tmp_path / part / camera)
        (tmp_path / part / "000.png").unlink()
    assert SegmentationFolder(tmp_path).names == ["cam1/000", "cam2/000"]


def test_a_test_folder_may_list_the_classes_in_another_order(tmp_path: Path) -> None:
    for part, names in (("train", ["ground", "cat", "dog"]), ("test", ["ground", "dog", "cat"])):
        data_folder(tmp_path / part, [halves(0, names.index("cat")), halves(9, names.index("dog"))])
        classes = [{"id": i, "name": name} for i, name in enumerate(names)]
        (tmp_path / part / "classes.json").write_text(json.dumps({"classes": classes, "ignore_index": 9}))
    train = SegmentationFolder(tmp_path / "train")
    test = SegmentationFolder(tmp_path / "test", train.classes)
    assert test.classes == train.classes
    for a, b in zip(train, test, strict=True):
        np.testing.assert_array_equal(a.target, b.target)
    assert set(np.unique(test[1].target)) == {2, 255}


def test_a_class_that_the_model_lacks_is_told_and_made_up_names_are_ids(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 1)])
    model = ClassTable((0, 1), ("ground", "cat"), ((0, 0, 0), (255, 0, 0)))
    listed = [{"id": 0, "name": "ground"}, {"id": 1, "name": "cow"}]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": listed}))
    with pytest.raises(FileError, match="has classes that the model lacks: cow; the model has: ground, cat"):
        SegmentationFolder(tmp_path, model)
    (tmp_path / "classes.json").write_text(json.dumps({"classes": [{"id": 0}, {"id": 1}]}))
    assert SegmentationFolder(tmp_path, model)[0].target.max() == 1


def test_a_mask_on_its_side_names_exif(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 1)])
    save_image(tmp_path / "masks" / "000.png", halves(0, 1).T)
    with pytest.raises(FileError, match="as if it lay on its side: its file says so in its EXIF orientation"):
        list(SegmentationFolder(tmp_path))


def test_what_a_test_folder_ignores_may_be_a_class_of_a_model_without_names(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 1), halves(2, 255)])
    listed = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    (tmp_path / "classes.json").write_text(json.dumps({"ignore_index": 0, "classes": listed}))
    model = ClassTable.from_ids([0, 1, 2])
    for folder in (SegmentationFolder(tmp_path, model), SegmentationFolder(tmp_path).in_classes(model)):
        assert [np.unique(example.target).tolist() for example in folder] == [[1, 255], [2, 255]]
        assert classes_of(folder) == model


class Titled(list[Example]):
    """Examples with a table of their own."""

    classes = ClassTable((0, 1), ("ground", "cat"), ((0, 0, 0), (255, 0, 0)))
    channels = 3


def test_examples_of_chosen_channels_keep_their_classes() -> None:
    data = Titled([Example("a", np.dstack([picture(0), picture(1)]), halves(0, 1))])
    other = ClassTable((0, 1), ("cat", "ground"), ((255, 0, 0), (0, 0, 0)))
    found = as_dataset(data, other, ChannelChoice((1, 5)))
    assert found[0].image.shape == (12, 16, 2)
    np.testing.assert_array_equal(found[0].target, halves(1, 0))
    assert classes_of(as_dataset(data, None, ChannelChoice((1, 5)))) == data.classes
    assert channels_of(data) is None


@pytest.mark.parametrize("given", [np.zeros((2, 8, 8, 3)), torch.zeros(2, 8, 8, 3), {"a": 1}, {}, b"photos", range(3)])
def test_what_can_be_indexed_is_not_yet_a_dataset(given: Any) -> None:
    with pytest.raises(InputError, match=f"expected examples, found {type(given).__name__}; give a data folder"):
        as_dataset(given)


@pytest.mark.parametrize("suffix", [".gif", ".npz", ".jp2"])
def test_a_mask_in_a_format_of_no_masks_is_not_said_to_be_missing(tmp_path: Path, suffix: str) -> None:
    data_folder(tmp_path, [halves(0, 1), halves(1, 0)])
    mask = tmp_path / "masks" / "001.png"
    mask.rename(mask.with_suffix(suffix))
    (tmp_path / "masks" / f"000{suffix}").write_bytes(b"beside a mask, nobody reads it")
    (tmp_path / "masks" / "legend.gif").write_bytes(b"of no image")
    with pytest.raises(FileError, match=rf"001\{suffix}: not a mask format; use one of \.bmp \.npy"):
        SegmentationFolder(tmp_path)
