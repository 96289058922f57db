"""Threads in containers; the trees are laid out as the kernel's documentation of cgroups v1 and v2 describes them."""

import os
from pathlib import Path

import pytest

from frugalseg.support.threads import VARIABLES, allowed_cpus, cpu_quota, limit_threads


def write(root: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """A mount of control groups, and the list of a process's groups."""
    (root / "cgroup").mkdir()
    for name, text in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (root / "own").write_text(own + "\n")
    return root / "cgroup", root / "own"


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/", {"cpu.max": "200000 100000"}, 2.0),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/", {}, None),
        ("0::/a/b", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 1.5),
        ("0::/a/b", {"a/cpu.max": "400000 100000", "a/b/cpu.max": "50000 100000"}, 0.5),
        ("4:cpu,cpuacct:/", {"cpu,cpuacct/cpu.cfs_quota_us": "200000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 2.0),
        ("4:cpu:/x", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, None),
        ("4:cpu:/x", {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3.0),
        ("4:memory:/x", {"memory/x/cpu.max": "100000 100000"}, None),
        ("nonsense", {"cpu.max": "nonsense"}, None),
        ("0::/", {"cpu.max": "0 100000"}, None),
    ],
)
def test_the_quota_of_a_container(own: str, files: dict[str, str], quota: float | None, tmp_path: Path) -> None:
    assert cpu_quota(*write(tmp_path, own, files)) == quota


def test_part_of_a_processor_is_one_thread_and_no_quota_is_all(tmp_path: Path) -> None:
    places = write(tmp_path, "0::/", {"cpu.max": "50000 100000"})
    assert allowed_cpus(*places) == 1
    (places[0] / "cpu.max").write_text("max 100000")
    assert allowed_cpus(*places) == len(os.sched_getaffinity(0))


def test_what_the_user_sets_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4096)
    given = {"OMP_NUM_THREADS": "7"}
    limit_threads(given)
    assert given == {"OMP_NUM_THREADS": "7"}
    empty: dict[str, str] = {}
    limit_threads(empty)
    assert empty == dict.fromkeys(VARIABLES, str(allowed_cpus()))
