"""The family `filters` against raw color and against a random forest on the same filters, as ilastik trains one.

    python -m benchmarks.filters --threads 1                                       # on images made for it
    python -m benchmarks.filters DATA --split validation --threads 1               # on DATA/train and DATA/validation

Each row is measured in a process of its own. Memory is the peak beyond what is loaded before. The forest has 100 trees
and learns from --pixels annotated pixels drawn at random; the other rows learn by the `default` protocol.
"""

import argparse
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import Clock, begin, parser, report
from benchmarks.memory import MIB, beyond
from benchmarks.textures import TEXTURE_CLASSES, texture_examples
from frugalseg import SegmentationFolder, Segmenter, load_backbone
from frugalseg.backbones import Backbone
from frugalseg.classifier.protocol import PROTOCOLS
from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.features.windows import cut
from frugalseg.metrics.confusion import ConfusionMatrix

TREES = 100
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Data:
    """What is learned from and what is tested on."""

    name: str
    train: Sequence[Example]
    test: Sequence[Example]
    classes: ClassTable

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Data":
        """A folder's splits, or textures."""
        if options.data is None:
            side, learned, tested = (48, 2, 1) if options.quick else (192, options.images, 10)
            drawn = texture_examples(learned, 0, side), texture_examples(tested, 1, side)
            return cls("textures", *drawn, TEXTURE_CLASSES)
        train = SegmentationFolder(options.data / "train")
        test = SegmentationFolder(options.data / options.split, train.classes)
        return cls(options.data.name, train, test, train.classes)


class Ensemble:
    """The pixel classifier on a backbone."""

    def __init__(self, backbone: Backbone, options: argparse.Namespace) -> None:
        protocol = PROTOCOLS["default"]
        if options.quick:
            protocol = replace(protocol, steps=5)
        self.model = Segmenter(backbone, members=options.members, protocol=protocol)

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

        self.seen, self.pixels = Segmenter(backbone), options.pixels
        self.forest = RandomForestClassifier(TREES, random_state=0)

    def fit(self, data: Data) -> None:
        """Learn from some pixels of the training images."""
        every = self.seen.pixel_set(data.train, None)
        drawn = torch.randperm(len(every), generator=torch.Generator().manual_seed(0))[: self.pixels]
        self.forest.fit(every.features(drawn).numpy(), every.labels[drawn].numpy())

    def predict(self, image: Labels) -> Labels:
        """(H, W, 3) -> (H, W) class positions."""
        labels = np.zeros(image.shape[:2], np.uint8)
        for window in self.seen.windows(image.shape):
            maps = self.seen.features([cut(image, window)])
            vectors = torch.cat([values[0].flatten(1) for values in maps.maps]).t().numpy()
            labels[window.area] = self.forest.predict(vectors).reshape(window.size)
        return labels


SCALES = {"scales": (0.7, 1.0, 1.6, 3.5, 5.0, 10.0)}
ILASTIK = {**SCALES, "outer": 0.5}
WAYS: dict[str, tuple[type[Ensemble | Forest], str, dict[str, Any]]] = {
    "raw color and position": (Ensemble, "colour", {}),
    "filters": (Ensemble, "filters", {}),
    "filters, also at scale 10": (Ensemble, "filters", SCALES),
    "filters, scales and averages of ilastik": (Ensemble, "filters", ILASTIK),
    "random forest on filters": (Forest, "filters", {}),
    "random forest on filters, scales and averages of ilastik": (Forest, "filters", ILASTIK),
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


def cost(work: Callable[[], None], device: torch.device) -> tuple[float, int]:
    """CPU seconds and bytes at the peak."""
    clock = Clock()
    memory = beyond(work, device)
    return clock.read()[1], memory


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("data", type=Path, nargs="?", help="folder with train/; without it textures are drawn")
    options.add_argument("--split", default="validation", help="folder of DATA to test on")
    options.add_argument("--images", type=int, default=6, help="annotated textures")
    options.add_argument("--members", type=int, default=10, help="classifiers in the ensemble")
    options.add_argument("--pixels", type=int, default=20000, help="that the forest learns from")
    options.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="rows of the table")
    chosen = options.parse_args()
    if chosen.quick:
        chosen.members, chosen.pixels = 1, 200
    rows = []
    for name in chosen.ways:
        if chosen.quick:
            rows.append(measured(name, chosen))
            continue
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(measured, (name, chosen)))
            print(rows[-1], flush=True)
    report("Filters", rows, chosen)


if __name__ == "__main__":
    main()
