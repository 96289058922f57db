"""What a fit will need in memory and time, and each prediction after it, said before it starts.

Times are those of a machine that has nothing else to do, as well as that can be told on a busy one: the least of a few
repetitions, and on a CPU no more than the processor time of this process.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.pixel_set import PixelSet
from frugalseg.classifier.prediction import vote_rows
from frugalseg.classifier.training import train_ensemble
from frugalseg.data.classes import NOT_ANNOTATED
from frugalseg.data.datasets import targets_of
from frugalseg.data.folder import SegmentationFolder
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.map_store import MapStore, stored_bytes
from frugalseg.features.windows import cut
from frugalseg.segmenter import Segmenter
from frugalseg.support.text import count, size_text, time_text

PROBED = 5  # batches that are timed
REPEATED = 3  # runs of anything else that is timed,
LONG = 1.0  # seconds from which on one must do
CLASSIFIED = 2**18  # pixels of an image whose classification is timed


@dataclass(frozen=True)
class PredictionEstimate:
    """What the prediction of an image needs.

    Attributes:
        size: (H, W) of the image.
        windows: through which the network sees it.
        steps: of the diffusion process at which it sees each; 1 for networks without such.
        seconds: of computing.
    """

    size: tuple[int, int]
    windows: int
    steps: int
    seconds: float

    def __str__(self) -> str:
        height, width = self.size
        steps = f" x {self.steps} steps" if self.steps > 1 else ""
        work = f"{count(self.windows, 'window')}{steps}"
        return f"predicting an image of {height}x{width} will take about {time_text(self.seconds)}: {work}"


@dataclass(frozen=True)
class Estimate:
    """What a fit needs.

    Attributes:
        images: annotated images.
        passes: runs of the network: one a window.
        seen: the sizes (h, w) at which the network sees the images or their windows, the most frequent first.
        dim: length of a pixel's feature vector.
        stored: bytes of the stored maps.
        literal: bytes of the literal method, which keeps a float32 vector for every pixel of every image.
        feature_seconds: of all runs of the network.
        training_seconds: of the classifier; at least, where the protocol stops by the loss.
        prediction: what an image of the most frequent size will need.
    """

    images: int
    passes: int
    seen: list[tuple[int, int]]
    dim: int
    stored: int
    literal: int
    feature_seconds: float
    training_seconds: float
    prediction: PredictionEstimate

    def __str__(self) -> str:
        literal = f" (a vector for each pixel would take {size_text(self.literal)})" * (self.literal > self.stored)
        return (
            f"{count(self.images, 'image')}, seen by the network at {sizes_text(self.seen)}, "
            f"{self.dim} features a pixel: {size_text(self.stored)} for the features{literal}, "
            f"about {time_text(self.feature_seconds)} to compute them and {time_text(self.training_seconds)} to train; "
            f"{self.prediction} (with nothing else running on this machine)"
        )


def estimate_fit(segmenter: Segmenter, dataset: SegmentationFolder) -> Estimate:
    """Count windows and bytes of all images; time the network on the first window, and a few batches of training."""
    own = [dataset.size(i) for i in range(len(dataset))]
    sizes = own * (2 if segmenter.settings.mirror else 1)
    every = [segmenter.windows(size) for size in sizes]
    networks = [window.network for windows in every for window in windows]
    pixels, maps, seconds_a_pass = first_window(segmenter, dataset)
    protocol = segmenter.settings.protocol
    annotated = sum(height * width for height, width in sizes)
    batches = protocol.steps or protocol.patience_from_epoch * (annotated // protocol.batch_size)
    classifier, seconds_a_batch = first_batches(segmenter, pixels, len(dataset.classes))
    return Estimate(
        images=len(dataset),
        passes=len(networks),
        seen=[size for size, _ in Counter(networks).most_common()],
        dim=segmenter.backbone.dim,
        stored=stored_bytes(segmenter.backbone.taps, networks, segmenter.backbone.map_sizes),
        literal=sum(4 * segmenter.backbone.dim * height * width for height, width in sizes),
        feature_seconds=len(networks) * seconds_a_pass,
        training_seconds=batches * seconds_a_batch,
        prediction=estimate_prediction(segmenter, classifier, maps, Counter(own).most_common(1)[0][0], seconds_a_pass),
    )


def first_window(segmenter: Segmenter, dataset: SegmentationFolder) -> tuple[PixelSet, FeatureMaps, float]:
    """The pixels of one window, all of one class, its maps, and the seconds that they and their storing take."""
    annotated = (place for place, target in enumerate(targets_of(dataset)) if (target != NOT_ANNOTATED).any())
    example, own = dataset[next(annotated, 0)], segmenter.own_images(dataset)
    window = segmenter.windows(example.image.shape)[0]
    seen = cut(example.image, window)
    store = MapStore(segmenter.backbone.taps, [window.network], map_sizes=segmenter.backbone.map_sizes)

    def compute() -> None:
        store.put(0, segmenter.features([seen]) if own is None else own.maps(example))

    seconds = least_seconds(compute, segmenter)
    twice = [0, 0] if window.size == (1, 1) else [0]  # a single pixel would be too few to train on
    return PixelSet(store.subset(twice), [np.zeros(window.size, np.uint8) for _ in twice]), store.maps(0), seconds


def first_batches(segmenter: Segmenter, pixels: PixelSet, classes: int) -> tuple[PixelClassifier, float]:
    """A classifier after a few batches of the pixels at hand, and the seconds that a batch of all members takes."""
    settings, clocks = segmenter.settings, list[Clock]()
    few = replace(settings.protocol, steps=PROBED, epochs=None)
    classifier, _ = train_ensemble(
        pixels,
        classes,
        few,
        members=settings.members,
        device=segmenter.device,
        progress=lambda _: clocks.append(Clock(segmenter)),
    )
    return classifier, min((later.since(earlier) for earlier, later in pairwise(clocks)), default=0.0)


def estimate_prediction(
    segmenter: Segmenter, classifier: PixelClassifier, maps: FeatureMaps, size: tuple[int, int], seconds_a_pass: float
) -> PredictionEstimate:
    """What an image needs, from the maps of one window and a classifier of the right shape.

    Args:
        segmenter: that will predict.
        classifier: any for its network.
        maps: of one window.
        size: (H, W) of the image.
        seconds_a_pass: of the network for one window.
    """
    every, predictor = segmenter.windows(size), classifier.to(segmenter.device).predictor()
    own, rows = maps.to(segmenter.device), max(1, min(size[0], CLASSIFIED // size[1]))

    def classify() -> None:
        if segmenter.settings.tile:
            vote_rows(predictor.member_probabilities(own.on(every[0].size)))
            return
        done = 0
        for piece in predictor.rows(own.on(size)):
            done += len(piece.mask)
            if done >= rows:
                return

    parts = len(every) if segmenter.settings.tile else size[0] / rows
    views = 2 if segmenter.settings.mirrored_views else 1
    seconds = views * (len(every) * seconds_a_pass + parts * least_seconds(classify, segmenter))
    return PredictionEstimate(size, len(every), steps_of(segmenter), seconds)


def steps_of(segmenter: Segmenter) -> int:
    """Diffusion steps at which the network runs for each window; 1 for networks of other kinds."""
    config = segmenter.backbone.config()
    return max(len(each.get("timesteps", [])) or 1 for each in (config, *config.get("parts", {}).values()))


class Clock:
    """The moment at which the device has done all that it was asked for, on the wall and in this process's CPU time."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._on_cpu = segmenter.device.type == "cpu"
        if segmenter.device.type == "cuda":
            torch.cuda.synchronize(segmenter.device)
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def since(self, earlier: "Clock") -> float:
        """Seconds of computing: on a CPU the processor time where that is less, for then others were at work, too."""
        wall, cpu = self._wall - earlier._wall, self._cpu - earlier._cpu
        return min(wall, cpu) if self._on_cpu else wall


def least_seconds(run: Callable[[], None], segmenter: Segmenter) -> float:
    """Seconds of the fastest of a few runs, or of the first, if that is long."""
    found = list[float]()
    while len(found) < REPEATED and (not found or found[0] < LONG):
        before = Clock(segmenter)
        run()
        found.append(Clock(segmenter).since(before))
    return min(found)


def sizes_text(sizes: list[tuple[int, int]]) -> str:
    """Sizes (h, w) as people read them, the first one of many."""
    height, width = sizes[0]
    others = f" and {count(len(sizes) - 1, 'other size')}" if len(sizes) > 1 else ""
    return f"{height}x{width}{others} (height x width)"
