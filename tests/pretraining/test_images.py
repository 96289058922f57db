"""Training images: any sizes in, one size out."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from frugalseg.data.images import list_images
from frugalseg.pretraining.images import TrainingImages, fit_to_size, median_size
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
