import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frugalseg.data.check import Finding, check_folder
from frugalseg.support.errors import InputError
from tests.data.helpers import data_folder, deep_tiff, halves, picture, save_image, tiff


def classes_json(folder: Path, ids: list[int]) -> None:
    (folder / "classes.json").write_text(json.dumps({"classes": [{"id": i} for i in ids]}))


def find(findings: list[Finding], text: str) -> Finding:
    """The one finding whose message contains `text`."""
    (found,) = [f for f in findings if text in f.message]
    return found


def test_a_sound_folder_has_only_information(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 1), halves(1, 0)])
    findings = check_folder(tmp_path)
    assert {f.level for f in findings} == {"info"}
    assert find(findings, "2 images: 2 of 12x16 (height x width)")
    assert find(findings, "share of pixels: class 0 50.0%, class 1 50.0%; not annotated 0.0%")


def test_every_broken_pair_is_found_not_only_the_first(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 1)] * 6)
    save_image(tmp_path / "images" / "alone.png", picture(50))
    save_image(tmp_path / "masks" / "orphan.png", halves(0, 1))
    np.save(tmp_path / "masks" / "005.npy", halves(0, 1))
    (tmp_path / "images" / "000.png").write_bytes(b"broken")
    save_image(tmp_path / "masks" / "001.png", picture(1))
    save_image(tmp_path / "masks" / "002.png", halves(0, 1, 5, 5))
    save_image(tmp_path / "masks" / "003.png", picture(3))
    findings = check_folder(tmp_path)
    errors = [f for f in findings if f.level == "error"]
    assert findings[: len(errors)] == errors and all(f.remedy for f in errors)
    assert find(errors, "1 image without a mask: alone.png")
    assert find(errors, "1 mask without an image: orphan.png")
    assert find(errors, "names clash: 005.npy and 005.png")
    assert "000.png" in find(errors, "not an image of a known format").where
    assert "002.png" in find(errors, "the mask is 5x5 (height x width), the image 12x16").where
    colored = find(errors, "in color")
    assert "001.png" in colored.where and "003.png" in colored.where
    assert len(errors) == 6


def test_masks_of_0_and_255(tmp_path: Path) -> None:
    findings = check_folder(data_folder(tmp_path, [halves(0, 255)] * 2))
    assert find(findings, "0, 255 look as if made for viewing").level == "warning"
    assert find(findings, "only one class (class 0) has enough annotated pixels to train on").level == "error"


def test_masks_that_nobody_painted(tmp_path: Path) -> None:
    folder = data_folder(tmp_path, [halves(255, 255)] * 2)
    (folder / "classes.json").write_text('{"classes": [{"id": 0, "name": "cell"}, {"id": 1, "name": "wall"}]}')
    (error,) = (f for f in check_folder(folder) if f.level == "error")
    assert (error.message, error.remedy) == ("no pixel of any mask is annotated", "annotate at least two classes")


def test_spread_grey_levels(tmp_path: Path) -> None:
    findings = check_folder(data_folder(tmp_path, [halves(0, 85), halves(170, 255)]))
    assert find(findings, "0, 85, 170, 255 look as if made for viewing")


@pytest.mark.parametrize("masks", [[halves(0, 1), halves(2, 255)], [halves(1, 255)] * 2, [halves(0, 0)] * 2])
def test_ordinary_and_sparse_masks_are_not_taken_for_pictures(tmp_path: Path, masks: list[np.ndarray]) -> None:
    assert not [f for f in check_folder(data_folder(tmp_path, masks)) if "viewing" in f.message]


def test_smoothed_masks(tmp_path: Path) -> None:
    smooth = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
    assert find(check_folder(data_folder(tmp_path, [smooth])), "192 different values").level == "warning"


def test_grey_pictures_as_masks_are_an_error(tmp_path: Path) -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert find(check_folder(data_folder(tmp_path, [every])), "255 classes; at most 254").level == "error"


def test_rare_and_missing_classes(tmp_path: Path) -> None:
    few = halves(0, 1)
    few[0, :19] = 2
    data_folder(tmp_path, [few, halves(0, 1), halves(0, 255), halves(255, 255)])
    classes_json(tmp_path, [0, 1, 2, 3])
    findings = check_folder(tmp_path)
    assert find(findings, "no pixel of: class 3").level == "warning"
    assert find(findings, "in one image only: class 2 (000)").level == "warning"
    assert find(findings, "fewer than 20 pixels of a class in an image: class 2 in 1 image (000)").level == "info"
    assert "003.png" in find(findings, "nothing is annotated").where
    assert find(findings, "not annotated 37.5%")
    assert not [f for f in check_folder(tmp_path, small_regions=10) if "fewer than" in f.message]


def test_unknown_ids_and_broken_classes(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 9), halves(0, 1)])
    classes_json(tmp_path, [0, 1])
    unknown = find(check_folder(tmp_path), "unknown class ids 9")
    assert unknown.level == "error" and "000.png" in unknown.where
    (tmp_path / "classes.json").write_text("[]")
    assert find(check_folder(tmp_path), "not an object").level == "error"


def test_identical_images_in_train_and_test(tmp_path: Path) -> None:
    train, test = tmp_path / "train", tmp_path / "test"
    data_folder(train, [halves(0, 1)] * 3)
    data_folder(test, [halves(0, 1)] * 2, start=10)
    save_image(train / "images" / "002.png", picture(0))
    # The same pixels in another file format.
    (test / "images" / "010.png").unlink()
    save_image(test / "images" / "010.bmp", picture(1))
    (test / "images" / "011.png").write_bytes(b"broken")
    for findings in (
        check_folder(train),
        check_folder(tmp_path),
        check_folder(train, test),
        check_folder(train, str(test)),
    ):
        assert find(findings, "identical images: 000.png, 002.png").level == "warning"
        twin = find(findings, "the same picture as the training image 001.png")
        assert twin.level == "warning" and twin.where.endswith("010.bmp")
        # A broken test image does not stop training.
        assert find(findings, "not an image of a known format").level == "warning"
        assert not [f for f in findings if f.level == "error"]


def test_test_images_may_be_a_plain_folder(tmp_path: Path) -> None:
    data_folder(tmp_path / "data", [halves(0, 1)])
    save_image(tmp_path / "photos" / "x.png", picture(0))
    assert find(check_folder(tmp_path / "data", tmp_path / "photos"), "the same picture")
    with pytest.raises(InputError, match="no such folder"):
        check_folder(tmp_path / "data", tmp_path / "none")


def test_nearly_black_images(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 1)] * 2)
    save_image(tmp_path / "images" / "001.png", picture(1) // 9)
    assert find(check_folder(tmp_path), "nearly black").where == "001.png"


def test_a_folder_that_is_none_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images here"):
        check_folder(tmp_path)


def test_a_finding_reads_as_one_line() -> None:
    assert str(Finding("error", "a.png", "is wrong", "mend it")) == "error: a.png: is wrong; mend it"
    assert str(Finding("info", "a.png", "is so")) == "info: a.png: is so"


def indexed(path: Path, mask: np.ndarray, *palette: tuple[int, int, int]) -> None:
    image = Image.fromarray(mask)
    image.putpalette([value for color in palette for value in color])
    image.save(path)


BLACK, RED, GREEN = (0, 0, 0), (255, 0, 0), (0, 255, 0)


def test_palettes_in_another_order_are_named_unless_colors_decide(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(1, 2)] * 3)
    for name, palette in (("000", (BLACK, RED, GREEN)), ("001", (BLACK, GREEN, RED)), ("002", (BLACK, RED, GREEN))):
        indexed(tmp_path / "masks" / f"{name}.png", halves(1, 2), *palette)
    found = find(check_folder(tmp_path), "in another order")
    assert (found.level, found.where) == ("warning", "001.png")
    colors = [{"id": i, "color": list(color)} for i, color in enumerate((BLACK, RED, GREEN))]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": colors}))
    assert not any("in another order" in finding.message for finding in check_folder(tmp_path))


def test_palettes_without_a_common_order_say_nothing(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 1)] * 4)
    rng = np.random.default_rng(0)
    for i in range(4):
        palette = [tuple(color) for color in rng.integers(0, 256, (2, 3)).tolist()]
        indexed(tmp_path / "masks" / f"{i:03d}.png", halves(0, 1), *palette)
    assert not any("in another order" in finding.message for finding in check_folder(tmp_path))


def test_pages_that_are_not_read_are_named(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 1)] * 2)
    (tmp_path / "images" / "000.png").unlink()
    tiff(tmp_path / "images" / "000.tif", halves(9, 200), halves(0, 0))
    found = find(check_folder(tmp_path), "holds several pages, of which only the first is read")
    assert (found.level, found.where) == ("warning", "000.tif")


def test_many_rare_classes_are_one_line(tmp_path: Path) -> None:
    mask = np.arange(254, dtype=np.uint8).repeat(4).reshape(2, -1)
    data_folder(tmp_path, [mask])
    findings = check_folder(tmp_path)
    assert len(findings) < 10 and max(len(str(finding)) for finding in findings) < 1000
    assert (
        "and 244 more"
        in find(findings, "fewer than 20 pixels of a class in an image: class 0 in 1 image (000), class 1").message
    )


def test_a_finding_stays_short_whatever_the_names_are(tmp_path: Path) -> None:
    data_folder(tmp_path, [halves(0, 1)])
    names = [{"id": 0, "name": "n" * 9000}, {"id": 1, "name": "m" * 9000}]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": names}))
    assert all(len(str(finding)) < 3100 and str(finding).isprintable() for finding in check_folder(tmp_path))


def test_what_is_wrong_with_an_image_is_told_once(tmp_path: Path) -> None:
    """Its size is asked for again, for the mask."""
    data_folder(tmp_path, [halves(0, 1), halves(1, 0)])
    for name in ("000", "001"):
        (tmp_path / "images" / f"{name}.png").unlink()
    deep_tiff(tmp_path / "images" / "000.tif", picture(0).astype(np.float32))
    (tmp_path / "images" / "001.tif").write_bytes(b"II*\0")
    errors = {finding.where: finding for finding in check_folder(tmp_path) if finding.level == "error"}
    assert len(errors) == len([finding for finding in check_folder(tmp_path) if finding.level == "error"]) == 2
    assert "32-bit float values in 3 channels" in errors[str(tmp_path / "images" / "000.tif")].message
    assert str(errors[str(tmp_path / "images" / "001.tif")]).endswith("a damaged TIFF; export it again or remove it")
