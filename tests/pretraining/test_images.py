"""Training images: any sizes in, one size out."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from frugalseg.data.image_folder import list_images
from frugalseg.pretraining.images import (
    ImageWindows,
    TrainingImages,
    covering_size,
    fit_to_size,
    median_size,
    median_window,
)
from frugalseg.support.errors import InputError

sides = st.integers(1, 60)


@given(sides, sides, sides, sides)
def test_any_size_fits_any_size(height: int, width: int, new_height: int, new_width: int) -> None:
    image = np.full((height, width, 3), (10, 20, 30), np.uint8)
    resized = fit_to_size(image, (new_height, new_width))
    assert resized.shape == (new_height, new_width, 3) and (resized == (10, 20, 30)).all()


def test_another_aspect_is_cropped_at_the_centre() -> None:
    image = np.zeros((8, 24, 3), np.uint8)
    image[:, 8:16] = 200
    assert (fit_to_size(image, (8, 8)) == 200).all()


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inside = fit_to_size(stripes, (16, 16))[2:-2, 2:-2]
    assert np.abs(inside.astype(int) - 127).max() <= 3


def test_images_in_memory_and_from_disk_are_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i, size in enumerate([(10, 12), (30, 20), (8, 8)]):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    kept, streamed = (
        TrainingImages(list_images(tmp_path), (8, 8)),
        TrainingImages(list_images(tmp_path), (8, 8), limit=100),
    )
    assert kept.cached and not streamed.cached and len(kept) == len(streamed) == 3
    assert all(np.array_equal(kept[i], streamed[i]) for i in range(3))
    assert "3 images of 10x12 and 2 other sizes" in kept.describe() and "cropped" in kept.describe()
    assert median_size(kept.paths, 64) == (10, 12)
    assert median_size(kept.paths, 6) == (5, 6)


def test_images_of_the_training_size_stay_as_they_are(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    images = TrainingImages(list_images(tmp_path), (8, 6))
    assert np.array_equal(images[0], image) and "as they are" in images.describe()


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images"):
        TrainingImages(list_images(tmp_path), (8, 8))


class TestWindows:
    """Windows at the images' own scale: (row, column, number of the image) is written into each pixel."""

    @pytest.fixture
    def paths(self, tmp_path: Path) -> list[Path]:
        for i, (height, width) in enumerate([(10, 12), (8, 6), (4, 3)]):
            rows, columns = np.indices((height, width))
            pixels = np.stack([rows, columns, np.full_like(rows, i)], axis=2).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        return list_images(tmp_path)

    def test_windows_are_cut_at_random_and_not_resized(self, paths: list[Path]) -> None:
        images = ImageWindows(paths, (8, 6))
        draws = np.random.default_rng(0)
        corners = set()
        for _ in range(300):
            window = images.drawn(0, draws)
            corners.add(tuple(window[0, 0, :2].tolist()))
            assert np.array_equal(window - window[0, 0], np.stack([*np.indices((8, 6)), np.zeros((8, 6))], axis=2))
        assert corners == {(top, left) for top in range(3) for left in range(7)}
        assert images[0][0, 0].tolist() == [1, 3, 0]  # pictures show the middle
        assert np.array_equal(images.drawn(1, draws), images[1])

    def test_smaller_images_are_enlarged_until_they_cover_a_window(self, paths: list[Path]) -> None:
        images = ImageWindows(paths, (8, 6))
        assert images[2].shape == (8, 6, 3) and images.kept(2).shape == (8, 6, 3)
        assert ImageWindows(paths, (5, 6)).kept(2).shape == (8, 6, 3)
        assert "windows of 8x6 are cut at the images' own scale" in images.describe()
        assert "1 are smaller and are enlarged" in images.describe()
        assert "enlarged" not in ImageWindows(paths, (4, 3)).describe()

    def test_very_flat_images_are_not_enlarged_without_an_end(self, tmp_path: Path) -> None:
        assert covering_size((3, 60_000), (256, 256)) == (256, 2**16)
        assert covering_size((60_000, 3), (256, 256)) == (2**16, 256)
        assert covering_size((1, 10), (5000, 5000)) == (5000, 5000)
        # A little larger than its window in one direction, and large in any case: nothing is cut off.
        assert covering_size((500, 40_000), (512, 512)) == (512, 40_960)
        assert covering_size((200, 100_000), (100, 100)) == (200, 100_000)
        line = np.zeros((1, 60_000, 3), np.uint8)
        line[:, 29_900:30_100] = 200
        Image.fromarray(line).save(tmp_path / "a.png")
        images = ImageWindows(list_images(tmp_path), (128, 96))
        assert images.kept(0).shape == (128, 2**17, 3) and (images[0] == 200).all()

    def test_windows_from_memory_and_from_disk_are_the_same(self, paths: list[Path]) -> None:
        kept, streamed = ImageWindows(paths, (5, 5)), ImageWindows(paths, (5, 5), limit=100)
        assert kept.cached and not streamed.cached
        for i in range(3):
            assert np.array_equal(
                *(each.drawn(i, np.random.default_rng(i)) for each in (kept, streamed)),
            )

    def test_without_a_size_windows_are_as_large_as_most_images_allow(self, paths: list[Path]) -> None:
        assert median_window(paths, 99) == (8, 6) and median_window(paths, 7) == (7, 6)
