"""What small changes gain on photographs, with the networks that come with the set-up.

    python -m benchmarks.improvements DATA --threads 1                            # on DATA/validation
    python -m benchmarks.improvements DATA --split test --ways "Lite2, 512" --seeds 5 --threads 1

Each way is fitted on DATA/train once a seed, and its predictions are scored five times: as the paper has them (majority
vote of one view), with the mean of both views (the image and its mirror image), each of these smoothed along the edges
of the image, and so on. The maps of an image are computed once for all seeds.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.common import Clock, begin, parser, report, spread
from frugalseg import SegmentationFolder, Segmenter, load_backbone
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.extraction import drop_small_regions
from frugalseg.classifier.prediction import PixelRows
from frugalseg.classifier.protocol import PROTOCOLS
from frugalseg.classifier.smoothing import smoothed
from frugalseg.classifier.tiling import joined
from frugalseg.classifier.training import train_ensemble
from frugalseg.classifier.views import averaged
from frugalseg.data.classes import NOT_ANNOTATED
from frugalseg.data.example import Example
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.windows import cut
from frugalseg.metrics.confusion import ConfusionMatrix

SCORES = ("one view", "both views", "one view, smoothed", "both views, smoothed")
POSITION = (24, 16)
"""Values of the map of positions; bilinear between them, it is linear in row and column."""


@dataclass(frozen=True)
class Source:
    """Where features come from.

    Attributes:
        network: of EfficientNet-Lite, ``filters``, or ``position``.
        size: side of the square whose area images are resized to.
        layers: levels that are read; None: the default.
    """

    network: str
    size: int | None = None
    layers: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Way:
    """A way to fit.

    Attributes:
        sources: whose features are joined.
        protocol: values of the default protocol that are changed.
        members: of the ensemble; None: as the options say.
        mirror: train on mirrored images as well.
        share: of the annotated pixels that are learned from.
    """

    sources: tuple[Source, ...]
    protocol: dict[str, Any] = field(default_factory=dict)
    members: int | None = None
    mirror: bool = False
    share: float = 1.0


LITE0, LITE2 = Source("efficientnet_lite0", 448), Source("efficientnet_lite2", 512)
WAYS = {
    "Lite0, 224": Way((replace(LITE0, size=224),)),
    "Lite0, 384": Way((replace(LITE0, size=384),)),
    "Lite0, 448": Way((LITE0,)),
    "Lite0, 576": Way((replace(LITE0, size=576),)),
    "Lite2, 256": Way((replace(LITE2, size=256),)),
    "Lite2, 384": Way((replace(LITE2, size=384),)),
    "Lite2, 512": Way((LITE2,)),
    "Lite2, 576": Way((replace(LITE2, size=576),)),
    "Lite2, 672": Way((replace(LITE2, size=672),)),
    "two scales: 512 and 288": Way((LITE2, replace(LITE2, size=288))),
    "two networks: Lite0 and Lite2": Way((LITE0, LITE2)),
    "filters alone": Way((Source("filters"),)),
    "with filters": Way((LITE2, Source("filters"))),
    "with row and column": Way((LITE2, Source("position"))),
    "with the level at half the resolution": Way((replace(LITE2, layers=(0, 1, 2, 3, 4)),)),
    "without the coarsest level": Way((replace(LITE2, layers=(1, 2, 3)),)),
    "without the finest level": Way((replace(LITE2, layers=(2, 3, 4)),)),
    "mirrored training images": Way((LITE2,), mirror=True),
    "class balance 0": Way((LITE2,), {"class_balance": 0.0}),
    "class balance 0.5": Way((LITE2,), {"class_balance": 0.5}),
    "twice the steps": Way((LITE2,), {"steps": 600}),
    "half of the pixels": Way((LITE2,), share=0.5),
    "a tenth of the pixels": Way((LITE2,), share=0.1),
    "1 member": Way((LITE2,), members=1),
    "20 members": Way((LITE2,), members=20),
}


class Joined:
    """The labelled pixels of some images, with the vectors of maps of any sizes; a `PixelSource`."""

    def __init__(self, maps: Sequence[FeatureMaps], targets: Sequence[NDArray[np.uint8]], share: float) -> None:
        self.maps, generator = list(maps), torch.Generator().manual_seed(0)
        labels, image, pixels = [], [], []
        for number, target in enumerate(targets):
            kept = drop_small_regions(target).ravel()
            found = torch.from_numpy(np.flatnonzero(kept != NOT_ANNOTATED))
            chosen = found[torch.randperm(len(found), generator=generator)[: max(1, round(share * len(found)))]]
            pixels.append(chosen.sort().values)
            labels.append(torch.from_numpy(kept).long()[pixels[-1]])
            image.append(torch.full((len(chosen),), number))
        self.labels, self.image, self._pixels = torch.cat(labels), torch.cat(image), torch.cat(pixels)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each map."""
        return self.maps[0].channels

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.maps[0].dim

    def features(self, index: Tensor) -> Tensor:
        """(n, dim) float32: the vectors of some pixels."""
        found = torch.empty(len(index), self.dim)
        for number in self.image[index].unique().tolist():
            places = self.image[index] == number
            found[places] = self.maps[number].at(self._pixels[index[places]])
        return found


@cache
def seen_by(source: Source) -> Segmenter:
    """The network of a source, and the size at which it sees images."""
    if source.network == "filters":
        return Segmenter(load_backbone("filters"))
    options = {} if source.layers is None else {"layers": source.layers}
    backbone = load_backbone("timm", f"builtin:{source.network}", **options)
    return Segmenter(backbone, network_size=source.size and (source.size, source.size))


def maps_of(sources: Sequence[Source], image: NDArray[np.uint8]) -> FeatureMaps:
    """What all sources give for an image, in half precision."""
    maps: list[Tensor] = []
    for source in sources:
        if source.network == "position":
            rows, columns = (torch.arange(side) / side for side in POSITION)
            maps.append(torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[None])
            continue
        segmenter = seen_by(source)
        every = segmenter.windows(image.shape)
        if len(every) > 1:
            raise SystemExit(f"images of {image.shape} need several windows of {source.network}; give smaller ones")
        maps += segmenter.features([cut(image, every[0])]).maps
    return FeatureMaps([values.half() for values in maps], (image.shape[0], image.shape[1]))


def mirrored(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Left and right exchanged."""
    return np.ascontiguousarray(image[:, ::-1])


@dataclass(frozen=True)
class Seen:
    """Images with the maps of both views, and the CPU seconds that a view of one takes."""

    examples: list[Example]
    maps: list[FeatureMaps]
    mirrored: list[FeatureMaps]
    seconds: float

    @classmethod
    def of(cls, examples: Sequence[Example], sources: Sequence[Source], *, both: bool) -> "Seen":
        """Compute the maps; of mirror images only where they are wanted."""
        clock = Clock()
        maps = [maps_of(sources, example.image) for example in examples]
        seconds = clock.read()[1] / len(maps)
        others = [maps_of(sources, mirrored(example.image)) for example in examples] if both else []
        return cls(list(examples), maps, others, seconds)


def classifier_of(way: Way, train: Seen, classes: int, seed: int, options: argparse.Namespace) -> PixelClassifier:
    """A classifier of the training images."""
    maps, targets = list(train.maps), [example.target for example in train.examples]
    if way.mirror:
        maps, targets = maps + train.mirrored, targets + [mirrored(target) for target in targets]
    protocol = replace(PROTOCOLS["default"], **{**way.protocol, **({"steps": 5} if options.quick else {})})
    members = way.members or options.members
    return train_ensemble(Joined(maps, targets, way.share), classes, protocol, members=members, seed=seed)[0]


def scores(classifier: PixelClassifier, test: Seen, smoothing: float) -> tuple[list[float], float, float]:
    """The mIoU of each of `SCORES`, and for an image the CPU seconds of one view behind its maps, and of smoothing."""
    predictor, clock = classifier.predictor(), Clock()
    one = [joined(list(predictor.rows(maps))) for maps in test.maps]
    seconds = clock.read()[1] / len(one)
    two = [joined(list(predictor.rows(maps))) for maps in test.mirrored]
    both = [joined(list(averaged([a], [b]))) for a, b in zip(one, two, strict=True)]
    clock = Clock()
    smoother = list(smooth(one, test, smoothing))
    more = clock.read()[1] / len(one)
    found = [one, both, smoother, list(smooth(both, test, smoothing))]
    return [miou(each, test.examples, classifier.num_classes) for each in found], seconds, more


def smooth(rows: Sequence[PixelRows], test: Seen, share: float) -> Iterator[PixelRows]:
    """Each prediction along the edges of its image."""
    for piece, example in zip(rows, test.examples, strict=True):
        radius = max(1, round(share * min(example.image.shape[:2])))
        yield joined(list(smoothed([piece], example.image, radius)))


def miou(found: Sequence[PixelRows], examples: Sequence[Example], classes: int) -> float:
    """In percent."""
    matrix = ConfusionMatrix(classes)
    for piece, example in zip(found, examples, strict=True):
        matrix.update(example.target, piece.mask.numpy())
    return 100 * matrix.miou()


def measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """A line of the table."""
    way = WAYS[name]
    annotated = SegmentationFolder(options.data / "train")
    train = Seen.of(list(annotated), way.sources, both=way.mirror)
    test = Seen.of(list(SegmentationFolder(options.data / options.split, annotated.classes)), way.sources, both=True)
    runs, seconds, fits, smoothing = [], [], [], []
    for seed in range(options.seeds):
        clock = Clock()
        classifier = classifier_of(way, train, len(annotated.classes), seed, options)
        fits.append(clock.read()[1])
        found, spent, more = scores(classifier, test, options.smoothing)
        runs.append(found)
        seconds.append(spent)
        smoothing.append(more)
    figures = {score: spread([run[place] for run in runs]) for place, score in enumerate(SCORES)}
    return {
        "way": name,
        **figures,
        "fit, CPU s": len(train.maps) * train.seconds + min(fits),
        "one view of an image, CPU s": test.seconds + min(seconds),
        "smoothing it, CPU s": min(smoothing),
    }


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("data", type=Path, help="folder with train/ and what --split names")
    options.add_argument("--split", default="validation", help="folder of DATA to test on")
    options.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="rows of the table")
    options.add_argument("--seeds", type=int, default=1, help="runs of each")
    options.add_argument("--members", type=int, default=10, help="classifiers in the ensemble")
    options.add_argument("--smoothing", type=float, default=0.015, help="radius as a share of the shorter side")
    chosen = options.parse_args()
    begin(chosen)
    rows = []
    for name in chosen.ways:
        rows.append(measured(name, chosen))
        print(rows[-1], flush=True)
    report("Improvements", rows, chosen)


if __name__ == "__main__":
    main()
