"""The samples of a set: images, labels, names and sizes, and records and indexes that lie about them."""

import io
import json
import os
import shutil
import tarfile
from typing import get_type_hints

import numpy as np
import pytest
import torch
from PIL import Image

from frugalseg.cli.synthetic import generate as generate_command
from frugalseg.data.toy.dataset import TOY_CLASSES, write_toy_folder
from frugalseg.students.network import NetworkSpec, new_network
from frugalseg.students.student import Student, View
from frugalseg.support.errors import InputError
from frugalseg.synthetic import Photographs, SyntheticSet
from frugalseg.synthetic import generation as generation_module
from frugalseg.synthetic.generation import LABELLED, labelled_at_once, record_of
from frugalseg.synthetic.record import SetRecord
from frugalseg.synthetic.shard_reader import ShardFolder
from frugalseg.synthetic.sources import seed_of
from tests.synthetic.helpers import make


def test_each_sample_is_its_seeds_image_with_the_models_labels(written, segmenter, drawn):
    source = drawn(10)
    assert len(written) == 10
    for number in (0, 5, 9):
        sample = written[number]
        alone_ = source.generator.draw([seed_of(0, number)]).images[0]
        image = (alone_ * 255).round().byte().permute(1, 2, 0).numpy()
        # Batches of another size round otherwise, which may tip a value over to its neighbour.
        assert np.abs(sample.image.astype(int) - image).max() <= 1
        found = next(segmenter.predict_positions([sample.image]))
        assert (found.mask.numpy() == sample.target).mean() > 0.99
        assert sample.uncertainty == pytest.approx(found.image_uncertainty, rel=1e-3)
        assert sample.uncertainty == written.uncertainties[number]
        assert (sample.name, sample.origin) == (f"{number:08d}", seed_of(0, number))


@pytest.mark.parametrize(("device", "at_once"), [("cpu", [64, 3]), ("cuda", [8, 3]), ("meta", [8, 3])])
def test_a_gpu_labels_a_large_batch_in_parts(device, at_once, segmenter, monkeypatch):
    """On a CPU other parts would round otherwise, and the bytes of a set would change."""
    monkeypatch.setattr(segmenter, "device", torch.device(device))
    assert [labelled_at_once(segmenter, size) for size in (64, 3)] == at_once


def test_the_help_says_who_labels_in_parts():
    (told,) = get_type_hints(generate_command, include_extras=True)["batch_size"].__metadata__
    assert told.help.endswith(f"64 on a GPU, which labels at most {LABELLED} at once.")


def test_parts_of_a_batch_have_the_labels_of_the_batch(segmenter, drawn, tmp_path, monkeypatch):
    """As a GPU takes them, but for its rounding."""
    whole = make(segmenter, drawn(10), tmp_path / "whole", batch_size=10, shard_size=10)
    monkeypatch.setattr(generation_module, "labelled_at_once", lambda model, batch_size: 4)
    parts = make(segmenter, drawn(10), tmp_path / "parts", batch_size=10, shard_size=10)
    for a, b in zip(whole, parts, strict=True):
        assert (a.image == b.image).all()
        assert (a.target == b.target).mean() > 0.99
    np.testing.assert_allclose(parts.uncertainties, whole.uncertainties, rtol=1e-3)


def test_seeds_within_a_set_never_meet():
    assert len({seed_of(3, number) for number in range(100_000)}) == 100_000
    assert 0 <= seed_of(3, 0) < 2**32
    assert seed_of(3, 0) != seed_of(4, 0)


def test_shards_are_plain_webdataset_tars(written):
    assert [p.name for p in sorted(written.path.glob("*.tar"))] == [f"shard-{i:06d}.tar" for i in range(3)]
    with tarfile.open(written.path / "shard-000001.tar") as tar:
        names = [f"{n:08d}.{suffix}" for n in range(4, 8) for suffix in ("image.png", "mask.png", "json")]
        assert tar.getnames() == names
        assert {member.mtime for member in tar.getmembers()} == {0}
        content = {name: tar.extractfile(name).read() for name in names[:3]}
    image = Image.open(io.BytesIO(content["00000004.image.png"]))
    mask = Image.open(io.BytesIO(content["00000004.mask.png"]))
    assert (np.asarray(image) == written[4].image).all()
    assert mask.mode == "P" and (np.asarray(mask) == written.classes.to_ids(written[4].target)).all()
    about = json.loads(content["00000004.json"])
    assert about == {"uncertainty": written[4].uncertainty, "seed": written[4].origin, "source": None}


def test_photographs_keep_their_sizes_and_names(segmenter, tmp_path):
    write_toy_folder(tmp_path / "photos", 3, seed=1, masks=False)
    write_toy_folder(tmp_path / "photos", 2, seed=1, masks=False, size=32, first=3)
    (tmp_path / "photos" / "000001.png").write_bytes(b"no image")
    found = make(segmenter, Photographs(tmp_path / "photos"), tmp_path / "set")
    assert [found.size(i) for i in range(4)] == [(48, 48), (48, 48), (32, 32), (32, 32)]
    assert [sample.name for sample in found] == ["00000000", "00000002", "00000003", "00000004"]
    assert all(sample.origin is None for sample in found)
    read = np.asarray(Image.open(tmp_path / "photos" / "000002.png").convert("RGB"))
    assert (found[1].image == read).all()
    expected = next(segmenter.predict_positions([read]))
    assert (found[1].target == expected.mask.numpy()).all()
    small = make(segmenter, Photographs(tmp_path / "photos", longest_side=24), tmp_path / "small")
    assert {small.size(i) for i in range(4)} == {(24, 24)}
    with pytest.raises(InputError, match=r"\(longest side: none before, 24 now\)"):
        make(segmenter, Photographs(tmp_path / "photos", longest_side=24), tmp_path / "set")


def test_photographs_whose_names_are_not_utf8(segmenter, tmp_path):
    write_toy_folder(tmp_path / "photos", 1, seed=1, masks=False)
    name = os.fsdecode(b"caf\xe9.png")
    try:
        (tmp_path / "photos" / "000000.png").rename(tmp_path / "photos" / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = make(segmenter, Photographs(tmp_path / "photos"), tmp_path / "set")
    assert ShardFolder(found.path).sources == [name]
    assert "caf?.png" in (found.path / "index.html").read_text(encoding="utf-8")


def test_photographs_that_changed_are_another_source(segmenter, tmp_path):
    write_toy_folder(tmp_path / "photos", 2, seed=1, masks=False)
    make(segmenter, Photographs(tmp_path / "photos"), tmp_path / "set")
    write_toy_folder(tmp_path / "photos", 1, seed=1, masks=False, first=2)
    with pytest.raises(InputError, match="files were added, removed or resized"):
        make(segmenter, Photographs(tmp_path / "photos"), tmp_path / "set")


def test_folders_without_a_readable_photograph(segmenter, tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match="no images in this folder"):
        Photographs(tmp_path / "photos")
    (tmp_path / "photos" / "a.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="not one of the 1 images could be read"):
        make(segmenter, Photographs(tmp_path / "photos"), tmp_path / "set")


@pytest.mark.parametrize("values", [{"count": 0}, {"shard_size": 0}, {"count": 10**13}])
def test_impossible_records(values):
    with pytest.raises(InputError, match=r"at least one|at most 4294967296"):
        SetRecord(**{"count": 1, "shard_size": 1, "settings": {}, **values})


def test_batches_of_nothing(segmenter, drawn):
    with pytest.raises(InputError, match="at least one"):
        record_of(segmenter, drawn(1), batch_size=0)


HOSTILE = {
    "an entry that is a list": lambda index: index.update(entries=[[1], [2]]),
    "infinite pixels": lambda index: index["entries"][0].update(pixels=[float("inf")] * 10),
    "too few pixels": lambda index: index["entries"][0].update(pixels=[1]),
    "more pixels than there are": lambda index: index["entries"][0].update(pixels=[2**20] * 10),
    "a name for a number": lambda index: index["entries"][0].update(key="../x"),
    "a place before the file": lambda index: index["entries"][0].update(image=[-5, 10]),
    "a terabyte": lambda index: index["entries"][0].update(image=[512, 2**40]),
    "a place beyond all": lambda index: index["entries"][0].update(mask=[2**70, 10]),
    "a huge picture": lambda index: index["entries"][0].update(size=[2**70, 10]),
    "endless uncertainty": lambda index: index["entries"][0].update(uncertainty=1e300),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_indexes_that_lie(change, written, tmp_path):
    shutil.copytree(written.path, tmp_path / "set")
    path = tmp_path / "set" / "shard-000001.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))
    with pytest.raises(InputError, match="run the generate command of this folder again"):
        SyntheticSet(tmp_path / "set")


@pytest.mark.parametrize("count", ["Infinity", "1" * 5000, "[]"])
def test_records_that_lie(count, written, tmp_path):
    shutil.copytree(written.path, tmp_path / "set")
    path = tmp_path / "set" / "synthetic.json"
    path.write_text(path.read_text().replace('"count": 10', f'"count": {count}'))
    with pytest.raises(InputError, match=r"synthetic\.json"):
        SyntheticSet(tmp_path / "set")


def test_a_shard_that_vanishes_is_named(segmenter, drawn, tmp_path):
    found = make(segmenter, drawn(2), tmp_path / "set")
    (tmp_path / "set" / "shard-000000.tar").unlink()
    with pytest.raises(InputError, match=r"shard-000000\.tar: sample 00000001 is damaged"):
        found[1]


def test_labels_of_a_student_depend_on_the_size_it_sees(tmp_path):
    network = new_network(NetworkSpec("unet", "mobilenet_v2", 3, 10), 0)
    small, large = (Student(network, TOY_CLASSES, View((side, side))) for side in (48, 96))
    assert small.fingerprint() != large.fingerprint()
    assert small.fingerprint() == Student(network, TOY_CLASSES, View((48, 48))).fingerprint()


def test_a_damaged_picture_is_named(segmenter, drawn, tmp_path):
    """The reader compares sizes when it opens a set; what has changed inside is seen when it is read."""
    make(segmenter, drawn(5), tmp_path / "set")
    index = json.loads((tmp_path / "set" / "shard-000001.json").read_text())
    offset, _ = index["entries"][0]["mask"]
    with (tmp_path / "set" / "shard-000001.tar").open("r+b") as file:
        file.seek(offset)
        file.write(b"no picture")
    found = SyntheticSet(tmp_path / "set")
    assert found[3].target.shape == (16, 16)
    with pytest.raises(InputError, match=r"shard-000001\.tar: sample 00000004 is damaged .* run the generate command"):
        found[4]
