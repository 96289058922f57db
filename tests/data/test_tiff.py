"""TIFFs as microscopes and ImageJ write them: few bits, inverted tables, pages."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import ExifTags, Image

from frugalseg.data.arrays import as_rgb
from frugalseg.data.images import page_count, read_image
from frugalseg.data.masks import read_mask
from frugalseg.data.tiff import TURNED
from frugalseg.support.files import FileError
from tests.data.helpers import deep_tiff, halves, picture, save_image, tiff

DTYPES = {"I;16": "uint16", "F": "float32"}
"""NumPy's types of Pillow's modes."""
shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)


@settings(max_examples=60, deadline=None)
@given(bits=st.sampled_from([1, 2, 4, 8]), white_is_0=st.booleans(), separate=st.booleans(), data=st.data())
def test_masks_give_the_values_that_are_stored(
    tmp_path_factory: pytest.TempPathFactory, bits: int, white_is_0: bool, separate: bool, data: Any
) -> None:
    ids = data.draw(hnp.arrays(np.uint8, shapes, elements=st.integers(0, 2**bits - 1)))
    path = tiff(tmp_path_factory.mktemp("mask") / "a.tif", ids, bits=bits, white_is_0=white_is_0, separate=separate)
    np.testing.assert_array_equal(read_mask(path), ids)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize("orientation", [1, 6])
def test_masks_of_many_bits_in_either_order_of_bytes(
    tmp_path: Path, dtype: str, order: str, compress: bool, separate: bool, orientation: int
) -> None:
    ids = np.array([[0, 1, 300], [7, 255, 2]]).astype(dtype)
    tags = {274: orientation}
    path = deep_tiff(tmp_path / "a.tif", ids[..., None], compress=compress, separate=separate, order=order, tags=tags)
    np.testing.assert_array_equal(read_mask(path), ids if orientation == 1 else np.rot90(ids, -1))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "P", "I;16", "RGB", "F"])
def test_uncompressed_pages_that_lie_on_their_side(tmp_path: Path, mode: str, orientation: int) -> None:
    """Pillow maps some of them into memory."""
    ids = np.arange(6 * 9).reshape(6, 9) // 5
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    values = np.stack([ids] * 3, 2).astype(np.uint8) if mode == "RGB" else ids.astype(DTYPES.get(mode, "uint8"))
    picture = Image.fromarray(values)
    if mode == "P":
        picture.putpalette([value for index in range(256) for value in (index, index, index)])
    picture.save(tmp_path / "a.tif", exif=exif)
    expected = TURNED.get(orientation, lambda v: v)(ids[..., None])[..., 0]
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif"), expected)
    if mode in ("L", "P", "RGB"):
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], expected)


def test_floating_point_images_in_big_endian_order(tmp_path: Path) -> None:
    values = np.array([[0, 0.2, 1]], np.float32)
    path = deep_tiff(tmp_path / "a.tif", values[..., None], compress=True, order=">")
    assert read_image(path)[0, :, 0].tolist() == [0, 51, 255]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("extra", [None, 0, 2])
def test_colors_of_16_bits_in_planes(tmp_path: Path, order: str, extra: int | None) -> None:
    """A fourth channel is transparency only where the file says so (2)."""
    color = picture(0)
    values = (color.astype(np.uint16) << 8) + 7
    expected = color.copy()
    tags = {262: 2}
    if extra is not None:
        alpha = np.full(color.shape[:2], 65535, np.uint16)
        alpha[0] = 0
        expected[0] = 255 if extra == 2 else color[0]
        values, tags = np.dstack([values, alpha]), {262: 2, 338: extra}
    path = deep_tiff(tmp_path / "a.tif", values, separate=True, order=order, tags=tags)
    np.testing.assert_array_equal(read_image(path), expected)


def test_masks_of_16_bits_in_planes_of_equal_values(tmp_path: Path) -> None:
    ids = np.array([[0, 1, 300], [7, 255, 65535]], np.uint16)
    path = deep_tiff(tmp_path / "a.tif", np.stack([ids] * 3, 2), separate=True, tags={262: 2})
    np.testing.assert_array_equal(read_mask(path), ids)


def test_tiles_far_larger_than_a_page_of_planes_are_not_read(tmp_path: Path) -> None:
    tags = {284: 2, 322: 2**20, 323: 2**20, 324: 8, 325: 12}
    path = deep_tiff(tmp_path / "a.tif", np.zeros((2, 2, 3), np.uint16), separate=True, tags={262: 2, **tags})
    with pytest.raises(FileError, match="cannot be read"):
        read_image(path)


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535), ("float32", 1)])
def test_images_in_which_0_is_white_are_turned_round_whatever_their_bits(
    tmp_path: Path, dtype: str, top: float
) -> None:
    values = (np.array([[0, 0.2, 1]] * 2) * top).astype(dtype)
    path = deep_tiff(tmp_path / "a.tif", values[..., None], tags={262: 0})
    assert read_image(path)[0, :, 0].tolist() == [255, 204, 0]
    with Image.open(path) as image:
        np.testing.assert_array_equal(as_rgb(image), read_image(path))


def test_a_mask_of_several_pages_is_refused(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", halves(0, 1), halves(1, 0))
    with pytest.raises(FileError, match="holds 2 pages, where a mask is one page of class ids"):
        read_mask(path)


def test_a_reduced_copy_is_no_page(tmp_path: Path) -> None:
    first, small = Image.fromarray(halves(0, 1)), Image.fromarray(halves(0, 1, 6, 8))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    first.save(tmp_path / "a.tif", save_all=True, append_images=[small])
    assert page_count(tmp_path / "a.tif") == 1
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif"), halves(0, 1))


def test_channels_as_pages_are_one_picture(tmp_path: Path) -> None:
    color = picture(0)
    for count in (2, 3):
        pages = [color[..., channel] for channel in range(count)]
        path = tiff(tmp_path / f"{count}.tif", *pages, description=f"ImageJ=1.54f\nimages={count}\nchannels={count}\n")
        expected = color.copy()
        expected[..., count:] = 0
        np.testing.assert_array_equal(read_image(path), expected)
        assert page_count(path) == 1


def test_more_channels_than_red_green_and_blue_are_refused(tmp_path: Path) -> None:
    pages = [halves(0, 9)] * 4
    path = tiff(tmp_path / "a.tif", *pages, description="ImageJ=1.54f\nimages=4\nchannels=4\n")
    with pytest.raises(FileError, match="has 4 channels, of which only 3 can be read"):
        read_image(path)


def test_of_any_other_stack_the_first_page_is_read_and_the_pages_are_counted(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", halves(3, 200), halves(0, 0), description="ImageJ=1.54f\nimages=2\nslices=2\n")
    np.testing.assert_array_equal(read_image(path)[..., 0], halves(3, 200))
    assert page_count(path) == 2
    assert page_count(save_image(tmp_path / "b.png", picture(0))) == 1


def test_a_kind_of_tiff_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", halves(0, 1))
    content = path.read_bytes().replace(
        b"\x02\x01\x03\x00\x01\x00\x00\x00\x08", b"\x02\x01\x03\x00\x01\x00\x00\x00\x40"
    )
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"a TIFF of a kind that cannot be read \(64-bit values in 1 channel\)"):
        read_image(path)


def test_damage_is_told_by_the_exception_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    """Pillow warns and logs, and libtiff prints, of tags that do not fit."""
    Image.fromarray(picture(0)).save(tmp_path / "a.tif", compression="tiff_lzw")
    sound = (tmp_path / "a.tif").read_bytes()
    directory = int.from_bytes(sound[4:8], "little")
    for tag, count in ((256, 9), (277, 9), (258, 1)):
        entry = sound.index(tag.to_bytes(2, "little"), directory)
        (tmp_path / "a.tif").write_bytes(sound[: entry + 4] + count.to_bytes(4, "little") + sound[entry + 8 :])
        with suppress(FileError):
            read_image(tmp_path / "a.tif")
    (tmp_path / "a.tif").write_bytes(sound[:40] + bytes(200) + sound[240:])
    with suppress(FileError):
        read_image(tmp_path / "a.tif")
    assert not recwarn and capfd.readouterr() == ("", "")
