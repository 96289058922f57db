"""The default features and the filter bank against what people would otherwise pick, on the same images.

    python -m benchmarks.alternatives textures --threads 1        # drawn like micrographs, cells told apart by texture
    python -m benchmarks.alternatives toy --threads 1             # the built-in images
    python -m benchmarks.alternatives DATA --threads 1            # DATA/train and DATA/validation, or another --split

Each row is measured in a process of its own, once for each of --seeds; its mIoU is then the mean ± the standard
deviation, CPU seconds are the mean, and memory is the most. Memory is the peak beyond what is loaded before. The forest
has 100 trees and learns from --pixels annotated pixels drawn at random, as ilastik's does; the U-Net learns from
scratch, augmented, for --steps batches; the other rows learn by the `default` protocol, and their predictions follow
the image's edges unless --smoothing is 0.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import Clock, begin, parser, report, spread
from benchmarks.data import Data, add_data
from benchmarks.memory import MIB, apart, beyond
from frugalseg import Segmenter, load_backbone
from frugalseg.backbones import Backbone
from frugalseg.classifier.protocol import PROTOCOLS
from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.experiments.rows.unet import UNetRow
from frugalseg.experiments.rows.unet_baseline import UNetBaseline
from frugalseg.features.windows import cut
from frugalseg.metrics.confusion import ConfusionMatrix

TREES = 100
Labels = NDArray[np.uint8]


class Ensemble:
    """The pixel classifier on a backbone."""

    def __init__(self, backbone: Backbone, options: argparse.Namespace) -> None:
        protocol = PROTOCOLS["default"]
        if options.quick:
            protocol = replace(protocol, steps=5)
        self.model = Segmenter(
            backbone, members=options.members, protocol=protocol, smoothing=options.smoothing, seed=options.seed
        )

    def fit(self, data: Data) -> None:
        """Learn from the training images."""
        self.model.fit(data.train, classes=data.classes)

    def predict(self, image: Labels) -> Labels:
        """(H, W, 3) -> (H, W) class positions."""
        labels: Labels = next(self.model.predict_positions([image])).mask.numpy()
        return labels


class Forest:
    """A random forest on a backbone's vectors, window by window."""

    def __init__(self, backbone: Backbone, options: argparse.Namespace) -> None:
        from sklearn.ensemble import RandomForestClassifier

        self.seen, self.pixels, self.seed = Segmenter(backbone), options.pixels, options.seed
        self.forest = RandomForestClassifier(TREES, random_state=options.seed)

    def fit(self, data: Data) -> None:
        """Learn from some pixels of the training images."""
        every = self.seen.pixel_set(data.train, None)
        drawn = torch.randperm(len(every), generator=torch.Generator().manual_seed(self.seed))[: self.pixels]
        self.forest.fit(every.features(drawn).numpy(), every.labels[drawn].numpy())

    def predict(self, image: Labels) -> Labels:
        """(H, W, 3) -> (H, W) class positions."""
        labels = np.zeros(image.shape[:2], np.uint8)
        for window in self.seen.windows(image.shape):
            maps = self.seen.features([cut(image, window)])
            vectors = torch.cat([values[0].flatten(1) for values in maps.maps]).t().numpy()
            labels[window.area] = self.forest.predict(vectors).reshape(window.size)
        return labels


class Scratch:
    """A U-Net from scratch."""

    def __init__(self, backbone: Backbone, options: argparse.Namespace) -> None:
        steps = 3 if options.quick else options.steps
        self.network = UNetBaseline(UNetRow(kind="unet", name="", steps=steps, augmentation=MILD), seed=options.seed)

    def fit(self, data: Data) -> None:
        """Learn from the training images."""
        self.network.fit(WithClasses(data.train, data.classes))

    def predict(self, image: Labels) -> Labels:
        """(H, W, 3) -> (H, W) class positions."""
        labels: Labels = self.network.predict_position(image).mask.numpy()
        return labels


class WithClasses(list[Example]):
    """Examples with their class table."""

    def __init__(self, examples: Sequence[Example], classes: ClassTable) -> None:
        super().__init__(examples)
        self.classes = classes


MILD = {"scale": [0.85, 1.2], "stretch": 0.1, "rotation": 8, "shift": 0.08, "color": 0.2, "flip": True}
"""The demo's augmentation."""
SCALES = {"scales": (0.7, 1.0, 1.6, 3.5, 5.0, 10.0)}
ILASTIK = {**SCALES, "outer": 0.5}
WAYS: dict[str, tuple[type[Ensemble | Forest | Scratch], str, dict[str, Any]]] = {
    "ImageNet features, the default": (Ensemble, "timm", {}),
    "ImageNet features and filters": (Ensemble, "timm+filters", {}),
    "filters": (Ensemble, "filters", {}),
    "filters, also at scale 10": (Ensemble, "filters", SCALES),
    "filters, scales and averages of ilastik": (Ensemble, "filters", ILASTIK),
    "raw color and position": (Ensemble, "colour", {}),
    "random forest on filters": (Forest, "filters", {}),
    "random forest on filters, scales and averages of ilastik": (Forest, "filters", ILASTIK),
    "U-Net from scratch": (Scratch, "colour", {}),
}
"""By name: the classifier, the family, and the family's options."""


def measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """A line of the table."""
    device, data = begin(options), Data.of(options)
    classifier, family, given = WAYS[name]
    if family == "colour":
        given = {"native_size": data.train[0].target.shape}
    way, matrix = classifier(load_backbone(family, **given), options), ConfusionMatrix(len(data.classes))

    def test() -> None:
        for example in data.test:
            matrix.update(example.target, way.predict(example.image))

    (fit_seconds, fit_memory), (test_seconds, test_memory) = (
        cost(work, device) for work in (partial(way.fit, data), test)
    )
    pixels = sum(example.target.size for example in data.test)
    return {
        "data": data.name,
        "way": name,
        "mIoU": 100 * matrix.miou(),
        "fit, CPU s": fit_seconds,
        "prediction, CPU s a megapixel": 1e6 * test_seconds / pixels,
        "fit, MiB": fit_memory / MIB,
        "prediction, MiB": test_memory / MIB,
    }


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A line of the table, from the same line of each seed."""
    return {
        **runs[0],
        "mIoU": spread([run["mIoU"] for run in runs]),
        **{name: statistics.mean(run[name] for run in runs) for name in runs[0] if "CPU s" in name},
        **{name: max(run[name] for run in runs) for name in runs[0] if "MiB" in name},
    }


def cost(work: Callable[[], None], device: torch.device) -> tuple[float, int]:
    """CPU seconds and bytes at the peak."""
    clock = Clock()
    memory = beyond(work, device)
    return clock.read()[1], memory


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    add_data(options)
    options.add_argument("--seeds", type=int, default=1, help="runs of each row")
    options.add_argument("--steps", type=int, default=1000, help="batches of 5 images for the U-Net")
    options.add_argument("--smoothing", type=float, help="of predictions; without it the default")
    options.add_argument("--members", type=int, default=10, help="classifiers in the ensemble")
    options.add_argument("--pixels", type=int, default=20000, help="that the forest learns from")
    options.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="rows of the table")
    chosen = options.parse_args()
    if chosen.quick:
        chosen.members, chosen.pixels = 1, 200
    rows = []
    for name in chosen.ways:
        runs = []
        for seed in range(chosen.seeds):
            given = argparse.Namespace(**vars(chosen), seed=seed)
            runs.append(measured(name, given) if chosen.quick else apart(measured, name, given))
            print(runs[-1], flush=True)
        rows.append(summary(runs))
    report("Alternatives", rows, chosen)


if __name__ == "__main__":
    main()
