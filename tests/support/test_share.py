"""Work shared by processes: every unit is done once, whoever comes or goes."""

import subprocess
import sys

import pytest

from frugalseg.support.errors import InputError
from frugalseg.support.share import Share, claimed, own_device, share_of_environment

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@pytest.fixture
def environment(monkeypatch):
    def said(**values):
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return said


@pytest.mark.parametrize(("processes", "units"), [(1, 5), (2, 5), (3, 9), (7, 3)])
def test_every_unit_is_in_one_share(processes, units):
    parts = [list(Share(rank, processes).of(units)) for rank in range(processes)]
    assert sorted(unit for part in parts for unit in part) == list(range(units))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert [Share(rank, processes).first for rank in range(processes)] == [True] + [False] * (processes - 1)


@pytest.mark.parametrize(("rank", "processes"), [(2, 2), (-1, 2), (0, 0)])
def test_shares_that_are_none(rank, processes):
    with pytest.raises(InputError, match="RANK is from 0 to below WORLD_SIZE"):
        Share(rank, processes)


def test_the_environment_of_torchrun(environment):
    environment()
    assert share_of_environment() == Share(0, 1)
    environment(RANK="5", WORLD_SIZE="8", LOCAL_RANK="1")
    assert share_of_environment() == Share(5, 8)
    assert own_device("cuda") == "cuda:1" and own_device("cuda:0") == "cuda:0" and own_device("cpu") == "cpu"
    environment(RANK="second", WORLD_SIZE="8")
    with pytest.raises(InputError, match="not numbers"):
        share_of_environment()


def test_a_unit_is_claimed_by_one(tmp_path):
    lock, done = tmp_path / ".1.lock", []
    with claimed(lock, lambda: bool(done)) as first, claimed(lock, lambda: bool(done)) as second:
        assert first and not second
        done.append(1)
    with claimed(lock, lambda: bool(done)) as again:
        assert not again
    assert not list(tmp_path.iterdir())


def test_a_unit_that_fails_is_free_again(tmp_path):
    lock, failure = tmp_path / ".1.lock", OSError("1")
    with pytest.raises(OSError, match="1"), claimed(lock, lambda: False):
        raise failure
    with claimed(lock, lambda: False) as again:
        assert again


# A unit is a file that says who wrote it. Process 0 has its third unit in hand until it is told to die.
TOY = """
import os, sys
from pathlib import Path
from frugalseg.support.share import claimed
folder, name = Path(sys.argv[1]), sys.argv[2]
begun = []

def work(unit):
    begun.append(unit)
    if name == "0" and len(begun) == 3:
        print("third", flush=True)
        sys.stdin.readline()
        os._exit(9)
    with (folder / f"{unit}.log").open("a") as log:
        log.write(name)
    (folder / str(unit)).write_text(name)

print("ready", flush=True)
sys.stdin.readline()
for unit in range(24):
    with claimed(folder / f".{unit}.lock", (folder / str(unit)).exists) as ours:
        if ours:
            work(unit)
"""


def started(folder, number):
    process = subprocess.Popen(
        [sys.executable, "-c", TOY, str(folder), str(number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def tell(process):
    process.stdin.write("go on\n")
    process.stdin.flush()


def test_processes_that_join_and_die(tmp_path):
    """Nobody does what another has done, or has in hand; what a dead one had in hand, the next one to come does."""
    processes = [started(tmp_path, number) for number in range(4)]
    tell(processes[0])
    assert processes[0].stdout.readline() == "third\n"
    for process in processes[1:3]:
        tell(process)
    said = [process.communicate(timeout=60)[1] for process in processes[1:3]]
    assert not (tmp_path / "2").exists() and len(list(tmp_path.glob("*.log"))) == 23
    for process in (processes[0], processes[3]):
        tell(process)
        said.append(process.communicate(timeout=60)[1])
    assert [process.returncode for process in processes] == [9, 0, 0, 0], said
    logs = [(tmp_path / f"{unit}.log").read_text() for unit in range(24)]
    assert logs[:3] == ["0", "0", "3"] and set(logs[3:]) <= {"1", "2"}
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".log") == sorted(map(str, range(24)))
