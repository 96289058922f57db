"""Sets are read one sample at a time, from shards and from the published files; what is wrong is said in one line."""

import io
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from torch.utils.data import DataLoader

from frugalseg.data.classes import ClassTable
from frugalseg.data.toy.dataset import TOY_CLASSES
from frugalseg.support.errors import InputError
from frugalseg.synthetic import SyntheticSet
from frugalseg.synthetic.npz_writer import write_npz


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 6, 8, 3), np.uint8)
    labels = rng.integers(0, 3, (5, 6, 8), np.uint8)
    return images, labels, np.linspace(0, 1, 5)


def published(path, *arrays, compressed=False):
    (np.savez_compressed if compressed else np.savez)(path, *arrays)
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("latents", [False, True])
def test_published_files(arrays, compressed, latents, tmp_path):
    images, labels, uncertainties = arrays
    middle = [np.zeros((5, 512), np.float32)] if latents else []
    path = published(tmp_path / "set.npz", images, labels, *middle, uncertainties, compressed=compressed)
    for _ in range(2):  # what has been unpacked is used again
        found = SyntheticSet(path)
        assert len(found) == 5 and found.uncertainties.dtype == np.float32
        assert found.classes.ids == (0, 1, 2)
        for place, sample in enumerate(found):
            assert (sample.image == images[place]).all() and (sample.target == labels[place]).all()
            assert sample.uncertainty == np.float32(uncertainties[place]) and sample.origin is None
            assert found.size(place) == (6, 8)
    assert (tmp_path / "set.npz.unpacked").exists() == compressed


def test_classes_of_published_files(arrays, tmp_path):
    path = published(tmp_path / "set.npz", *arrays)
    assert SyntheticSet(path, TOY_CLASSES).classes == TOY_CLASSES
    ClassTable.from_ids([0, 1]).to_json(tmp_path / "classes.json")
    with pytest.raises(InputError, match=r"set\.npz: labels of image 0: unknown class ids 2"):
        SyntheticSet(path)[0]


def test_arrays_in_fortran_order(arrays, tmp_path):
    images, labels, uncertainties = arrays
    path = published(tmp_path / "set.npz", np.asfortranarray(images), np.asfortranarray(labels), uncertainties)
    assert (SyntheticSet(path)[3].image == images[3]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, m, u: (i, m), "holds 2 arrays, not 3 or 4"),
        (lambda i, m, u: (i, m, u, u, u), "holds 5 arrays"),
        (
            lambda i, m, u: (i[:4], m, u),
            r"images of shape \(4, 6, 8, 3\) and labels of shape \(5, 6, 8\) do not belong",
        ),
        (lambda i, m, u: (i, m[:, :, 1:], u), "do not belong together"),
        (lambda i, m, u: (i.astype(float), m, u), "the images are float64"),
        (lambda i, m, u: (i, m.astype(np.int64), u), "the labels are int64"),
        (lambda i, m, u: (i[..., :1], m, u), r"the images are uint8 \(5, 6, 8, 1\)"),
        (lambda i, m, u: (i, m, u[1:]), r"5 images but uncertainties of shape \(4,\)"),
        (lambda i, m, u: (i, m, u[1:], u), r"5 images but latents of shape \(4,\)"),
        (lambda i, m, u: (i, m, u.astype(np.int64)), "the uncertainties, is int64"),
        (lambda i, m, u: (i, m, u * np.nan), "not finite"),
        (lambda i, m, u: (i, m, np.array([{}] * 5)), "holds pickled objects, which are never read"),
        (lambda i, m, u: (m, i, u), r"the images are uint8 \(5, 6, 8\)"),
    ],
)
def test_files_of_another_layout(change, message, arrays, tmp_path):
    path = published(tmp_path / "set.npz", *change(*arrays))
    with pytest.raises(InputError, match=message) as caught:
        SyntheticSet(path)
    assert "\n" not in str(caught.value) and "set.npz" in str(caught.value)


def test_broken_files(arrays, tmp_path):
    path = published(tmp_path / "set.npz", *arrays, compressed=True)
    content = path.read_bytes()
    path.write_bytes(content[:-50])
    with pytest.raises(InputError, match=r"not an \.npz archive, or a cut one"):
        SyntheticSet(path)
    path.write_bytes(content[:200] + bytes(100) + content[300:])
    with pytest.raises(InputError, match=r"cut one"):
        SyntheticSet(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(InputError, match=r"'notes\.txt' is not a plain array"):
        SyntheticSet(path)
    with pytest.raises(InputError, match="no such file or folder"):
        SyntheticSet(tmp_path / "missing.npz")
    with pytest.raises(InputError, match=r"no synthetic\.json in it"):
        SyntheticSet(tmp_path)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (b"(9, 6, 8, 3)", r"has \d+ bytes; its header promises \d+"),
        (b"(5,-6,-8, 3)", r"has the shape \(5, -6, -8, 3\)"),
    ],
)
def test_headers_that_lie(shape, said, arrays, tmp_path):
    with zipfile.ZipFile(published(tmp_path / "honest.npz", *arrays)) as archive:
        content = archive.read("arr_0.npy")
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", content.replace(b"(5, 6, 8, 3)", shape))
    with pytest.raises(InputError, match=said):
        SyntheticSet(path)


def test_a_directory_that_promises_more_than_the_file(tmp_path):
    """The sizes of the archive's own directory and of the array agree; the file ends before."""
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", npy_bytes(np.zeros(1000, np.uint8)))
    content = path.read_bytes().replace(b"(1000,)", b"(9000,)")
    entry = content.rindex(b"PK\x01\x02")
    stored = struct.unpack_from("<II", content, entry + 20)
    path.write_bytes(content[: entry + 20] + struct.pack("<II", *(n + 8000 for n in stored)) + content[entry + 28 :])
    with pytest.raises(InputError, match="longer than the file"):
        SyntheticSet(path)


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_subsets_and_slices(written):
    part = written.subset([7, 2])
    assert [sample.name for sample in part] == ["00000007", "00000002"]
    assert part.uncertainties.tolist() == [written.uncertainties[7], written.uncertainties[2]]
    assert part[1:][0].name == "00000002" and part.size(0) == (16, 16)
    assert [sample.name for sample in written[2:5]] == ["00000002", "00000003", "00000004"]
    assert written[-1].name == "00000009"
    with pytest.raises(IndexError):
        written[10]


def test_workers_of_a_data_loader_read_it(written):
    again = pickle.loads(pickle.dumps(written))
    assert (again[4].image == written[4].image).all()
    loader = DataLoader(written, batch_size=None, num_workers=2, multiprocessing_context="fork")
    assert [sample.name for sample in loader] == [f"{number:08d}" for number in range(10)]


def test_reading_takes_no_memory_to_speak_of(tmp_path):
    """Of 40 MB of images, less than one is ever held."""
    images = np.zeros((200, 256, 256, 3), np.uint8)
    path = published(tmp_path / "set.npz", images, images[..., 0], np.zeros(200))
    tracemalloc.start()
    found = SyntheticSet(path, TOY_CLASSES)
    for place in range(0, 200, 10):
        found[place]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e6


def test_writing_the_published_layout(written, tmp_path):
    write_npz(tmp_path / "a.npz", written)
    write_npz(tmp_path / "b.npz", written)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        images, labels, uncertainties = (found[name] for name in found.files)
    assert (images == np.stack([sample.image for sample in written])).all()
    assert (labels == np.stack([sample.target for sample in written])).all()  # the toy classes' ids are positions
    assert (uncertainties == written.uncertainties).all() and uncertainties.dtype == np.float32


def test_sets_that_an_npz_cannot_hold(segmenter, tmp_path):
    from frugalseg.data.toy.dataset import write_toy_folder
    from frugalseg.synthetic import Photographs, generate

    write_toy_folder(tmp_path / "photos", 1, seed=1, masks=False)
    write_toy_folder(tmp_path / "photos", 1, seed=1, masks=False, size=32, first=1)
    found = generate(segmenter, Photographs(tmp_path / "photos"), tmp_path / "set")
    with pytest.raises(InputError, match=r"2 sizes; an \.npz holds images of one size"):
        write_npz(tmp_path / "set.npz", found)
    assert not (tmp_path / "set.npz").exists()
