"""Files of any channels and depths, in the values that they hold."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from frugalseg.data.images import read_image
from frugalseg.data.raw import raw_size, read_raw
from frugalseg.data.tiff import grey_tiff, unpredicted
from frugalseg.support.files import FileError
from tests.data.helpers import deep_png, deep_tiff, halves, picture, save_image, tiff

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 4096, (13, 11, 5)).astype(np.uint16)


def require_values(path: Path, expected: np.ndarray) -> None:
    found = read_raw(path)
    assert found.dtype == expected.dtype and found.dtype.isnative
    np.testing.assert_array_equal(found, expected)
    assert raw_size(path) == expected.shape


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "f4", "f8"])
@pytest.mark.parametrize("separate", [False, True], ids=["together", "planes"])
def test_a_tiff_of_any_numbers_gives_its_values(tmp_path: Path, dtype: str, separate: bool) -> None:
    values = (DEEP / 33).astype(dtype)
    for channels in (1, 2, 3, 4, 5):
        for compress in (False, True):
            place = tmp_path / f"{channels}{compress}.tif"
            require_values(
                deep_tiff(place, values[..., :channels], separate=separate, compress=compress), values[..., :channels]
            )


def test_sixteen_channels_and_rgb_of_sixteen_bits(tmp_path: Path) -> None:
    many = RNG.integers(0, 65536, (6, 7, 16)).astype(np.uint16)
    require_values(deep_tiff(tmp_path / "many.tif", many), many)
    require_values(deep_tiff(tmp_path / "rgb.tif", many[..., :3], tags={262: 2}), many[..., :3])
    for channels in (3, 4):
        require_values(deep_png(tmp_path / "a.png", many[..., :channels]), many[..., :channels])
    with pytest.raises(FileError, match=r"channels of more than 8 bits cannot be read; save it as TIFF"):
        read_raw(deep_png(tmp_path / "grey and clear.png", many[..., :2]))


def test_other_files_give_what_they_hold(tmp_path: Path) -> None:
    grey, clear = DEEP[..., 0], np.dstack([picture(0), picture(1)[..., :1]])
    for name in ("grey.png", "grey.tif"):
        require_values(save_image(tmp_path / name, grey), grey[..., None])
    require_values(save_image(tmp_path / "clear.png", clear), clear)
    require_values(save_image(tmp_path / "bits.png", grey > 999), ((grey > 999) * np.uint8(255))[..., None])
    indexed = Image.fromarray(picture(0)[..., 0] % 2)
    indexed.putpalette([10, 20, 30, 40, 50, 60])
    indexed.save(tmp_path / "palette.png")
    require_values(tmp_path / "palette.png", read_image(tmp_path / "palette.png"))
    Image.fromarray(picture(0)).save(tmp_path / "jpeg.tif", compression="jpeg")
    require_values(tmp_path / "jpeg.tif", read_image(tmp_path / "jpeg.tif"))


def test_pages_are_channels(tmp_path: Path) -> None:
    pages = [halves(number, 9 * number) for number in range(1, 6)]
    for description in ("ImageJ=1.54f\nimages=5\nchannels=5\n", ""):
        require_values(tiff(tmp_path / "a.tif", *pages, description=description), np.dstack(pages))
    Image.fromarray(DEEP[..., 0]).save(
        tmp_path / "lzw.tif",
        compression="tiff_lzw",
        save_all=True,
        append_images=[Image.fromarray(DEEP[..., n]) for n in range(1, 5)],
    )
    require_values(tmp_path / "lzw.tif", DEEP)
    small = Image.fromarray(pages[0][::2, ::2])
    small.encoderinfo = {"tiffinfo": {254: 1}}
    Image.fromarray(pages[0]).save(tmp_path / "copy.tif", save_all=True, append_images=[small])
    require_values(tmp_path / "copy.tif", pages[0][..., None])
    colors = [Image.fromarray(picture(number)) for number in (0, 1)]
    colors[0].save(tmp_path / "colors.tif", save_all=True, append_images=colors[1:])
    require_values(tmp_path / "colors.tif", picture(0))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_every_channel(tmp_path: Path, orientation: int) -> None:
    path = deep_tiff(tmp_path / "a.tif", DEEP, tags={274: orientation})
    image = Image.fromarray((DEEP[..., 2] >> 4).astype(np.uint8))
    image.getexif()[ExifTags.Base.Orientation] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_raw(path)[..., 2] >> 4, expected)
    assert raw_size(path) == read_raw(path).shape


def test_differences_are_summed_up_in_either_order_of_bytes() -> None:
    """As TIFF's technical notes say: of values, and of the bytes of floating-point values, highest bytes first."""
    values = RNG.integers(0, 65536, (4, 6, 3)).astype(np.uint16)
    stored = np.diff(values, axis=1, prepend=np.uint16(0))
    for order in "<>":
        data = np.ascontiguousarray(stored.astype(f"{order}u2")).view(np.uint8).reshape(4, -1)
        np.testing.assert_array_equal(unpredicted(data, np.dtype(f"{order}u2"), 3, 2), values)
    decimals = RNG.normal(size=(4, 6, 3)).astype(np.float32)
    planes = decimals.astype(">f4").view(np.uint8).reshape(4, 18, 4).swapaxes(1, 2).reshape(4, -1, 3)
    data = np.diff(planes, axis=1, prepend=np.uint8(0)).reshape(4, -1)
    np.testing.assert_array_equal(unpredicted(np.ascontiguousarray(data), np.dtype("<f4"), 3, 3), decimals)
    with pytest.raises(ValueError, match="predictor 7"):
        unpredicted(data, np.dtype("<f4"), 3, 7)


def test_tiles_reach_beyond_the_border(tmp_path: Path) -> None:
    """A page of 20 x 24 in tiles of 16 x 16, with the values of its bytes."""
    values = RNG.integers(0, 256, (20, 24), np.uint8)
    padded = np.pad(values, ((0, 12), (0, 8)))
    pieces = [padded[y : y + 16, x : x + 16].tobytes() for y in (0, 16) for x in (0, 16)]
    (tmp_path / "a.tif").write_bytes(grey_tiff((20, 24), (16, 16), 1, pieces, tiled=True))
    require_values(tmp_path / "a.tif", values[..., None])


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({256: 0}, "a page without pixels"),
        ({278: 0}, "a page without pixels"),
        ({257: 40_000, 278: 40_000, 256: 2_000}, r"claims 40000x2000 pixels .* in \d+ bytes"),
        ({257: 40_000, 256: 40_000}, "more than 100 megapixels"),
        ({277: 60_000, 256: 4_000}, r"claims 13x4000 pixels"),
        ({257: 26}, "strips or tiles are missing"),
        ({259: 5}, "cannot be read"),
        ({273: 10**6}, "strips or tiles are missing|cut short"),
        ({322: 2**31, 323: 2**31, 324: 8, 325: 9}, r"claims 13x11 pixels"),
    ],
)
def test_broken_and_hostile_tiffs_are_refused_in_a_line(tmp_path: Path, tags: dict[int, int], said: str) -> None:
    path = deep_tiff(tmp_path / "a.tif", DEEP, tags={key: value for key, value in tags.items() if key != 273})
    if 273 in tags:
        content = bytearray(path.read_bytes())
        (start,) = struct.unpack_from("<I", content, 4)
        entry = content.index(struct.pack("<HHI", 273, 4, 2), start)
        struct.pack_into("<I", content, struct.unpack_from("<I", content, entry + 8)[0], tags[273])
        path.write_bytes(content)
    with pytest.raises(FileError, match=said) as error:
        read_raw(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_strip_that_unpacks_to_more_than_it_should_is_cut_or_refused(tmp_path: Path) -> None:
    """A megabyte of Deflate can hold a gigabyte; no more than what the page claims is unpacked."""
    path = deep_tiff(tmp_path / "a.tif", np.zeros((2000, 4000, 1), np.uint16), compress=True)
    entry = path.read_bytes().index(struct.pack("<HHII", 256, 4, 1, 4000))
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, entry + 8, 4)
    path.write_bytes(content)
    try:
        assert read_raw(path).shape == (2000, 4, 1)
    except FileError as error:
        assert "cannot be read" in str(error)


def test_pages_that_are_no_channels_are_refused(tmp_path: Path) -> None:
    many = tiff(tmp_path / "many.tif", *[halves(0, 9)] * 17)
    unlike = tiff(tmp_path / "unlike.tif", halves(0, 9), halves(0, 9, 6, 8))
    bits = tiff(tmp_path / "bits.tif", halves(0, 1), halves(1, 0), bits=1)
    for path, said in ((many, "holds 17 pages, of which no more than 16"), (unlike, "differ"), (bits, "as channels")):
        for read in (read_raw, raw_size):
            with pytest.raises(FileError, match=said):
                read(path)


def test_cut_anywhere_and_endless_directories_end_in_one_error(tmp_path: Path) -> None:
    sound = deep_tiff(tmp_path / "a.tif", DEEP, compress=True).read_bytes()
    for length in (*range(0, 40), *range(40, len(sound), 53)):
        (tmp_path / "a.tif").write_bytes(sound[:length])
        with pytest.raises(FileError):
            read_raw(tmp_path / "a.tif")
    (start,) = struct.unpack_from("<I", sound, 4)
    (count,) = struct.unpack_from("<H", sound, start)
    endless = bytearray(sound)
    struct.pack_into("<I", endless, start + 2 + 12 * count, start)
    (tmp_path / "a.tif").write_bytes(endless)
    np.testing.assert_array_equal(read_raw(tmp_path / "a.tif"), DEEP)


def test_without_a_choice_of_channels_the_error_names_it(tmp_path: Path) -> None:
    pages = tiff(tmp_path / "p.tif", *[halves(0, 9)] * 4, description="ImageJ=1.54f\nimages=4\nchannels=4\n")
    for path in (deep_tiff(tmp_path / "a.tif", DEEP), pages):
        with pytest.raises(FileError, match=r"or choose channels of it, such as --channels 1,2,3"):
            read_image(path)


@pytest.mark.parametrize("compression", ["raw", "packbits", "tiff_deflate", "tiff_lzw"])
def test_a_predictor_counts_where_the_compression_has_one(compression, tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (9, 7), np.uint8)
    Image.fromarray(values).save(tmp_path / "a.tif", compression=compression, tiffinfo={317: 2})
    expected = np.asarray(Image.open(tmp_path / "a.tif"))
    np.testing.assert_array_equal(read_raw(tmp_path / "a.tif")[..., 0], expected)
    np.testing.assert_array_equal(expected, values)


def test_an_orientation_that_there_is_not_turns_nothing(tmp_path: Path) -> None:
    deep_tiff(tmp_path / "a.tif", DEEP, tags={274: 9})
    require_values(tmp_path / "a.tif", DEEP)
