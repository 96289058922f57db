"""A set is the same whatever happened on the way; what is damaged is found and made again."""

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from frugalseg.support.errors import InputError
from frugalseg.support.runs import alone
from frugalseg.support.share import Share
from frugalseg.synthetic import SyntheticSet
from frugalseg.synthetic import shard_writer as writer_module
from frugalseg.synthetic.generation import record_of, write_shards
from frugalseg.synthetic.set_folder import finish, open_set
from frugalseg.synthetic.shard_writer import claimed_shard
from tests.synthetic.helpers import Stop, files, make, stop_at


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
