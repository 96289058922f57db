"""The classifier stage on a busy machine: our way and the literal one alone, and beside processes that only compute.

The load is started and ended here. The two ways take turns, because other work on the machine disturbs every
measurement: the least of the times counts alone, and the median under load. The maps are random, as in
`benchmarks.predict`: by default those of a small network, where the literal way takes little time.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from benchmarks.common import LSUN_CLASSES, begin, parser, report, trained_looking
from benchmarks.layouts import LAYOUTS, Layout
from benchmarks.predict import literal_labels

SPIN = "while True: pass"
SETTLE = 1.0
"""Seconds for the load to be under way."""
SMALL = Layout("EfficientNet-Lite0", ((24, 64), (40, 32), (112, 16), (320, 8)))


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that only compute, while the block runs; they end with it, whatever happens."""
    started = []
    try:
        for _ in range(processes):
            started.append(subprocess.Popen([sys.executable, "-c", SPIN]))
        time.sleep(SETTLE)
        yield
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()


def measure(ways: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each run of each way; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, run in ways.items():
            begun = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begun)
    return times


def ways_of(layout: Layout, members: int, device: torch.device) -> dict[str, Callable[[], Any]]:
    """What is compared."""
    maps = layout.random(device)
    classifier = trained_looking(maps.channels, LSUN_CLASSES, members, device)
    predictor = classifier.predictor()
    return {
        "ours": lambda: predictor.predict(maps),
        "ours, labels only": lambda: predictor.labels(maps),
        "literal": lambda: literal_labels(classifier, maps),
    }


def loads(text: str) -> list[int]:
    """Numbers of processes that compute beside the measurement."""
    return [int(number) for number in text.split(",")]


def rows(ways: Mapping[str, Callable[[], Any]], options: argparse.Namespace) -> list[dict[str, Any]]:
    """One for each way: its seconds alone and under each load, and how many times slower it was there."""
    measure(ways, 1)  # the first run of each does not count
    alone = {name: min(seconds) for name, seconds in measure(ways, options.repeats).items()}
    table: dict[str, dict[str, Any]] = {name: {"way": name, "alone s": alone[name]} for name in ways}
    for processes in options.busy:
        with busy(processes):
            loaded = measure(ways, options.repeats)
        for name, seconds in loaded.items():
            middle = statistics.median(seconds)
            table[name] |= {f"beside {processes}: s": middle, f"beside {processes}: times slower": middle / alone[name]}
    return list(table.values())


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--members", type=int, default=10, help="classifiers in the ensemble")
    options.add_argument("--busy", type=loads, default=[2, 10], help="processes that compute beside it, by commas")
    options.add_argument("--layout", choices=["small", *LAYOUTS], default="small", help="whose maps")
    chosen = options.parse_args()
    device = begin(chosen)
    layout = SMALL if chosen.layout == "small" else LAYOUTS[chosen.layout]()
    table = rows(ways_of(layout.small() if chosen.quick else layout, chosen.members, device), chosen)
    report(f"Classifier stage on a busy machine, {layout.title}, {layout.dim} channels", table, chosen)


if __name__ == "__main__":
    main()
