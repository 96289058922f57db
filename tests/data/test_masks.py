from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from frugalseg.data.classes import ClassTable
from frugalseg.data.images import read_image
from frugalseg.data.masks import read_mask, write_mask
from frugalseg.support.files import FileError
from tests.data.helpers import (
    deep_grey_png_with_alpha,
    deep_png,
    deep_tiff,
    giant_png,
    gray_bmp,
    grey_png,
    indexed_tiff,
    picture,
    save_image,
)

shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)


@settings(max_examples=50, deadline=None)
@given(ids=hnp.arrays(np.int64, shapes, elements=st.integers(0, 255)))
def test_written_masks_read_the_same(tmp_path_factory: pytest.TempPathFactory, ids: Any) -> None:
    path = tmp_path_factory.mktemp("mask") / "a.png"
    table = ClassTable.from_ids(range(50))
    write_mask(path, ids, table)
    read = read_mask(path)
    assert read.dtype == np.int64
    np.testing.assert_array_equal(read, ids)
    with Image.open(path) as image:
        assert image.mode == "P"
        colour = np.asarray(image.convert("RGB"))
    where = ids < 50
    np.testing.assert_array_equal(colour[where], np.array(table.colors)[ids[where]])


@settings(max_examples=50, deadline=None)
@given(ids=hnp.arrays(np.int64, shapes, elements=st.integers(0, 65535)))
def test_ids_above_255_are_written_with_16_bits(tmp_path_factory: pytest.TempPathFactory, ids: Any) -> None:
    path = tmp_path_factory.mktemp("mask") / "a.png"
    write_mask(path, ids, ClassTable.from_ids([1, 300]))
    np.testing.assert_array_equal(read_mask(path), ids)


@pytest.mark.parametrize("ids", [[[256]], [[-1]], [1, 2], np.zeros((0, 4))])
def test_impossible_masks_are_not_written(tmp_path: Path, ids: Any) -> None:
    with pytest.raises(ValueError):
        write_mask(tmp_path / "a.png", ids, ClassTable.from_ids([0, 1]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_png_of_few_bits_gives_the_stored_values(tmp_path: Path, bits: int) -> None:
    values = (np.arange(35).reshape(5, 7) * 7 % 2**bits).astype(np.uint8)
    path = tmp_path / "a.png"
    path.write_bytes(grey_png(values, bits))
    np.testing.assert_array_equal(read_mask(path), values)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["i8", "u8", "f8"])
def test_tiff_masks_of_64_bits_as_numpy_counts(tmp_path: Path, dtype: str, order: str) -> None:
    ids = np.arange(12).reshape(3, 4) * 20
    path = deep_tiff(tmp_path / "a.tif", ids.astype(dtype)[..., None], order=order, compress=order == "<")
    np.testing.assert_array_equal(read_mask(path), ids)
    with pytest.raises(FileError, match="mask values are from 0 to 70000"):
        read_mask(deep_tiff(tmp_path / "b.tif", np.array([[[0], [70_000]]], dtype)))
    with pytest.raises(FileError, match=r"cannot be read \(64-bit .*values in 2 channels\)"):
        read_mask(deep_tiff(tmp_path / "c.tif", np.zeros((3, 4, 2), dtype)))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_indexed_and_grey_pictures_give_their_indices(tmp_path: Path, suffix: str) -> None:
    ids = np.array([[0, 1, 255], [7, 2, 1]], np.uint8)
    indexed = Image.fromarray(ids)
    indexed.putpalette([255, 0, 0] * 256)
    indexed.save(tmp_path / f"p{suffix}")
    np.testing.assert_array_equal(read_mask(tmp_path / f"p{suffix}"), ids)
    np.testing.assert_array_equal(read_mask(save_image(tmp_path / f"g{suffix}", ids)), ids)
    np.testing.assert_array_equal(read_mask(save_image(tmp_path / f"rgb{suffix}", np.stack([ids] * 3, 2))), ids)


def test_transparency_of_a_grey_mask_does_not_matter(tmp_path: Path) -> None:
    ids = np.array([[3, 1]], np.uint8)
    alpha = np.array([[0, 255]], np.uint8)
    for name, channels in (("la", [ids, alpha]), ("rgba", [ids, ids, ids, alpha])):
        np.testing.assert_array_equal(read_mask(save_image(tmp_path / f"{name}.png", np.stack(channels, 2))), ids)


def test_deep_pictures(tmp_path: Path) -> None:
    ids = np.array([[0, 300, 65535]])
    for name, dtype in (("a.png", np.uint16), ("b.tif", np.int32), ("c.tif", np.float32)):
        np.testing.assert_array_equal(read_mask(save_image(tmp_path / name, ids.astype(dtype))), ids)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int64", "uint64", ">u2", "float32", "float16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_any_numeric_type(tmp_path: Path, dtype: str, order: Any) -> None:
    ids = np.array([[0, 1, 0], [1, 1, 0]]).astype(dtype, order=order)
    np.save(tmp_path / "a.npy", ids)
    read = read_mask(tmp_path / "a.npy")
    assert type(read) is np.ndarray and read.dtype == np.int64
    np.testing.assert_array_equal(read, ids.astype(int))


@pytest.mark.parametrize("shape", [(1, 4, 5), (4, 5, 1)])
def test_a_single_channel_is_dropped(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.arange(20).reshape(shape))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.npy"), np.arange(20).reshape(4, 5))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0.5]]), "not whole"),
        (np.array([[np.nan]]), "not whole"),
        (np.array([[np.inf]]), "not whole"),
        (np.array([[-1, 3]]), "from -1 to 3"),
        (np.array([[2**63]], np.uint64), "from 9223372036854775808 to"),
        (np.array([[65536]]), "65536"),
        (np.zeros((3, 4, 3), np.uint8), r"expected \(H, W\) numbers"),
        (np.zeros(5, np.uint8), r"expected \(H, W\) numbers"),
        (np.array([["a"]]), r"expected \(H, W\) numbers"),
        (np.array([[1j]]), r"expected \(H, W\) numbers"),
        (np.zeros((0, 4), np.uint8), r"expected \(H, W\) numbers"),
    ],
)
def test_arrays_that_are_no_masks(tmp_path: Path, values: Any, message: str) -> None:
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(FileError, match=message) as error:
        read_mask(tmp_path / "a.npy")
    assert "\n" not in str(error.value)


class Trap:
    """Pickled, it would create a file when loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_pickled_objects_are_refused_and_never_run(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([Trap(tmp_path / "sprung")], object), allow_pickle=True)
    with pytest.raises(FileError, match=r"not a plain \.npy array"):
        read_mask(tmp_path / "a.npy")
    assert not (tmp_path / "sprung").exists()


def test_an_array_that_claims_to_be_giant_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(b"\0" * 100)
    with pytest.raises(FileError, match=r"a\.npy"):
        read_mask(tmp_path / "a.npy")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"nonsense", b"\x93NUMPY\x01\x00\x10\x00{'descr': '|u1'}"])
def test_broken_arrays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(FileError, match=r"numpy\.save"):
        read_mask(tmp_path / "a.npy")


def test_a_coloured_mask_says_how_to_mend_it(tmp_path: Path) -> None:
    for name, values in (("a.png", picture(0)), ("b.png", np.dstack([picture(0), picture(0)[..., :1]]))):
        with pytest.raises(FileError, match=r"in color, not class ids; export indexed or gray PNG"):
            read_mask(save_image(tmp_path / name, values))


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_lossy_masks_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match=r"lose their exact values; export"):
        read_mask(save_image(tmp_path / name, picture(0)[..., 0]))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {"format": "JPEG"}),
        ("a.png", {"format": "WEBP"}),
        ("a.tif", {"compression": "jpeg"}),
        ("a.bmp", {"format": "JPEG2000"}),
    ],
)
def test_lossy_masks_are_refused_whatever_they_are_called(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    Image.fromarray(picture(0)[..., 0]).save(tmp_path / name, **options)
    with pytest.raises(FileError, match=r"masks in this format \(\w+\) lose their exact values; export"):
        read_mask(tmp_path / name)


@pytest.mark.parametrize(("bits", "grays"), [(8, (0, 255)), (4, (0, 255)), (4, range(16)), (8, (0, 1, 2)), (8, (0,))])
def test_a_bmp_of_few_grays_gives_its_indices(tmp_path: Path, bits: int, grays: Sequence[int]) -> None:
    """Pillow takes a palette of black and white for a sign of a single bit, and one of grays for one of eight."""
    ids = (np.arange(40).reshape(4, 10) * 7 % 5 % len(grays)).astype(np.uint8)
    (tmp_path / "a.bmp").write_bytes(gray_bmp(ids, bits, grays))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.bmp"), ids)
    np.testing.assert_array_equal(read_image(tmp_path / "a.bmp")[..., 0], np.array(grays)[ids])


def test_missing_unknown_truncated_and_giant(tmp_path: Path) -> None:
    whole = save_image(tmp_path / "a.png", picture(1, 64, 64)[..., 0])
    whole.write_bytes(whole.read_bytes()[:-500])
    (tmp_path / "giant.png").write_bytes(giant_png(20_000))
    for name, message in (
        ("none.png", "no such file"),
        ("none.npy", "no such file"),
        ("a.txt", "not a mask format"),
        ("a.png", "cannot be read"),
        ("giant.png", "too large"),
    ):
        with pytest.raises(FileError, match=message):
            read_mask(tmp_path / name)


@pytest.mark.parametrize("channels", [3, 4])
def test_all_16_bits_of_equal_channels_count(tmp_path: Path, channels: int) -> None:
    ids = np.array([[0, 1, 300], [7, 255, 65535]], np.uint16)
    values = np.stack([ids] * channels, 2)
    deep_png(tmp_path / "a.png", values)
    deep_tiff(tmp_path / "a.tif", values, tags={262: 2, 338: 0} if channels == 4 else {262: 2})
    for name in ("a.png", "a.tif"):
        np.testing.assert_array_equal(read_mask(tmp_path / name), ids)
    deep_png(tmp_path / "a.png", values + np.arange(channels, dtype=np.uint16))
    with pytest.raises(FileError, match="in color, not class ids"):
        read_mask(tmp_path / "a.png")


def test_gray_of_16_bits_with_transparency_is_refused(tmp_path: Path) -> None:
    """Pillow gives the upper half of the values alone, in which small ids are 0."""
    (tmp_path / "a.png").write_bytes(deep_grey_png_with_alpha(np.array([[0, 1, 2]], np.uint16)))
    with pytest.raises(FileError, match="more than 8 bits cannot be read"):
        read_mask(tmp_path / "a.png")


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_an_indexed_tiff_of_few_bits_gives_its_indices(tmp_path: Path, bits: int) -> None:
    values = (np.arange(35).reshape(5, 7) * 7 % 2**bits).astype(np.uint8)
    np.testing.assert_array_equal(read_mask(indexed_tiff(tmp_path / "a.tif", values, bits)), values)
