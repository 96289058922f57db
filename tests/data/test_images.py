import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

from frugalseg.data.decoders import quiet_decoders
from frugalseg.data.image_folder import list_images
from frugalseg.data.images import TURNS, image_size, read_image
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from tests.data.helpers import giant_png, picture, save_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".PNG"])
def test_lossless_formats_give_their_values(folder: Path, suffix: str) -> None:
    path = folder / f"a{suffix}"
    values = picture(0)
    Image.fromarray(values).save(path)
    read = read_image(path)
    assert read.dtype == np.uint8 and read.flags.writeable
    np.testing.assert_array_equal(read, values)
    assert image_size(path) == (12, 16)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_are_close(folder: Path, suffix: str) -> None:
    values = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    path = save_image(folder / f"a{suffix}", values)
    assert np.abs(read_image(path).astype(int) - values).max() < 6
    assert image_size(path) == (16, 24)


def test_grey_palette_and_bilevel_become_rgb(folder: Path) -> None:
    grey = picture(1)[..., 0]
    np.testing.assert_array_equal(read_image(save_image(folder / "grey.png", grey)), np.stack([grey] * 3, 2))

    indexed = Image.fromarray(grey % 3)
    indexed.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    indexed.save(folder / "palette.png")
    colors = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], np.uint8)
    np.testing.assert_array_equal(read_image(folder / "palette.png"), colors[grey % 3])

    save_image(folder / "bits.png", grey > 127)
    np.testing.assert_array_equal(read_image(folder / "bits.png")[..., 1], (grey > 127) * 255)


def test_16_bit_grey_is_scaled(folder: Path) -> None:
    values = np.array([[0, 257, 32896, 65535, 256]], np.uint16)
    for name in ("deep.png", "deep.tif"):
        read = read_image(save_image(folder / name, values))
        assert read[0, :, 0].tolist() == [0, 1, 128, 255, 1] and read.shape == (1, 5, 3)


def test_floating_point_is_scaled_and_out_of_range_refused(folder: Path) -> None:
    assert read_image(save_image(folder / "f.tif", np.array([[0, 0.5, 1]], np.float32)))[0, :, 0].tolist() == [
        0,
        128,
        255,
    ]
    for i, value in enumerate((1.5, -0.1, np.nan)):
        with pytest.raises(FileError, match="not from 0 to 1"):
            read_image(save_image(folder / f"{i}.tif", np.array([[0, value]], np.float32)))


def test_transparency_is_laid_over_white(folder: Path) -> None:
    values = np.zeros((1, 3, 4), np.uint8)
    values[0, :, 3] = 0, 255, 51
    path = save_image(folder / "a.png", values)
    assert read_image(path)[0, :, 0].tolist() == [255, 0, 204]

    indexed = Image.fromarray(np.array([[0, 1]], np.uint8))
    indexed.putpalette([9, 9, 9, 8, 8, 8])
    indexed.save(folder / "p.png", transparency=0)
    assert read_image(folder / "p.png")[0, :, 0].tolist() == [255, 8]

    Image.fromarray(np.array([[[0, 0], [0, 255]]], np.uint8), "LA").save(folder / "la.png")
    assert read_image(folder / "la.png")[0, :, 0].tolist() == [255, 0]


def test_cmyk_works(folder: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(folder / "a.jpg")
    red = read_image(folder / "a.jpg")[4, 4].astype(int)
    assert red[0] > 200 and red[1] < 60 and red[2] < 60


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_exif_orientation_turns_the_image(folder: Path, orientation: int, suffix: str) -> None:
    path = folder / f"a{suffix}"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(picture(2)).save(path, exif=exif, **options)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    read = read_image(path)
    np.testing.assert_array_equal(read, expected)
    assert image_size(path) == read.shape[:2] == ((16, 12) if orientation >= 5 else (12, 16))
    assert (orientation in TURNS) == (orientation != 1)


def test_broken_exif_does_not_spoil_a_sound_image(folder: Path) -> None:
    Image.fromarray(picture(3)).save(folder / "a.png", exif=b"Exif\0\0nonsense")
    np.testing.assert_array_equal(read_image(folder / "a.png"), picture(3))
    assert image_size(folder / "a.png") == (12, 16)


def test_the_first_picture_of_a_stack_is_read(folder: Path) -> None:
    pages = [Image.fromarray(picture(i)) for i in (4, 5)]
    pages[0].save(folder / "a.tif", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(read_image(folder / "a.tif"), picture(4))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif"])
def test_truncated_files_are_refused(folder: Path, suffix: str) -> None:
    path = save_image(folder / f"a{suffix}", picture(6, 64, 64))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(FileError, match=r"export it again or remove it|convert or remove it") as error:
        read_image(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_other_files_are_refused(folder: Path, content: bytes) -> None:
    path = folder / "a.png"
    path.write_bytes(content)
    for read in (read_image, image_size):
        with pytest.raises(FileError, match=r"a.png"):
            read(path)


@pytest.mark.parametrize("side", [10_001, 40_000])
def test_giant_images_are_refused_before_decoding(folder: Path, side: int) -> None:
    path = folder / "a.png"
    path.write_bytes(giant_png(side))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for read in (read_image, image_size):
            with pytest.raises(FileError, match=r"too large .more than 100 megapixels.; cut it into"):
                read(path)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_few_kilobytes_that_claim_many_megapixels_are_refused(folder: Path, suffix: str) -> None:
    """Blank pictures are legal, and decoded without an error; they are refused whole as well as cut short."""
    path = folder / f"a.{suffix}"
    Image.new("1", (5000, 5000)).save(path, **({"compression": "group4"} if suffix == "tif" else {}))
    for content in (path.read_bytes(), path.read_bytes()[:-200]):
        path.write_bytes(content)
        with pytest.raises(FileError, match=r"claims 5000x5000 pixels .* in \d+ bytes|not an image of a known format"):
            read_image(path)


def test_the_largest_size_can_be_raised_and_lowered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    large, small = folder / "large.png", save_image(folder / "small.png", picture(1, 1200, 1000))
    large.write_bytes(giant_png(20_000))
    monkeypatch.setenv("FRUGALSEG_MAX_MEGAPIXELS", "1")
    with pytest.raises(FileError, match=r"more than 1 megapixels.; .* FRUGALSEG_MAX_MEGAPIXELS"):
        read_image(small)
    monkeypatch.setenv("FRUGALSEG_MAX_MEGAPIXELS", "500")
    with pytest.raises(FileError, match="claims 20000x20000"):  # not too large any more
        read_image(large)
    assert read_image(small).shape == (1200, 1000, 3)
    for wrong in ("many", "0", "-1", "1e3", "9" * 5000):
        monkeypatch.setenv("FRUGALSEG_MAX_MEGAPIXELS", wrong)
        with pytest.raises(InputError, match=r"FRUGALSEG_MAX_MEGAPIXELS is '.*; give a whole number"):
            read_image(small)


def test_large_images_that_are_converted_in_parts_keep_their_values(folder: Path) -> None:
    rows = np.arange(2200, dtype=np.uint16)[:, None] * np.ones((1, 2000), np.uint16)
    deep = read_image(save_image(folder / "deep.png", rows * 29))
    assert (deep[..., 2] == np.rint(rows * 29 / 257).astype(np.uint8)).all()
    clear = np.stack([rows % 256] * 3 + [rows // 10 % 256], 2).astype(np.uint8)
    read = read_image(save_image(folder / "clear.png", clear))
    white = Image.new("RGBA", (2000, 2200), "white")
    assert (read == np.asarray(Image.alpha_composite(white, Image.fromarray(clear)).convert("RGB"))).all()


def test_missing_image(folder: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        read_image(folder / "none.png")


def test_a_bytes_level_flip_never_escapes_as_another_error(folder: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(7)).save(buffer, "TIFF")
    sound = buffer.getvalue()
    rng = np.random.default_rng(0)
    path = folder / "a.tif"
    for _ in range(150):
        broken = bytearray(sound)
        for place in rng.integers(0, len(sound), 6):
            broken[place] = rng.integers(256)
        broken[-40:] = rng.bytes(40)
        path.write_bytes(bytes(broken))
        try:
            assert read_image(path).dtype == np.uint8
        except FileError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("suffix", "exact"),
    [(".gif", False), (".ppm", True), (".pgm", False), (".jfif", False), (".avif", False), (".jp2", True)],
)
def test_formats_of_cameras_and_tools(tmp_path: Path, suffix: str, exact: bool) -> None:
    values = np.full((12, 16, 3), (40, 90, 200), np.uint8)
    path, options = tmp_path / f"a{suffix}", {"irreversible": False} if suffix == ".jp2" else {}
    Image.fromarray(values).convert("L" if suffix == ".pgm" else "RGB").save(
        path, format="JPEG" if suffix == ".jfif" else None, **options
    )
    assert list_images(tmp_path) == [path]
    found = read_image(path).astype(int)
    expected = np.asarray(Image.fromarray(values).convert("L").convert("RGB")) if suffix == ".pgm" else values
    assert image_size(path) == (12, 16)
    assert np.abs(found - expected).max() <= (0 if exact else 6)


def test_warnings_come_back_once_no_thread_decodes_any_more():
    """They belong to the process: the second block of two that overlap must not restore what the first one had set."""
    before = list(warnings.filters)
    first, second = quiet_decoders(), quiet_decoders()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert warnings.filters != before
    second.__exit__(None, None, None)
    assert warnings.filters == before


def test_the_size_of_a_png_is_told_without_decoding_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow decodes a PNG to see whether EXIF lies behind its pixels; that only happens where some does."""
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    Image.fromarray(picture(0)).save(folder / "plain.png")
    Image.fromarray(picture(0)).save(folder / "first.png", exif=turned)
    plain, first = ((folder / name).read_bytes() for name in ("plain.png", "first.png"))
    begin = first.index(b"eXIf") - 4
    chunk = first[begin : begin + 12 + int.from_bytes(first[begin : begin + 4], "big")]
    (folder / "late.png").write_bytes(plain[:-12] + chunk + plain[-12:])
    decoded: list[Path] = []
    load = PngImagePlugin.PngImageFile.load

    def counted(image: PngImagePlugin.PngImageFile) -> object:
        decoded.append(Path(image.filename))  # type: ignore[arg-type]
        return load(image)

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", counted)
    sizes = {name: image_size(folder / f"{name}.png") for name in ("plain", "first", "late")}
    assert sizes == {"plain": (12, 16), "first": (16, 12), "late": (16, 12)}
    assert {path.name for path in decoded} == {"late.png"}
    assert {name: read_image(folder / f"{name}.png").shape[:2] for name in sizes} == sizes


def test_an_orientation_in_xmp_behind_the_pixels_counts_for_the_size(folder: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", '<rdf:Description tiff:Orientation="6"/>')
    Image.fromarray(picture(0)).save(folder / "a.png", pnginfo=text)
    content = (folder / "a.png").read_bytes()
    begin, end = content.index(b"iTXt") - 4, content.index(b"IDAT") - 4
    (folder / "a.png").write_bytes(content[:begin] + content[end:-12] + content[begin:end] + content[-12:])
    assert image_size(folder / "a.png") == read_image(folder / "a.png").shape[:2] == (16, 12)
