"""Images as Python programs hold them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from frugalseg.data.arrays import as_images, as_rgb, in_channels
from frugalseg.data.channels import ChannelSpec
from frugalseg.support.errors import InputError
from tests.data.helpers import picture, save_image

RGB = picture(0)


@pytest.mark.parametrize(
    "image",
    [
        RGB,
        RGB.astype(np.int64),
        RGB.astype(np.uint16) * 257,
        RGB / 255,
        (RGB / 255).astype(np.float32),
        torch.from_numpy(RGB),
        torch.from_numpy(RGB).permute(2, 0, 1),
        torch.from_numpy(RGB / 255).permute(2, 0, 1).float(),
        (RGB.astype(np.uint16) * 257).astype(">u2"),
        Image.fromarray(RGB),
        np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)]),
    ],
    ids=[
        *("uint8", "int64", "uint16", "float64", "float32", "tensor", "channels first", "floats", "big-endian"),
        *("PIL", "RGBA"),
    ],
)
def test_one_picture_in_many_ways(image: Any) -> None:
    found = as_rgb(image)
    assert found.dtype == np.uint8 and found.flags.c_contiguous
    np.testing.assert_array_equal(found, RGB)


def test_grey_and_black_and_white() -> None:
    grey = RGB[..., 0]
    for image in (grey, grey[..., None], grey[None]):
        np.testing.assert_array_equal(as_rgb(image), np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(as_rgb(grey > 100)[..., 1], np.where(grey > 100, 255, 0))


def test_transparency_is_laid_over_white() -> None:
    clear = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    assert (as_rgb(clear) == 255).all()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (RGB.astype(np.float32), "float32 values must be from 0 to 1, these are from"),
        (RGB.astype(np.int32) - 300, "int32 values must be from 0 to 255"),
        (np.array([[np.nan, 0.5]]), "values must be from 0 to 1"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\) is no image"),
        (np.zeros((5, 6, 2), np.uint8), r"shape \(5, 6, 2\) is no image"),
        (np.zeros(7, np.uint8), r"shape \(7,\) is no image"),
        (np.array([["a"]]), "is no image"),
        (np.array([[None]]), "object is no image"),
        (np.zeros((2, 2), np.complex64), "complex64 is no image"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_rgb(image)


@settings(max_examples=40, deadline=None)
@given(value=st.integers(0, 65535))
def test_sixteen_bits_become_the_nearest_eight(value: int) -> None:
    assert as_rgb(np.full((1, 1), value, np.uint16))[0, 0, 0] == round(value / 65535 * 255)


def test_several_images_one_and_a_folder(tmp_path: Path) -> None:
    path = save_image(tmp_path / "a.png", RGB)
    for images in ([RGB], RGB, RGB[None], str(path), [path], tmp_path, Image.fromarray(RGB), (x for x in [RGB])):
        (found,) = as_images(images)
        np.testing.assert_array_equal(found, RGB)
    with pytest.raises(InputError, match="image number 2: an array of shape"):
        list(as_images([RGB, np.zeros((2, 2, 7))]))
    with pytest.raises(InputError, match="expected images, found int"):
        list(as_images(7))  # type: ignore[arg-type]


def test_tensors_of_bfloat16() -> None:
    """NumPy has no such numbers; 8 of their bits are left of each value."""
    values = torch.from_numpy(RGB / 255).permute(2, 0, 1).bfloat16()
    np.testing.assert_array_equal(as_rgb(values), np.rint(values.permute(1, 2, 0).double().numpy() * 255))
    spec = ChannelSpec((1,), 1, ((0.0, 1.0),), (0.5, 99.5))
    np.testing.assert_array_equal(in_channels(values[:1], spec)[..., 0], as_rgb(values)[..., 0])


def cut_short(path: Path) -> Image.Image:
    """An open picture whose file has lost its end."""
    save_image(path, picture(1, 64, 64))
    path.write_bytes(path.read_bytes()[:-3000])
    return Image.open(path)


@pytest.mark.parametrize("channels", [None, ChannelSpec((1,), 3, ((0.0, 1.0),), (0.5, 99.5))], ids=["RGB", "channels"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: [[1, 2], [3]], "list is no image"),
        (lambda _: torch.zeros(3, 4, 4, device="meta"), "Tensor is no image"),
        (lambda _: torch.zeros(4, 4).to_sparse(), "Tensor is no image"),
        (lambda _: Image.new("RGB", (0, 5)), "the image: a picture of 5x0 pixels is no image"),
        (lambda place: cut_short(place / "a.png"), r"a\.png: cannot be read \(image file is truncated"),
    ],
    ids=["ragged", "meta", "sparse", "empty", "cut short"],
)
def test_what_numpy_and_pillow_refuse_is_one_line(tmp_path: Path, make: Any, message: str, channels: Any) -> None:
    with pytest.raises(InputError, match=f"image number 1: .*{message}"):
        list(as_images([make(tmp_path)], channels))
