import pickle
from pathlib import Path

import numpy as np

from frugalseg.data.check import check_folder
from frugalseg.data.folder import SegmentationFolder
from frugalseg.data.mirrored import Mirrored
from frugalseg.data.opened import Decoder, OpenedFolder
from tests.data.helpers import data_folder, halves, picture, save_image

IMAGE = 12 * 16 * 3


def test_what_fits_is_kept_and_the_rest_is_read_again(tmp_path: Path) -> None:
    paths = [save_image(tmp_path / f"{number}.png", picture(number)) for number in range(3)]
    decoder = Decoder(keep=2 * IMAGE + 1)
    before = [decoder.image(path) for path in paths]
    for number, path in enumerate(paths):
        save_image(path, picture(10 + number))
    assert [decoder.image(path) is each for path, each in zip(paths, before, strict=True)] == [True, True, False]
    np.testing.assert_array_equal(decoder.image(paths[2]), picture(12))
    assert not before[0].flags.writeable and decoder.size(paths[0]) == (12, 16)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(decoder)).image(paths[0]), picture(10))


def test_ids_come_back_as_they_were(tmp_path: Path) -> None:
    """They are kept in the smallest type that holds them."""
    folder = data_folder(tmp_path, [halves(0, 7)])
    np.save(folder / "masks" / "000.npy", halves(0, 7).astype(np.uint16) * 700)
    (folder / "masks" / "000.png").unlink()
    opened = OpenedFolder.of(folder, keep=10_000)
    data = SegmentationFolder(opened)
    assert data.classes.ids == (0, 4900)
    np.save(folder / "masks" / "000.npy", halves(0, 0))
    assert (data.target(0) == halves(0, 1)).all() and (data[0].target == halves(0, 1)).all()
    assert (SegmentationFolder(opened)[0].target == halves(0, 1)).all()


def test_the_doctor_and_the_dataset_share_what_is_opened(tmp_path: Path) -> None:
    folder = data_folder(tmp_path, [halves(0, 1), halves(1, 0)])
    opened = OpenedFolder.of(folder, keep=10_000)
    expected = check_folder(opened)
    for path in (folder / "images").iterdir():
        path.write_bytes(b"broken")
    data = SegmentationFolder(opened)
    assert [(example.image == picture(number)).all() for number, example in enumerate(data)] == [True, True]
    assert check_folder(opened) == expected
    assert any("not an image" in finding.message for finding in check_folder(folder))


def test_targets_of_mirrored_examples_need_no_image(tmp_path: Path) -> None:
    folder = data_folder(tmp_path, [halves(0, 1), halves(2, 255)])
    mirrored = Mirrored(SegmentationFolder(folder))
    expected = [example.target for example in mirrored]
    assert (expected[3] == expected[1][:, ::-1]).all() and (expected[3] != expected[1]).any()
    for path in (folder / "images").iterdir():
        Path(path).write_bytes(path.read_bytes()[:60])  # the header alone
    assert all((mirrored.target(number) == expected[number]).all() for number in range(-4, 4))
