"""Channels chosen and scaled, exactly."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from frugalseg.data.arrays import as_images
from frugalseg.data.channels import ChannelChoice, ChannelSpec, as_choice, read_pixels, require_stored, viewed
from frugalseg.data.check import check_folder
from frugalseg.data.datasets import in_channels
from frugalseg.data.example import Example
from frugalseg.data.folder import SegmentationFolder
from frugalseg.data.subset import Subset
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from tests.data.helpers import data_folder, deep_tiff, halves, picture, save_image

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
"""All values of 12 bits, once each."""


def stack(seed: int, channels: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4096, (12, 16, channels)).astype(np.uint16)


def stacks(root: Path, count: int = 3) -> Path:
    """A data folder of five-channel TIFFs."""
    data_folder(root, [halves(0, 1)] * count)
    for number in range(count):
        (root / "images" / f"{number:03d}.png").unlink()
        deep_tiff(root / "images" / f"{number:03d}.tif", stack(number))
    return root


def test_twelve_bits_of_grey_get_all_256_levels(tmp_path: Path) -> None:
    path = save_image(tmp_path / "a.png", RAMP)
    spec = ChannelChoice((1,), (0.0, 100.0)).found_in_files([path])
    assert spec == ChannelSpec((1,), 1, ((0.0, 4095.0),), (0.0, 100.0))
    found = read_pixels(path, spec)
    assert found.shape == (64, 64, 1) and found.dtype == np.uint8
    np.testing.assert_array_equal(found[..., 0], np.rint(RAMP.astype(float) * 255 / 4095))
    narrow = ChannelChoice((1,)).found_in_files([path])
    ((low, high),) = narrow.ranges
    assert (low, high) == pytest.approx((0.005 * 4095, 0.995 * 4095))
    expected = np.rint((RAMP.astype(float).clip(low, high) - low) * 255 / (high - low))
    np.testing.assert_array_equal(read_pixels(path, narrow)[..., 0], expected)
    assert {0, 255} <= set(read_pixels(path, narrow).ravel().tolist())


def test_rgb_of_sixteen_bits_and_five_channels_in_any_order(tmp_path: Path) -> None:
    values, choice = stack(0), ChannelChoice((5, 1, 1), (0.0, 100.0))
    path = deep_tiff(tmp_path / "a.tif", values)
    spec = choice.found_in_files([path])
    ends = [(int(values[..., n].min()), int(values[..., n].max())) for n in (4, 0, 0)]
    assert spec.stored == 5 and spec.ranges == tuple(ends)
    found = read_pixels(path, spec)
    for place, number in enumerate((4, 0, 0)):
        low, high = ends[place]
        np.testing.assert_array_equal(found[..., place], np.rint((values[..., number] - low) * 255.0 / (high - low)))
    rgb = deep_tiff(tmp_path / "rgb.tif", values[..., :3], tags={262: 2})
    np.testing.assert_array_equal(
        read_pixels(rgb, ChannelSpec((1, 2, 3), 3, ((0.0, 4095.0),) * 3, (0.5, 99.5))),
        np.rint(values[..., :3] / 4095 * 255),
    )


def test_percentiles_are_those_of_all_images_together(tmp_path: Path) -> None:
    paths = [deep_tiff(tmp_path / f"{n}.tif", stack(n)) for n in range(3)]
    spec = ChannelChoice((2,), (10.0, 90.0)).found_in_files(paths)
    together = np.concatenate([stack(n)[..., 1].ravel() for n in range(3)])
    assert spec.ranges[0] == pytest.approx(tuple(np.percentile(together, [10, 90])))


def test_of_large_images_a_sample_does() -> None:
    ramp = np.linspace(0, 1, 1100 * 1000, dtype=np.float32).reshape(1100, 1000, 1)
    ((low, high),) = ChannelChoice((1,), (10.0, 90.0)).found_in([ramp, ramp]).ranges
    assert (low, high) == pytest.approx((0.1, 0.9), abs=1e-4)


def test_what_is_no_number_becomes_0_and_does_not_count() -> None:
    values = np.array([[[0.0], [np.nan], [10.0], [np.inf], [-np.inf]]], np.float32)
    spec = ChannelChoice((1,), (0.0, 100.0)).found_in([values])
    assert spec.ranges == ((0.0, 10.0),)
    assert spec.scaled(values, "a")[0, :, 0].tolist() == [0, 0, 255, 255, 0]


def test_arrays_mean_what_files_mean(tmp_path: Path) -> None:
    values = stack(0)
    spec = ChannelChoice((1, 3)).found_in_files([deep_tiff(tmp_path / "a.tif", values)])
    expected = read_pixels(tmp_path / "a.tif", spec)
    same: list[Any] = [values, values.astype(np.float32), values.astype(np.int64), np.moveaxis(values, 2, 0)]
    same += [torch.from_numpy(values.astype(np.int32)), str(tmp_path / "a.tif")]
    for image in same:
        (found,) = as_images([image], spec)
        np.testing.assert_array_equal(found, expected)
    (folder,) = as_images(tmp_path, spec)
    np.testing.assert_array_equal(folder, expected)
    grey = ChannelSpec((1,), 1, ((0.0, 255.0),), (0.5, 99.5))
    for image in (picture(0)[..., 0], Image.fromarray(picture(0)[..., 0])):
        np.testing.assert_array_equal(next(as_images(image, grey))[..., 0], picture(0)[..., 0])


def test_the_channels_of_a_model_are_required(tmp_path: Path) -> None:
    spec = ChannelChoice((1,)).found_in([stack(0)])
    other = save_image(tmp_path / "b.png", picture(0))
    told = r"has 3 channels, where the images that the model was fitted on have 5; give images of the same channels"
    with pytest.raises(FileError, match=rf"b\.png: {told}"):
        read_pixels(other, spec)
    with pytest.raises(InputError, match=rf"image number 2: the image: {told}"):
        list(as_images([stack(0), picture(0)], spec))
    deep_tiff(tmp_path / "a.tif", stack(0))
    (tmp_path / "c.tif").write_bytes(b"nothing")
    require_stored([tmp_path / "a.tif", tmp_path / "c.tif"], spec)
    with pytest.raises(FileError, match=r"b\.png"):
        require_stored([tmp_path / "a.tif", tmp_path / "c.tif", other], spec)
    require_stored([other], None)


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        ((), "0 channels chosen; 1 to 16"),
        ((1,) * 17, "17 channels chosen"),
        ((0,), "channels are 0; give a whole number from 1"),
        ((1.5,), "channels"),
        ("rgb", "channels"),
        (True, "channels"),
        (None, "channels"),
        ((10**30,), "channels are"),
    ],
)
def test_impossible_channels_are_named(channels: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        as_choice(channels)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "percentiles", [(5.0, 5.0), (9.0, 1.0), (-1.0, 50.0), (0.0, 101.0), (1.0,), (float("nan"), 9.0)]
)
def test_percentiles_rise_from_0_to_100(percentiles: Any) -> None:
    with pytest.raises(InputError, match="percentiles are"):
        ChannelChoice((1,), percentiles)


def test_images_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    folder = stacks(tmp_path / "a")
    with pytest.raises(FileError, match=r"000\.tif: has no channel 6, only 5; name channels that all images have"):
        SegmentationFolder(folder, channels=(1, 6))
    deep_tiff(folder / "images" / "001.tif", stack(1, 4))
    with pytest.raises(FileError, match=r"001\.tif: has 4 channels, where .*000\.tif has 5"):
        SegmentationFolder(folder, channels=(1,))
    for number in range(3):
        deep_tiff(folder / "images" / f"{number:03d}.tif", np.full((12, 16, 5), 7, np.uint16))
    with pytest.raises(InputError, match=r"channel 2 holds a single value between .*, or try --percentiles 0,100"):
        SegmentationFolder(folder, channels=(2,))


def test_a_folder_in_chosen_channels(tmp_path: Path) -> None:
    folder = SegmentationFolder(stacks(tmp_path), channels=[1, 2])
    assert folder.channels is not None and folder.channels.stored == 5
    assert folder[1].image.shape == (12, 16, 2) and folder.size(1) == (12, 16)
    again = from_json(ChannelSpec, {**vars(folder.channels)})
    assert again == folder.channels
    same = in_channels(SegmentationFolder(tmp_path, channels=again), again)
    np.testing.assert_array_equal(same[1].image, folder[1].image)
    assert in_channels(Subset(folder, [1]), again)[0].image.shape == (12, 16, 2)
    with pytest.raises(InputError, match="opened with channels other than these"):
        in_channels(folder, ChannelChoice((3,)))
    with pytest.raises(InputError, match="opened with channels other than these"):
        in_channels(folder, None)
    raw = [Example("a", stack(1), halves(0, 1))]
    np.testing.assert_array_equal(in_channels(raw, again)[0].image, folder[1].image)


def test_check_says_how_channels_are_scaled_and_where_16_bits_vanish(tmp_path: Path) -> None:
    data_folder(tmp_path / "grey", [halves(0, 1)] * 2)
    for number in range(2):
        save_image(tmp_path / "grey" / "images" / f"{number:03d}.png", stack(number)[..., 0])
    (told,) = [f for f in check_folder(tmp_path / "grey") if "16-bit" in f.message]
    assert told.level == "warning" and told.where == "000.png, 001.png" and "--channels 1" in told.remedy
    assert "at most 17 of 256 levels are left" in told.message
    found = check_folder(tmp_path / "grey", channels=ChannelChoice((1,)))
    assert not [f for f in found if f.level != "info"]
    (said,) = [f.message for f in found if "scaled" in f.message]
    assert said.startswith("of 1 channel, these are scaled to 8 bits: 1 from ") and "0.5 and 99.5" in said
    for number in range(2):
        save_image(tmp_path / "grey" / "images" / f"{number:03d}.png", stack(number)[..., 0] * 16)
    assert not [f for f in check_folder(tmp_path / "grey") if "16-bit" in f.message]


def test_pictures_show_the_first_three_channels() -> None:
    values = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)
    np.testing.assert_array_equal(viewed(values), values[..., :3])
    np.testing.assert_array_equal(viewed(values[..., :3]), values[..., :3])
    np.testing.assert_array_equal(viewed(values[..., :1]), np.repeat(values[..., :1], 3, 2))
    np.testing.assert_array_equal(viewed(values[..., :2])[..., 2], np.zeros((2, 3)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"ranges": [[5.0, 5.0]]},
        {"ranges": [[0.0, 1.0], [0.0, 1.0]]},
        {"ranges": [[0.0, 1e400]]},
        {"channels": [9]},
        {"channels": []},
        {"stored": 0},
        {"percentiles": [3.0, 1.0]},
        {"more": 1},
    ],
)
def test_a_damaged_description_is_refused(wrong: dict[str, Any]) -> None:
    sound = {"channels": [1], "stored": 1, "ranges": [[0.0, 1.0]], "percentiles": [0.5, 99.5]}
    assert from_json(ChannelSpec, sound).ranges == ((0.0, 1.0),)
    with pytest.raises(InputError):
        from_json(ChannelSpec, {**sound, **wrong})


def test_numbers_that_mark_missing_pixels_are_told_of(caplog):
    values = np.random.default_rng(0).random((40, 40, 1))
    values[:4] = -9999
    ChannelChoice((1,)).found_in([values])
    assert "if a number marks missing pixels, replace it by NaN" in caplog.text
    caplog.clear()
    values[:4] = np.nan
    assert ChannelChoice((1,)).found_in([values]).ranges[0][0] >= 0
    ChannelChoice((1,)).found_in([(values > 0.5).astype(np.uint8)])
    assert not caplog.records
    with pytest.raises(InputError, match="channel 1 holds no numbers"):
        ChannelChoice((1,)).found_in([np.full((4, 4, 1), np.nan)])


@pytest.mark.filterwarnings("error")
def test_numbers_without_a_range_are_refused():
    with pytest.raises(InputError, match="channel 1 holds too large numbers"):
        ChannelChoice((1,)).found_in([np.array([[[-1.7e308], [1.7e308]]])])


def test_nothing_to_choose_channels_on() -> None:
    for choose in (lambda: ChannelChoice((1,)).found_in([]), lambda: in_channels([], ChannelChoice((1,)))):
        with pytest.raises(InputError, match="channels are chosen on annotated images, and there are none"):
            choose()
