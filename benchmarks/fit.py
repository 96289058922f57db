"""Joint training against one member after another: pixels a second, counted over all members.

The literal loop reads materialised float32 features through a DataLoader. Ours runs on the same features (what the
joint computation gains) and on the half-precision maps that `fit` really stores (interpolation included). The figures
are rates of the running loop: neither initialisation nor the statistics of the features are in them.
"""

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import literal
from benchmarks.common import LSUN_CLASSES, Clock, add_layouts, begin, parser, report
from benchmarks.layouts import LSUN_STEPS, Layout, chosen_layout
from frugalseg.classifier.pixel_set import PixelSet
from frugalseg.classifier.training import PROTOCOLS, PixelSource, TrainingProgress, TrainingProtocol, train_ensemble
from frugalseg.features.map_store import MapStore
from frugalseg.support.precision import dtype_of

SMALL = Layout("small network", ((96, 12), (96, 24), (64, 24), (64, 48)) * LSUN_STEPS, side=48)
"""A diffusion model for small images: 3 steps give 960 channels."""


class Materialised:
    """All features of a pixel set, upsampled and concatenated in memory: what the literal method trains on."""

    def __init__(self, pixels: PixelSet) -> None:
        self.values = pixels.features(torch.arange(len(pixels)))
        self.labels, self.channels, self.dim = pixels.labels, pixels.channels, pixels.dim

    def __len__(self) -> int:
        return len(self.labels)

    def features(self, index: Tensor) -> Tensor:
        """(n, D) float32."""
        return self.values[index]


def random_pixels(layout: Layout, count: int) -> PixelSet:
    """Some `count` labelled pixels of one image with random maps."""
    side, rng = layout.side, np.random.default_rng(0)
    target = rng.integers(0, LSUN_CLASSES, (side, side), np.uint8)
    target.flat[rng.permutation(side**2)[count:]] = 255
    store = MapStore(layout.taps, [(side, side)])
    store.put(0, layout.random(torch.device("cpu")))
    return PixelSet(store, [target])


Rate = tuple[float, float]  # pixels a second, and a CPU second


def joint_rate(pixels: PixelSource, protocol: TrainingProtocol, options: argparse.Namespace) -> Rate:
    """Pixels a second over all members, from the end of the first batch to the end of the last."""
    clock, readings = Clock(), []

    def note(progress: TrainingProgress) -> None:
        if progress.step in (1, progress.steps):
            if options.device != "cpu":
                torch.cuda.synchronize()
            readings.append((progress.step, *clock.read()))

    precision = dtype_of(options.precision)
    train_ensemble(
        pixels,
        LSUN_CLASSES,
        protocol,
        members=options.members,
        device=options.device,
        precision=precision,
        progress=note,
    )
    batch = min(protocol.batch_size, len(pixels))
    (first, wall, cpu), (last, wall_end, cpu_end) = readings
    done = batch * int(options.members) * (last - first)
    return done / (wall_end - wall), done / (cpu_end - cpu)


def pool_steps(protocol: TrainingProtocol, pixels: PixelSource) -> int:
    """Batches between one gathering of a pool and the next: what a fair rate counts, one gathering included."""
    size = min(max((protocol.pool_values or 0) // pixels.dim, protocol.batch_size), len(pixels))
    return protocol.pool_passes * (size // protocol.batch_size)


def literal_rate(pixels: Materialised, steps: int, device: torch.device) -> Rate:
    """Pixels a second of one member, hence of any number of them one after another."""
    model = literal.classifier(pixels.dim, LSUN_CLASSES).to(device)
    literal.train(model, pixels.values, pixels.labels, max_iterations=2)  # what torch imports at the first batch
    clock = Clock()
    done = 64 * literal.train(model, pixels.values, pixels.labels, max_iterations=steps).iterations
    wall, cpu = clock.read()
    return done / wall, done / cpu


def layout_rows(layout: Layout, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one layout."""
    name = f"{layout.title}, {layout.dim} channels"
    maps = random_pixels(layout, options.pixels)
    vectors = Materialised(maps)
    unit = literal_rate(vectors, options.steps, torch.device(options.device))
    paper = replace(PROTOCOLS["paper"], epochs=None, steps=options.steps)
    default = replace(PROTOCOLS["default"], steps=1 + pool_steps(PROTOCOLS["default"], maps))
    rows = [row(name, "literal, one after another", unit, unit)]
    for protocol in (paper, default):
        for kind, source in (("vectors", vectors), ("half-precision maps", maps)):
            rate = joint_rate(source, protocol, options)
            rows.append(row(name, f"joint, {protocol.name}, {kind}", rate, unit))
    return rows


def row(layout: str, way: str, rate: Rate, unit: Rate) -> dict[str, Any]:
    """A line of the table: rates, and how many times the literal one's they are."""
    times, times_cpu = rate[0] / unit[0], rate[1] / unit[1]
    return {"layout": layout, "way": way, "pixels/s": rate[0], "times": times, "times, per CPU second": times_cpu}


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--members", type=int, default=10, help="classifiers in the ensemble")
    options.add_argument("--steps", type=int, default=150, help="batches of 64 that each way sees")
    options.add_argument("--pixels", type=int, default=10000, help="training pixels")
    add_layouts(options)
    chosen = options.parse_args()
    begin(chosen)
    if chosen.quick:
        chosen.steps, chosen.pixels = 10, 1000
    layouts = [SMALL] if chosen.quick else [SMALL, *(chosen_layout(name, quick=False) for name in chosen.layout)]
    rows = [line for layout in layouts for line in layout_rows(layout, chosen)]
    report(f"Training, {chosen.members} members, {chosen.precision}", rows, chosen)


if __name__ == "__main__":
    main()
