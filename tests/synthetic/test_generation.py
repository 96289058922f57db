"""A set is the same whatever happened on the way; what is damaged is found and made again."""

import errno
import hashlib
import io
import json
import os
import shutil
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
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
from frugalseg.support.runs import alone
from frugalseg.support.share import Share
from frugalseg.synthetic import Photographs, SyntheticSet, generate
from frugalseg.synthetic import generation as generation_module
from frugalseg.synthetic import shard_writer as writer_module
from frugalseg.synthetic.generation import LABELLED, labelled_at_once, record_of, write_shards
from frugalseg.synthetic.record import SetRecord
from frugalseg.synthetic.set_folder import finish, open_set
from frugalseg.synthetic.shard_reader import ShardFolder
from frugalseg.synthetic.shard_writer import claimed_shard
from frugalseg.synthetic.sources import seed_of


class Stop(Exception):
    """Ends a run from within its progress report."""


def stop_at(moment):
    def progress(_, done, __):
        if done == moment:
            raise Stop

    return progress


def files(folder):
    """Every file's bytes by name, but for the log."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.suffix != ".log"}


def make(segmenter, source, out, **more):
    return generate(segmenter, source, out, **{"batch_size": 3, "shard_size": 4, **more})


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


@pytest.mark.parametrize("moment", [0, 2, 4, 7, 10])
def test_an_interrupted_run_ends_the_same(moment, segmenter, drawn, written, tmp_path):
    out = tmp_path / "set"
    with pytest.raises(Stop):
        make(segmenter, drawn(10), out, progress=stop_at(moment))
    make(segmenter, drawn(10), out)
    assert files(out) == files(written.path)


def test_whole_shards_are_not_made_again(segmenter, drawn, tmp_path):
    make(segmenter, drawn(10), tmp_path / "set")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "set").glob("shard-*")}
    make(segmenter, drawn(10), tmp_path / "set")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "set").glob("shard-*")} == before


@pytest.mark.parametrize("damage", ["cut", "changed", "no index", "no tar", "bad index", "index of others"])
def test_damage_is_found_and_mended(damage, segmenter, drawn, written, tmp_path):
    out = tmp_path / "set"
    make(segmenter, drawn(10), out)
    tar, index = out / "shard-000001.tar", out / "shard-000001.json"
    content = tar.read_bytes()
    if damage == "cut":
        tar.write_bytes(content[:-1000])
    elif damage == "changed":
        tar.write_bytes(content[:2000] + bytes([content[2000] ^ 1]) + content[2001:])
    elif damage == "no index":
        index.unlink()
    elif damage == "no tar":
        tar.unlink()
    elif damage == "bad index":
        index.write_text(index.read_text()[:-40])
    else:
        index.write_text((out / "shard-000000.json").read_text())
    if damage != "changed":  # the reader compares sizes; only a rerun reads every byte
        with pytest.raises(InputError, match=r"shard-000001\.tar: this shard is missing, unfinished or cut short"):
            SyntheticSet(out)
    make(segmenter, drawn(10), out)
    assert files(out) == files(written.path)


def test_a_set_grows_to_what_it_would_have_been(segmenter, drawn, written, tmp_path):
    make(segmenter, drawn(6), tmp_path / "set")
    make(segmenter, drawn(10), tmp_path / "set")
    assert files(tmp_path / "set") == files(written.path)
    with pytest.raises(InputError, match="holds more than 6 images already, of 10"):
        make(segmenter, drawn(6), tmp_path / "set")


def test_a_smaller_count_never_takes_samples_away(segmenter, drawn, written, tmp_path):
    """Also within one shard, and where a shard is not whole."""
    make(segmenter, drawn(4), tmp_path / "set")
    before = files(tmp_path / "set")
    with pytest.raises(InputError, match="holds more than 2 images already, of 4"):
        make(segmenter, drawn(2), tmp_path / "set")
    assert files(tmp_path / "set") == before
    make(segmenter, drawn(10), tmp_path / "set")
    (tmp_path / "set" / "shard-000002.tar").unlink()
    assert len(make(segmenter, drawn(8), tmp_path / "set")) == 8


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_processes_share_the_work_without_talking(processes, segmenter, drawn, written, tmp_path):
    """Also when they start at once, and their number changes halfway."""
    source, out = drawn(10), tmp_path / "set"
    record = record_of(segmenter, source, batch_size=3, shard_size=4)

    def work(rank):
        open_set(out, record, segmenter)
        write_shards(segmenter, source, record, out, share=Share(rank, processes))
        return finish(out, record)

    assert not work(processes - 1) and not (out / "index.html").exists()
    with ThreadPoolExecutor() as pool:
        assert any(pool.map(work, range(processes)))
    assert files(out) == files(written.path)


def test_two_processes_never_write_one_shard(segmenter, drawn, tmp_path):
    record = record_of(segmenter, drawn(4), batch_size=4, shard_size=4)
    open_set(tmp_path, record, segmenter)
    with claimed_shard(tmp_path, 0, range(4)) as first, claimed_shard(tmp_path, 0, range(4)) as second:
        assert first is not None and second is None
        write_shards(segmenter, drawn(4), record, tmp_path)
        assert not finish(tmp_path, record)
    write_shards(segmenter, drawn(4), record, tmp_path)
    assert finish(tmp_path, record)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_who_finishes_a_smaller_set_leaves_the_shards_of_a_larger_one_alone(segmenter, drawn, tmp_path):
    smaller, larger = (record_of(segmenter, drawn(n), batch_size=4, shard_size=4) for n in (4, 8))
    open_set(tmp_path, smaller, segmenter)
    write_shards(segmenter, drawn(4), smaller, tmp_path)
    open_set(tmp_path, larger, segmenter)
    with claimed_shard(tmp_path, 1, range(4, 8)) as shard:
        assert shard is not None and not finish(tmp_path, smaller) and Path(shard.name).exists()
    write_shards(segmenter, drawn(8), larger, tmp_path)
    assert finish(tmp_path, larger)


def test_a_shard_is_claimed_until_its_index_is_there(tmp_path):
    """Between the two renames the partial file has lost its name already."""
    with claimed_shard(tmp_path, 0, range(4)) as first:
        assert first is not None
        Path(first.name).rename(tmp_path / "shard-000000.tar")
        with claimed_shard(tmp_path, 0, range(4)) as second:
            assert second is None


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="nothing tells which files are open")
def test_a_shard_is_closed_before_it_gets_its_name(segmenter, drawn, tmp_path, monkeypatch):
    """Windows renames no open file."""
    real, seen = Path.replace, []

    def replace(path, target):
        if Path(target).suffix == ".tar":
            opened = {os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()}
            seen.append(str(path.resolve()) in opened)
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    make(segmenter, drawn(4), tmp_path / "set")
    assert seen == [False]


def test_what_killed_processes_left_is_cleared_away(segmenter, drawn, written, tmp_path):
    out = tmp_path / "set"
    make(segmenter, drawn(10), out)
    for name in (
        ".shard-000000.partial",
        ".shard-000000.lock",
        ".shard-000001.index.partial",
        ".synthetic.abcd1234.json",
        ".index.partial-a_1b2c3d.html",
        ".lock",
    ):
        (out / name).write_bytes(b"half")
    make(segmenter, drawn(10), out)
    assert files(out) == files(written.path)
    with alone(out, wait=True):
        assert (out / ".lock").exists()


def test_locks_that_others_give_up_while_a_set_is_finished(segmenter, drawn, tmp_path):
    record = record_of(segmenter, drawn(4), batch_size=3, shard_size=4)
    make(segmenter, drawn(4), tmp_path)
    for number in range(400):
        (tmp_path / f".shard-{number:06d}.lock").touch()

    def give_up():
        """One by one from the end on, until they meet those that `finish` deletes in the order of the folder."""
        for lock in list(tmp_path.glob(".shard-*"))[::-1]:
            if not lock.exists():
                return
            lock.unlink(missing_ok=True)
            time.sleep(1e-3)

    with ThreadPoolExecutor() as pool:
        given_up = pool.submit(give_up)
        assert finish(tmp_path, record)
        given_up.result()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": {"seed": 1}}, r"otherwise \(seed: 0 before, 1 now\)"),
        ({"source": {"sampling_steps": 3}}, r"\(sampling steps: 2 before, 3"),
        ({"source": {"sampler": "ddim"}}, r"\(sampler: sde-dpmsolver\+\+ before, ddim now\)"),
        ({"batch_size": 4}, r"\(batch size: 3 before"),
        ({"shard_size": 5}, r"\(shard size: 4 before"),
    ],
)
def test_other_settings_are_refused(change, message, segmenter, drawn, written):
    before = files(written.path)
    with pytest.raises(InputError, match=message):
        make(segmenter, drawn(10, **change.pop("source", {})), written.path, **change)
    assert files(written.path) == before


def test_another_model_is_refused_and_a_reloaded_one_is_not(segmenter, drawn, written, tmp_path):
    segmenter.save_pretrained(tmp_path / "model")
    again = type(segmenter).from_pretrained(tmp_path / "model")
    assert make(again, drawn(10), written.path).uncertainties.tolist() == written.uncertainties.tolist()
    with torch.no_grad():
        again.classifier.linear3.bias[0, 0] += 1
    with pytest.raises(InputError, match=r"\(model: "):
        make(again, drawn(10), written.path)


def test_a_folder_of_something_else_is_refused_unless_it_may_go(segmenter, drawn, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("all of it")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds something else"):
            make(segmenter, drawn(2), mine, overwrite=overwrite)
    assert (mine / "thesis.tex").read_text() == "all of it"
    (mine / "run.json").write_text('{"command": "predict"}')
    with pytest.raises(InputError, match="add --overwrite"):
        make(segmenter, drawn(2), mine)
    assert len(make(segmenter, drawn(2), mine, overwrite=True)) == 2 and not (mine / "thesis.tex").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="in the way"):
        make(segmenter, drawn(2), tmp_path / "file")


@pytest.mark.parametrize("name", [".git/HEAD", ".env", "classes.json", "generate.log"])
def test_a_folder_of_hidden_files_or_of_names_like_ours_is_refused(name, segmenter, drawn, tmp_path):
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("all of it")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds something else"):
            make(segmenter, drawn(2), tmp_path / "mine", overwrite=overwrite)
    assert [path for path in (tmp_path / "mine").rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "all of it"


def test_processes_that_begin_a_set_at_once_all_take_it_up(segmenter, drawn, tmp_path):
    record = record_of(segmenter, drawn(8), batch_size=2, shard_size=4)
    with ThreadPoolExecutor(8) as pool:
        for number in range(10):
            list(pool.map(lambda _: open_set(tmp_path / f"{number}", record, segmenter), range(8)))  # noqa: B023
    assert files(tmp_path / "0").keys() == {"classes.json", "synthetic.json"}


def test_a_full_disk_loses_nothing(segmenter, drawn, written, tmp_path, monkeypatch):
    """The device is full in the middle of the second shard."""
    real, out = writer_module.write_tar, tmp_path / "set"

    def write_tar(into, samples):
        if (out / "shard-000000.json").exists():
            into.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", into.name)
        return real(into, samples)

    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "write_tar", write_tar)
        with pytest.raises(OSError, match="No space left"):
            make(segmenter, drawn(10), out)
    assert {p.name for p in out.iterdir()} == {
        "synthetic.json",
        "classes.json",
        "shard-000000.tar",
        "shard-000000.json",
    }
    make(segmenter, drawn(10), out)
    assert files(out) == files(written.path)


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
