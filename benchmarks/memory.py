"""Peak memory against the literal method, each in a process of its own, beyond what is loaded before it starts.

Prediction: the classifier stage on random maps in the layout of the paper's networks (--layout); with --unet the whole
image through the diffusion model. Training set: the maps of --images annotated images of that layout in half precision,
filled and trained on, on the CPU whatever --device says, for that is where it lies; the literal way stores 4 bytes a
feature and pixel (that product is stated, not allocated). Large image (--large HxW): the command predict on an image of
so many pixels, reading and writing included, resized and in windows, with a network of no weights; the literal way
keeps its float32 probabilities (stated, too). Fit (--fit N): the whole command fit on N wholly annotated images of
360x480 with the default backbone, network and checks included; the literal way keeps a float32 vector for each
pixel (stated, too). On a CPU the figure is the high-water mark of the resident
set, on a GPU that of the allocator.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image

from benchmarks.common import (
    LSUN_CLASSES,
    add_layouts,
    begin,
    images,
    lsun_backbone,
    only_ddpm,
    parser,
    report,
    trained_looking,
)
from benchmarks.layouts import Layout, chosen_layout
from benchmarks.predict import literal_labels, literal_maps
from frugalseg.backbones import load_backbone
from frugalseg.classifier.pixel_set import PixelSet
from frugalseg.classifier.training import PROTOCOLS, train_ensemble
from frugalseg.cli.options import parse_size
from frugalseg.data.classes import ClassTable
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.map_store import MapStore
from frugalseg.jobs.fit import FitRequest, fit_folder
from frugalseg.jobs.predict import Extras, predict_folder
from frugalseg.segmenter import Segmenter
from frugalseg.support.precision import dtype_of

Result = TypeVar("Result")

MIB = 2**20
LARGE_CLASSES = 15
FITTED = (360, 480)
"""(H, W) of the images of --fit."""


def now_and_peak(device: torch.device) -> tuple[int, int]:
    """Bytes in use now, and the most since `forget_peak`."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if not status.exists():
        unit = 1 if sys.platform == "darwin" else 1024
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return most, most
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) * 1024, int(fields["VmHWM"].split()[0]) * 1024


def forget_peak(device: torch.device) -> None:
    """Start a new high-water mark here; where the system cannot, the old one stays and the figure is an upper bound."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def beyond(work: Callable[[], object], device: torch.device) -> int:
    """Bytes that `work` takes at its peak beyond what is in use before it."""
    forget_peak(device)
    before, _ = now_and_peak(device)
    work()
    return now_and_peak(device)[1] - before


def predict(options: argparse.Namespace, layout: Layout, *, literally: bool) -> int:
    """Bytes of the classifier stage beyond the maps and the classifier."""
    device, dtype = begin(options), dtype_of("fp32" if literally else options.precision)
    maps = layout.random(device).to(dtype)
    classifier = trained_looking(maps.channels, LSUN_CLASSES, options.members, device)
    if literally:
        return beyond(partial(literal_labels, classifier, maps), device)
    return beyond(partial(classifier.predictor(dtype).predict, maps), device)


def predict_whole(options: argparse.Namespace, *, literally: bool) -> int:
    """Bytes of a whole image beyond the diffusion model and the classifier."""
    device, dtype = begin(options), dtype_of("fp32" if literally else options.precision)
    backbone = lsun_backbone(device, dtype, quick=options.quick)
    classifier = trained_looking([tap.channels for tap in backbone.taps], LSUN_CLASSES, options.members, device)
    image, predictor = images(1, backbone), classifier.predictor(dtype)

    @torch.inference_mode()
    def work_on_image() -> object:
        if literally:
            return literal_labels(classifier, literal_maps(backbone, backbone.unet, image))
        return predictor.predict(backbone(image))

    return beyond(work_on_image, device)


def training_set(options: argparse.Namespace, layout: Layout) -> int:
    """Bytes of the training set of `options.images` images and of some steps of training on it.

    On the CPU always: the set lies in its memory, also when a GPU is trained on, whose counter would not see it.
    """
    begin(options)
    device, side = torch.device("cpu"), layout.side
    rng = np.random.default_rng(0)

    def fill_and_train(folder: Path | None) -> None:
        targets = [rng.integers(0, LSUN_CLASSES, (side, side), np.uint8) for _ in range(options.images)]
        store = MapStore(layout.taps, [(side, side)] * options.images, folder)
        for number in range(options.images):
            maps = [torch.full((1, channels, rows, rows), 0.5) for channels, rows in layout.maps]
            store.put(number, FeatureMaps(maps, (side, side)))
        pixels = PixelSet(store, targets)
        train_ensemble(pixels, LSUN_CLASSES, replace(PROTOCOLS["default"], steps=20), device=device)

    with tempfile.TemporaryDirectory() as folder:
        return beyond(partial(fill_and_train, Path(folder) if options.mapped else None), device)


def predict_large(options: argparse.Namespace, *, tile: bool, extras: Extras) -> int:
    """Bytes of predicting an image of `options.large`, with the features of the family ``colour``."""
    device = begin(options)
    height, width = options.large
    colors = np.random.default_rng(0).integers(0, 256, (height // 64 + 1, width // 64 + 1, 3), np.uint8)
    segmenter = Segmenter(load_backbone("colour"), device=device, members=options.members, tile=tile, smoothing=0)
    channels = [tap.channels for tap in segmenter.backbone.taps]
    segmenter.classifier = trained_looking(channels, LARGE_CLASSES, options.members, device)
    segmenter.classes = ClassTable.from_ids(range(LARGE_CLASSES))
    with tempfile.TemporaryDirectory() as folder:
        segmenter.save_pretrained(Path(folder, "model"))
        Image.fromarray(colors).resize((width, height), Image.Resampling.NEAREST).save(Path(folder, "image.png"))
        arguments = [Path(folder, name) for name in ("model", "image.png", "masks")]
        return beyond(lambda: predict_folder(*arguments, extras=extras, device=options.device), device)


def large_rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """What the command predict takes for a large image."""
    height, width = options.large
    literal = 4 * LARGE_CLASSES * height * width
    ways = {"resized": False, "in windows": True}
    asked = {"masks": Extras(), "masks, overlays, uncertainty, probabilities": Extras(True, True, True)}
    return [
        row(
            f"predict, {height}x{width}, {LARGE_CLASSES} classes, {way}: {what}",
            literal,
            apart(predict_large, options, tile=tile, extras=extras),
        )
        for way, tile in ways.items()
        for what, extras in asked.items()
    ]


def fit_images(options: argparse.Namespace) -> int:
    """Bytes of fitting a model to `options.fit` images of smooth random colors."""
    device, (height, width) = begin(options), FITTED
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        for kind in ("images", "masks"):
            Path(name, "data", kind).mkdir(parents=True)
        for number in range(options.fit):
            colors = generator.integers(0, 256, (height // 12, width // 12, 3), np.uint8)
            Image.fromarray(colors).resize((width, height)).save(Path(name, "data", "images", f"{number}.jpg"))
            labels = Image.fromarray(generator.integers(0, 8, (9, 12), np.uint8))
            labels.resize((width, height), Image.Resampling.NEAREST).save(Path(name, "data", "masks", f"{number}.png"))
        request = FitRequest(Path(name, "data"), "timm", None, {}, {"members": options.members}, str(device))
        return beyond(lambda: fit_folder(request, Path(name, "model")), device)


def fit_row(options: argparse.Namespace) -> dict[str, Any]:
    """What the command fit takes."""
    height, width = FITTED
    features = sum(tap.channels for tap in load_backbone("timm").taps)
    what = f"fit, {options.fit} images of {height}x{width}, {features} features a pixel"
    return row(what, 4 * features * options.fit * height * width, apart(fit_images, options))


def apart(function: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
    """Run in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments, named)


def row(what: str, literal_bytes: int, our_bytes: int) -> dict[str, Any]:
    """A line of the table."""
    share = our_bytes / literal_bytes
    return {"what": what, "literal MiB": literal_bytes / MIB, "ours MiB": our_bytes / MIB, "ours / literal": share}


def layout_rows(layout: Layout, options: argparse.Namespace) -> list[dict[str, Any]]:
    """What prediction takes, and the training set where it is asked for."""
    name = f"{layout.title}, {layout.dim} channels"
    sizes = [apart(predict, options, layout, literally=literally) for literally in (True, False)]
    rows = [row(f"prediction, classifier stage, {name}", *sizes)]
    if options.images:
        stored = 4 * options.images * layout.side**2 * layout.dim
        kept = "mapped" if options.mapped else "in memory"
        what = f"training set of {options.images} images and training, {kept}, {name}"
        rows.append(row(what, stored, apart(training_set, options, layout)))
    return rows


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--members", type=int, default=10, help="classifiers in the ensemble")
    options.add_argument("--unet", action="store_true", help="also the whole image, UNet included")
    options.add_argument("--images", type=int, default=0, help="also the training set of so many annotated images")
    options.add_argument("--mapped", action="store_true", help="keep the training set in memory-mapped files")
    options.add_argument("--large", type=parse_size, metavar="HxW", help="only the command predict on such an image")
    options.add_argument("--fit", type=int, metavar="N", help="only the command fit on so many images")
    add_layouts(options)
    chosen = options.parse_args()
    only_ddpm(chosen, "unet")
    if chosen.large:
        report(f"Peak memory, {chosen.precision}", large_rows(chosen), chosen)
        return
    if chosen.fit:
        report(f"Peak memory, {chosen.precision}", [fit_row(chosen)], chosen)
        return
    rows = [line for name in chosen.layout for line in layout_rows(chosen_layout(name, quick=chosen.quick), chosen)]
    if chosen.unet:
        sizes = [apart(predict_whole, chosen, literally=literally) for literally in (True, False)]
        rows.append(row("prediction, whole image, LSUN-256 network", *sizes))
    report(f"Peak memory, {chosen.precision}", rows, chosen)


if __name__ == "__main__":
    main()
