"""How many threads may work at once: in a container no more than its share of the machine's processors."""

import math
import os
from collections.abc import MutableMapping
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def limit_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Tell the numerical libraries how many threads to start, where this process may use only a part of the machine.

    They count all processors of the host otherwise, and dozens of threads then wait for the time of two. To be called
    before torch is imported. Whoever sets one of `VARIABLES` knows better.
    """
    allowed, present = allowed_cpus(), os.cpu_count() or 1
    if allowed < present and not any(name in environment for name in VARIABLES):
        for name in VARIABLES:
            environment[name] = str(allowed)


def allowed_cpus(cgroups: Path = CGROUPS, own_groups: Path = OWN_GROUPS) -> int:
    """Processors that this process may use: of those that it is bound to, as many as its container's quota pays for.

    Args:
        cgroups: where the control groups of the system are mounted.
        own_groups: lists the groups of this process.
    """
    bound, quota = bound_cpus(), cpu_quota(cgroups, own_groups)
    return bound if quota is None else max(1, min(bound, math.ceil(quota)))


def side_threads() -> int:
    """Threads that read, or write, beside the one that computes: half as many as there are processors, 8 at most."""
    return max(1, min(8, allowed_cpus() // 2))


def bound_cpus() -> int:
    """Processors that this process is bound to; all of the machine where nothing binds it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota(cgroups: Path = CGROUPS, own_groups: Path = OWN_GROUPS) -> float | None:
    """The smallest quota of this process's control groups and those above them, in processors; None without one.

    Version 2 has ``cpu.max`` ("max 100000" or "200000 100000": microseconds in each period), version 1 has
    ``cpu.cfs_quota_us`` (-1: none) and ``cpu.cfs_period_us``.
    """
    quotas = [quota for folder in _group_folders(cgroups, own_groups) if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def _group_folders(cgroups: Path, own_groups: Path) -> list[Path]:
    """The folders of this process's groups, and all above them up to the mount."""
    folders = [cgroups, cgroups / "cpu", cgroups / "cpu,cpuacct"]
    for line in _text(own_groups).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        root = cgroups if number == "0" else cgroups / controllers
        place = root / path.strip("/")
        folders += [place, *(parent for parent in place.parents if parent.is_relative_to(root))]
    return list(dict.fromkeys(folders))


def _quota_of(folder: Path) -> float | None:
    words = _text(folder / "cpu.max").split()
    if not words:
        words = [_text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip()]
    try:
        quota, period = float(words[0]), float(words[1])
    except (IndexError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None


def _text(path: Path) -> str:
    """What a file holds; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
