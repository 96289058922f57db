"""Stored maps: the values that came, views without copies, and files that are taken up only where they fit."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.map_store import MapStore, MapView, stored_bytes
from frugalseg.features.taps import Tap
from frugalseg.support.errors import InputError

TAPS = (Tap("a", 3, 2), Tap("b", 5, 4), Tap("c", 1, 2))
SIZES = [(8, 4), (4, 12), (8, 4)]


def random_maps(size: tuple[int, int], seed: int) -> FeatureMaps:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(1, tap.channels, size[0] // tap.stride, size[1] // tap.stride) for tap in TAPS]
    return FeatureMaps([torch.randn(shape, generator=generator) for shape in shapes], size)


MAPS = [random_maps(size, seed) for seed, size in enumerate(SIZES)]


def filled(store: MapStore, until: int = len(SIZES)) -> MapStore:
    for image in range(store.done, until):
        store.put(image, MAPS[image])
    return store


def same(found: FeatureMaps, expected: FeatureMaps) -> bool:
    pairs = zip(found.maps, expected.maps, strict=True)
    return found.size == expected.size and all(torch.equal(a, b.half()) for a, b in pairs)


@pytest.mark.parametrize("mapped", [False, True])
def test_the_maps_of_an_image_come_back(mapped: bool, tmp_path: Path) -> None:
    store = filled(MapStore(TAPS, SIZES, tmp_path / "maps" if mapped else None))
    assert len(store) == 3 and store.complete and store.channels == (3, 5, 1) and store.dim == 9
    assert all(same(store.maps(image), maps) for image, maps in enumerate(MAPS))


def test_pixels_of_several_images_at_once() -> None:
    """Read as a list of pixels, every image on a grid of its own, the features are those of its maps."""
    store, rng = filled(MapStore(TAPS, SIZES)), np.random.default_rng(0)
    grids = torch.tensor([(5, 9), (20, 3), (8, 4)])
    image = torch.from_numpy(rng.integers(0, 3, 40))
    grid = grids[image]
    y, x = (torch.from_numpy(rng.integers(0, grid[:, axis].numpy())) for axis in (0, 1))
    found = store.at(image, y, x, grid)
    for place, number in enumerate(image.tolist()):
        height, width = grids[number].tolist()
        maps = store.maps(number).on((height, width))
        torch.testing.assert_close(found[place : place + 1], maps.at(y[place : place + 1] * width + x[place]))


def test_views_of_some_taps_and_some_images_copy_nothing() -> None:
    store = filled(MapStore(TAPS, SIZES))
    part = store.select(["c", TAPS[0]]).subset([2, 1])
    assert isinstance(part, MapView) and part.taps == (TAPS[2], TAPS[0]) and (len(part), part.dim) == (2, 4)
    for image, number in enumerate((2, 1)):
        chosen = FeatureMaps([MAPS[number].maps[2], MAPS[number].maps[0]], MAPS[number].size)
        assert same(part.maps(image), chosen)
    stored = {rows.untyped_storage().data_ptr() for rows in store.rows}
    assert {values.untyped_storage().data_ptr() for values in part.maps(0).maps} <= stored
    index = torch.tensor([0, 1, 1])
    grid = torch.tensor([(8, 4), (4, 12), (4, 12)])
    y, x = torch.tensor([3, 0, 2]), torch.tensor([1, 7, 11])
    whole = store.at(torch.tensor([2, 1, 1]), y, x, grid)
    assert torch.equal(part.at(index, y, x, grid), whole[:, [8, 0, 1, 2]])


def test_an_unknown_tap_is_named_with_the_known_ones() -> None:
    store = MapStore(TAPS, SIZES)
    with pytest.raises(InputError, match="no maps of d are stored; choose from a, b, c"):
        store.select(["a", "d"])
    with pytest.raises(InputError, match="no tap is chosen; choose from a, b, c"):
        store.select([])


def test_an_interrupted_store_goes_on(tmp_path: Path) -> None:
    filled(MapStore(TAPS, SIZES, tmp_path, "digest"), until=2)
    again = MapStore(TAPS, SIZES, tmp_path, "digest")
    assert again.done == 2 and not again.complete
    assert same(filled(again).maps(0), MAPS[0]) and same(again.maps(2), MAPS[2])
    assert sum(file.stat().st_size for file in tmp_path.glob("*.f16")) == stored_bytes(TAPS, SIZES)


@pytest.mark.parametrize(
    ("taps", "sizes", "made_from"),
    [
        (TAPS, SIZES, "other"),
        (TAPS, SIZES, ""),
        (TAPS, [*SIZES, (4, 4)], "digest"),
        ((*TAPS[:2], Tap("d", 1, 2)), SIZES, "digest"),
    ],
    ids=["made from something else", "made from nobody knows what", "another image", "another tap"],
)
def test_maps_of_something_else_are_deleted(taps: tuple[Tap, ...], sizes, made_from: str, tmp_path: Path) -> None:
    filled(MapStore(TAPS, SIZES, tmp_path, "digest"))
    store = MapStore(taps, sizes, tmp_path, made_from)
    assert store.done == 0 and not (tmp_path / "progress.json").exists()
    assert sum(file.stat().st_size for file in tmp_path.glob("*.f16")) == stored_bytes(taps, sizes)


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: os.truncate(path, 6)], ids=["missing", "cut short"])
def test_a_file_that_is_not_whole_begins_anew(spoil, tmp_path: Path) -> None:
    filled(MapStore(TAPS, SIZES, tmp_path))
    spoil(tmp_path / "001-b.f16")
    assert MapStore(TAPS, SIZES, tmp_path).done == 0


def test_what_earlier_versions_have_written_is_taken_up(tmp_path: Path) -> None:
    """Until 0.1 the files were sparse, and the record had no digest."""
    for number, tap in enumerate(TAPS):
        rows = torch.cat([maps.maps[number][0].flatten(1).t() for maps in MAPS[:2]]).half().numpy()
        file = tmp_path / f"{number:03d}-{tap.name}.f16"
        file.write_bytes(rows.tobytes())
        os.truncate(file, stored_bytes([tap], SIZES))
    key = json.dumps([[(tap.name, tap.channels, tap.stride) for tap in TAPS], [list(size) for size in SIZES]])
    (tmp_path / "progress.json").write_text(json.dumps({"key": key, "done": 2}))
    store = MapStore(TAPS, SIZES, tmp_path)
    assert store.done == 2 and same(store.maps(0), MAPS[0]) and same(store.maps(1), MAPS[1])
    assert MapStore(TAPS, SIZES, tmp_path, "digest").done == 0


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="space cannot be reserved on this system")
def test_the_space_is_taken_at_once(tmp_path: Path) -> None:
    MapStore((Tap("a", 64, 1),), [(64, 64)], tmp_path)
    assert (tmp_path / "000-a.f16").stat().st_blocks * 512 >= 2 * 64 * 64 * 64


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="space cannot be reserved on this system")
@pytest.mark.parametrize("done", [0, 2])
def test_a_full_disk_is_an_error_before_anything_is_computed(done: int, tmp_path, monkeypatch) -> None:
    """What would not fit takes no space away; what an earlier run has computed stays."""
    if done:
        filled(MapStore(TAPS, SIZES, tmp_path), until=done)
    real, calls = os.posix_fallocate, []

    def full(file: int, offset: int, size: int) -> None:
        calls.append(size)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, offset, size)

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space left") as caught:
            MapStore(TAPS, SIZES, tmp_path)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "001-b.f16")
    assert (list(tmp_path.iterdir()) == []) == (done == 0)
    assert MapStore(TAPS, SIZES, tmp_path).done == done


def test_a_file_system_that_cannot_reserve_is_good_enough(tmp_path, monkeypatch) -> None:
    def unable(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unable, raising=False)
    assert same(filled(MapStore(TAPS, SIZES, tmp_path)).maps(1), MAPS[1])


def test_maps_beyond_half_precision_stay_finite() -> None:
    """bfloat16 reaches further than float16, and rounds the greatest float16 up."""
    values = torch.tensor([1e30, -1e30, 65504.0, 1.0], dtype=torch.bfloat16)
    store = MapStore((Tap("a", 1, 2),), [(4, 4)])
    store.put(0, FeatureMaps([values.view(1, 1, 2, 2)], (4, 4)))
    found = store.maps(0).maps[0]
    assert found.isfinite().all() and found.max() == 65504 and found.min() == -65504


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells which file takes how much memory")
def test_maps_in_files_stay_in_memory_only_while_they_are_used(tmp_path: Path) -> None:
    tap, size, images = Tap("wide", 64, 1), (64, 64), 16
    store = MapStore([tap], [size] * images, tmp_path)
    for image in range(images):
        store.put(image, FeatureMaps([torch.full((1, 64, *size), float(image))], size))
    file = str(next(tmp_path.glob("*.f16")))

    def megabytes() -> float:
        parts = Path("/proc/self/smaps").read_text().split(file)[1:]
        return sum(int(part.split("Rss:")[1].split()[0]) for part in parts) / 1024

    assert megabytes() == 0
    assert file not in {os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()}  # a process may open few
    view = store.select(["wide"]).subset([3, 5])
    assert view.maps(1).maps[0].mean() == 5 and 0.5 <= megabytes() <= 2  # of 8
    view.release()
    assert megabytes() == 0 and view.maps(0).maps[0].mean() == 3
