import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalseg.data.check import check_folder
from frugalseg.data.folder import SegmentationFolder
from frugalseg.data.image_folder import list_images
from frugalseg.data.images import read_image
from frugalseg.data.toy.dataset import TOY_CLASSES, toy_example, write_toy_folder


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), index=st.integers(0, 10**6))
def test_every_image_shows_a_whole_animal(seed: int, index: int) -> None:
    example = toy_example(seed, index)
    assert example.image.shape == (48, 48, 3) and example.image.dtype == np.uint8
    assert example.target.shape == (48, 48) and example.target.dtype == np.uint8
    found = set(np.unique(example.target).tolist())
    assert found <= set(range(len(TOY_CLASSES))) and len(found) >= 8
    rows, columns = np.nonzero(example.target)
    assert 0.45 * 48 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 48


def test_an_image_depends_on_its_seed_and_index_alone() -> None:
    first = [toy_example(3, i) for i in (0, 1, 2)]
    again = [toy_example(3, i) for i in (2, 1, 0)][::-1]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.target, b.target)
    pictures = {toy_example(seed, i).image.tobytes() for seed in range(3) for i in range(3)}
    assert len(pictures) == 9


def test_another_process_draws_the_same() -> None:
    code = (
        "import hashlib; from frugalseg.data.toy.dataset import toy_example; e = toy_example(5, 7)\n"
        "print(hashlib.sha256(e.image.tobytes() + e.target.tobytes()).hexdigest())"
    )
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)}
    assert len(runs) == 1


def test_the_shipped_network_was_trained_on_these_very_images() -> None:
    # Redraw toy images only together with the network in assets/: it knows no others. Means, since the last bit of a
    # float may depend on the processor.
    means = [toy_example(0, i).image.mean() for i in range(4)]
    assert means == pytest.approx([85.636, 134.589, 104.078, 150.353], abs=0.05)


def test_size_changes_the_resolution_only() -> None:
    small, large = toy_example(1, 4), toy_example(1, 4, size=96)
    halved = large.image.reshape(48, 2, 48, 2, 3).mean((1, 3))
    assert np.abs(halved - small.image).mean() < 4
    assert (large.target[::2, ::2] == small.target).mean() > 0.9


def test_neither_colour_nor_place_gives_the_class_away() -> None:
    from sklearn.ensemble import RandomForestClassifier

    def pixels(indices: range) -> tuple[np.ndarray, np.ndarray]:
        examples = [toy_example(1, i) for i in indices]
        place = np.stack(np.mgrid[:48, :48], -1).reshape(-1, 2) * 5
        rows = [np.hstack([e.image.reshape(-1, 3), place]) for e in examples]
        return np.concatenate(rows), np.concatenate([e.target.ravel() for e in examples])

    forest = RandomForestClassifier(15, min_samples_leaf=5, random_state=0).fit(*pixels(range(12)))
    features, truth = pixels(range(100, 120))
    guess = forest.predict(features)
    overlap = [((guess == k) & (truth == k)).sum() / ((guess == k) | (truth == k)).sum() for k in range(1, 10)]
    assert np.mean(overlap) < 0.2 and max(overlap) < 0.4


def test_a_written_folder_is_a_data_folder(tmp_path: Path) -> None:
    write_toy_folder(tmp_path, 3, seed=1, first=4)
    folder = SegmentationFolder(tmp_path)
    assert folder.names == ["000004", "000005", "000006"] and folder.classes == TOY_CLASSES
    for i, example in enumerate(folder, 4):
        drawn = toy_example(1, i)
        np.testing.assert_array_equal(example.image, drawn.image)
        np.testing.assert_array_equal(example.target, drawn.target)
    assert not [f for f in check_folder(tmp_path) if f.level == "error"]


def test_an_interrupted_writing_continues(tmp_path: Path) -> None:
    write_toy_folder(tmp_path / "whole", 4, seed=2)
    write_toy_folder(tmp_path / "parts", 2, seed=2)
    # Killed after a mask, before its image.
    (tmp_path / "parts" / "images" / "000001.png").unlink()
    (tmp_path / "parts" / "classes.json").unlink()
    kept = (tmp_path / "parts" / "images" / "000000.png").stat().st_mtime_ns
    write_toy_folder(tmp_path / "parts", 4, seed=2)
    assert (tmp_path / "parts" / "images" / "000000.png").stat().st_mtime_ns == kept
    for path in (p for p in (tmp_path / "whole").rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / "parts" / path.relative_to(tmp_path / "whole")).read_bytes()


def test_without_masks_it_is_a_flat_folder(tmp_path: Path) -> None:
    write_toy_folder(tmp_path, 2, seed=1, masks=False, size=32)
    paths = list_images(tmp_path)
    assert sorted(tmp_path.iterdir()) == paths and len(paths) == 2
    np.testing.assert_array_equal(read_image(paths[1]), toy_example(1, 1, 32).image)
