"""The corruptions against their published code, their closed forms, and images of all sizes and channels.

``published.npz`` holds what the package imagecorruptions 1.1.2 (Apache-2.0; Michaelis et al., 2019) makes of `picture`:
where nothing is random the image (16, 20, 3), else the means and deviations of `figures` over 100 seeds.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frugalseg.data.classes import ClassTable
from frugalseg.data.corruptions.arrays import clouds
from frugalseg.data.corruptions.corrupt import FUNCTIONS, Corrupted, corrupted, generator_for
from frugalseg.data.corruptions.names import CORRUPTIONS, KINDS, SEVERITIES
from frugalseg.data.datasets import classes_of
from frugalseg.data.example import Example
from frugalseg.data.folder import SegmentationFolder, as_dataset
from frugalseg.support.errors import InputError
from tests.data.helpers import data_folder, halves

PUBLISHED = np.load(Path(__file__).parent / "published.npz")
EXACT = [key for key in PUBLISHED.files if PUBLISHED[key].dtype == np.uint8]
RANDOM = [key for key in PUBLISHED.files if key not in EXACT]
SEEDS = 6


def picture(height, width):
    coarse = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))


def figures(found, image):
    difference = found.astype(float) - image
    steps = np.abs(np.diff(found.astype(float), axis=0)).mean()
    return [found.mean(), found.std(), np.sqrt((difference**2).mean()), steps]


def by(key, image, seed=0):
    name, severity = key.rsplit("-", 1)
    return corrupted(image, name, int(severity), np.random.default_rng(seed))


def test_there_are_eighteen():
    assert set(FUNCTIONS) == set(CORRUPTIONS) and len(CORRUPTIONS) == 18
    assert len(EXACT) == 35 and {key.rsplit("-", 1)[0] for key in PUBLISHED.files} == {*CORRUPTIONS} - {
        "jpeg_compression"
    }


@pytest.mark.parametrize("key", EXACT)
def test_what_is_not_random_is_what_the_published_code_gives(key):
    difference = np.abs(by(key, picture(16, 20)).astype(int) - PUBLISHED[key])
    assert difference.max() <= 1 and difference.mean() < 0.3


@pytest.mark.parametrize("key", RANDOM)
def test_what_is_random_is_like_what_the_published_code_gives(key):
    image, (mean, deviation) = picture(64, 48), PUBLISHED[key]
    own = np.mean([figures(by(key, image, seed), image) for seed in range(SEEDS)], 0)
    # Four standard errors, and the rounding, which is not the same.
    assert (np.abs(own - mean) <= 4 * deviation / np.sqrt(SEEDS) + 0.7).all(), (own, mean, deviation)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_has_the_variance_that_is_published(severity):
    gray, share = np.full((64, 64, 3), 128, np.uint8), 128 / 255
    deviation = {"gaussian_noise": (0.08, 0.12), "speckle_noise": (share * 0.15, share * 0.2)}
    for name, wanted in deviation.items():
        if severity <= 2:
            assert (by(f"{name}-{severity}", gray) / 255).std() == pytest.approx(wanted[severity - 1], rel=0.03)
    shot = (by(f"shot_noise-{severity}", gray) / 255).std()
    photons = (60, 25, 12, 5, 3)[severity - 1]
    assert severity > 2 or shot == pytest.approx(np.sqrt(share / photons), rel=0.03)
    hit = by(f"impulse_noise-{severity}", gray)
    amount = (0.03, 0.06, 0.09, 0.17, 0.27)[severity - 1]
    assert (hit == 0).mean() == pytest.approx(amount / 2, abs=0.01)
    assert (hit == 255).mean() == pytest.approx(amount / 2, abs=0.01)


def test_jpeg_is_that_of_the_library(tmp_path):
    image = picture(32, 48)
    Image.fromarray(image).save(tmp_path / "a.jpg", quality=15)
    assert np.array_equal(by("jpeg_compression-3", image), np.asarray(Image.open(tmp_path / "a.jpg")))


def test_jpeg_of_an_image_that_is_wider_than_a_jpeg_can_be():
    image = np.tile(picture(16, 64), (1, 1100, 1))
    assert image.shape[1] > 65500
    found = by("jpeg_compression-3", image)
    assert np.array_equal(found[:, :8000], by("jpeg_compression-3", image[:, :8192])[:, :8000])
    assert np.array_equal(found[:, 1024:2048], found[:, -2048:-1024])


def test_contrast_keeps_the_mean_and_a_flat_image():
    image = picture(64, 48)
    weak = by("contrast-5", image).astype(float)
    assert weak.mean((0, 1)) == pytest.approx(image.mean((0, 1)), abs=0.5) and weak.std() < 0.06 * image.std() + 8
    flat = np.full((20, 30, 3), 77, np.uint8)
    for name in (*KINDS["blur"], *KINDS["digital"]):
        differing = np.abs(by(f"{name}-3", flat)[..., 0].astype(int) - 77)
        assert differing.max() <= 2, name


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name not in ("saturate", "spatter", "glass_blur")])
def test_a_higher_severity_changes_more(name):
    image = picture(96, 64)
    changed = [np.abs(by(f"{name}-{severity}", image).astype(int) - image).mean() for severity in SEVERITIES]
    assert changed[0] > 0 and changed[-1] > 1.15 * changed[0]
    if name not in ("snow", "fog", "elastic_transform", "pixelate"):
        assert changed == sorted(changed)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_images_of_any_size_and_channels(name):
    for height, width, channels in ((1, 1, 3), (2, 31, 1), (17, 5, 3), (9, 12, 2), (9, 12, 5)):
        image = np.random.default_rng(1).integers(0, 256, (height, width, channels), np.uint8)
        for severity in (1, 5):
            before = image.copy()
            found = by(f"{name}-{severity}", image)
            assert found.shape == image.shape and found.dtype == np.uint8 and np.array_equal(image, before)
    black = np.zeros((8, 8, 3), np.uint8)
    assert by(f"{name}-5", black).shape == black.shape


def test_an_image_is_corrupted_the_same_way_each_time():
    examples = [Example(name, picture(24, 24), np.zeros((24, 24), np.uint8), 7) for name in ("one", "two")]
    for name in CORRUPTIONS:
        first, again, other = (Corrupted(examples, name, 3, seed) for seed in (0, 0, 1))
        assert np.array_equal(first[1].image, again[1].image), name
        random = not any(key.startswith(name) for key in EXACT) and name != "jpeg_compression"
        assert random == (not np.array_equal(first[0].image, first[1].image)), name
        assert random == (not np.array_equal(first[0].image, other[0].image)), name
        assert first[0].origin is None and first.target(0) is examples[0].target and len(first) == 2
    # The direction of a motion and the places of salt belong to the image, whatever the severity.
    weak, strong = (Corrupted(examples, "impulse_noise", severity)[0].image for severity in (1, 5))
    hit = (weak != examples[0].image) & np.isin(weak, (0, 255))
    assert hit.any() and np.array_equal(weak[hit], strong[hit])
    assert generator_for("a", "fog").random() != generator_for("a", "snow").random()


def test_classes_and_channels_are_those_that_the_clean_dataset_would_have(tmp_path):
    """A model asks for its own; ids and values mean the same with and without a corruption."""
    data = data_folder(tmp_path, [halves(0, 1), halves(1, 0)])
    for number, path in enumerate(sorted((data / "images").iterdir())):
        Image.fromarray(np.random.default_rng(number).integers(0, 65536, (12, 16)).astype(np.uint16)).save(path)
    colors = ((0, 0, 0), (9, 9, 9))
    ClassTable((0, 1), ("left", "right"), colors).to_json(data / "classes.json")
    model = ClassTable((5, 6), ("right", "left"), colors)
    clean = Corrupted(SegmentationFolder(data), "brightness", 2)
    assert classes_of(clean) == SegmentationFolder(data).classes
    assert np.array_equal(as_dataset(clean, model)[0].target, 1 - clean[0].target)
    spec = SegmentationFolder(data, channels=(1,)).channels
    expected = Corrupted(SegmentationFolder(data, model, spec), "brightness", 2)
    found = as_dataset(clean, model, spec)
    assert np.array_equal(found[1].image, expected[1].image) and found[1].image.shape == (12, 16, 1)
    assert np.array_equal(found[1].target, expected[1].target)


def test_mistakes_name_what_is_near():
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(InputError, match=r"^corruption gausian_noise: did you mean gaussian_noise\? give any of"):
        corrupted(image, "gausian_noise", 1, np.random.default_rng(0))
    with pytest.raises(InputError, match=r"^severity is 6; give a whole number from 1 to 5$"):
        Corrupted([], "fog", 6)
    for name in (None, 5, [], ["fog"], {}, b"fog", "", "x" * 10_000):
        with pytest.raises(InputError, match=r"^corruption .*give any of gaussian_noise"):
            Corrupted([], name, 1)
    for arguments, said in (((True,), "severity is True"), ((1, -1), "seed is -1"), ((1, None), "seed is None")):
        with pytest.raises(InputError, match=said):
            Corrupted([], "fog", *arguments)
    with pytest.raises(InputError, match="None is no dataset"):
        Corrupted(None, "fog", 1)
    # A float image in [0, 1] would come out all but black.
    for wrong in (image / 255.0, image[..., 0], image.astype(np.uint16), image[:0], None, [[1]]):
        with pytest.raises(InputError, match=r"is no image to corrupt; give \(H, W, C\) uint8"):
            Corrupted([Example("a", wrong, image[..., 0])], "fog", 1)[0]


def test_clouds_of_long_images_take_bounded_memory(monkeypatch):
    usual = clouds((3, 60), 2.0, np.random.default_rng(0))
    monkeypatch.setattr("frugalseg.data.corruptions.arrays.WIDEST", 16)
    found = clouds((3, 60), 2.0, np.random.default_rng(0))
    assert found.shape == usual.shape and found.min() >= 0 and found.max() <= 1
    assert np.array_equal(found[:, :44], found[:, 16:]) and not np.array_equal(found, usual)
    assert np.array_equal(clouds((3, 16), 2.0, np.random.default_rng(0)), found[:, :16])
