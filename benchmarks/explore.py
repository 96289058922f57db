"""The sweep of `frugalseg explore` over all places of a network, against the network passes that it needs.

The network has the layout of LSUN-256; all of its 18 blocks are read, at --steps steps, from --images annotated images
of 256x256. "Network passes alone": each image goes through the network once for each step, and nothing is kept. "Ours":
the whole command, which is the checks, the passes, the maps on the disk, cross-validated classifiers for each block and
step, and the page. "Literal": the network passes alone that a sweep takes which knows one block at a time, one for each
image, block and step, in proportion to --literal-images of them; its training and its predictions are left out.

Peak memory is that of a process which runs the command and nothing else, beyond what is loaded before it starts, the
network included.
The literal way holds float32 vectors of all pixels of the widest block (that product is stated, not allocated).
"""

import argparse
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks.common import Clock, begin, images, lsun_backbone, parser, report, timed
from benchmarks.memory import MIB, apart, beyond
from benchmarks.predict import literal_maps
from frugalseg.backbones.ddpm.backbone import DDPMBackbone
from frugalseg.classifier.protocol import PROTOCOLS
from frugalseg.jobs.explore.folder import explore_folder
from frugalseg.jobs.explore.request import ExploreRequest, ExploreSettings
from frugalseg.jobs.request import FitRequest

CLASSES = 8
SPACING = 1000
"""Diffusion steps, over which those of the sweep are spread."""


def write_images(folder: Path, number: int, size: tuple[int, int]) -> None:
    """A data folder of smooth random colors with random patches as masks."""
    generator = np.random.default_rng(0)
    height, width = size
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for place in range(number):
        colors = generator.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(colors).resize((width, height)).save(folder / "images" / f"{place}.png")
        labels = Image.fromarray(generator.integers(0, CLASSES, (6, 6), np.uint8))
        labels.resize((width, height), Image.Resampling.NEAREST).save(folder / "masks" / f"{place}.png")


def steps_of(options: argparse.Namespace) -> tuple[int, ...]:
    """The diffusion steps of the sweep."""
    return tuple(SPACING * number // (options.steps + 1) for number in range(1, options.steps + 1))


def prepare(options: argparse.Namespace, folder: Path) -> None:
    """Write the network and the images."""
    backbone = lsun_backbone(begin(options), torch.float32, quick=options.quick)
    write_images(folder / "data", options.images, backbone.native_size)
    backbone.save_pretrained(folder / "network")


def sweep(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Seconds, CPU seconds and bytes of the command on what `prepare` has written to `folder`."""
    device = begin(options)
    given = {"timesteps": steps_of(options), "precision": options.precision}
    settings = {"protocol": replace(PROTOCOLS["default"], steps=3)} if options.quick else {}
    fit = FitRequest(folder / "data", "ddpm", str(folder / "network"), given, settings, str(device))
    request = ExploreRequest(fit, ExploreSettings(what=("taps",)))
    clock = Clock()
    peak = beyond(lambda: explore_folder(request, folder / "explored"), device)
    seconds, cpu = clock.read()
    return {"seconds": seconds, "cpu": cpu, "bytes": peak}


@torch.inference_mode()
def passes(options: argparse.Namespace) -> dict[str, float]:
    """Seconds and CPU seconds of one pass for each image and step, and of the literal way's."""
    device = begin(options)
    backbone = lsun_backbone(device, torch.float32, quick=options.quick)
    every = backbone.reading(timesteps=steps_of(options)[:1], blocks=backbone.readable()["blocks"])
    assert isinstance(every, DDPMBackbone)
    batch = images(1, every)
    once, once_cpu, maps = timed(lambda: every(batch), options.literal_images, device)
    published = nn.Module.to(every.unet, memory_format=torch.contiguous_format)
    literal, literal_cpu, _ = timed(partial(literal_maps, every, published, batch), options.literal_images, device)
    times, blocks = options.images * options.steps, len(maps.maps)
    pixels = options.images * batch.shape[2] * batch.shape[3]
    return {
        "seconds": once * times,
        "cpu": once_cpu * times,
        "literal": literal * times * blocks,
        "literal cpu": literal_cpu * times * blocks,
        "literal bytes": 4 * pixels * max(maps.channels),
    }


def rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The table: each way in a process of its own, so that neither warms the other up."""
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        apart(prepare, options, Path(folder))
        network, ours = apart(passes, options), apart(sweep, options, Path(folder))
    ways = {
        "network passes alone": (network["seconds"], network["cpu"], None),
        "ours": (ours["seconds"], ours["cpu"], ours["bytes"] / MIB),
        "literal, passes alone": (network["literal"], network["literal cpu"], network["literal bytes"] / MIB),
    }
    return [
        {
            "what": f"18 blocks x {options.steps} steps, {options.images} images: {what}",
            "s": seconds,
            "CPU s": cpu,
            "times the passes": seconds / network["seconds"],
            "peak MiB": peak,
        }
        for what, (seconds, cpu, peak) in ways.items()
    ]


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--images", type=int, default=40, help="annotated images")
    options.add_argument("--steps", type=int, default=1, help="diffusion steps")
    options.add_argument("--literal-images", type=int, default=3, help="passes that are timed; the fastest counts")
    options.add_argument("--work", type=Path, help="where the temporary folder lies; it needs some gigabytes")
    chosen = options.parse_args()
    if chosen.quick:
        chosen.images = min(chosen.images, 6)
    report(f"Sweep over all places, {chosen.precision}", rows(chosen), chosen)


if __name__ == "__main__":
    main()
