"""What a fit will need in memory and time, said before it starts."""

import time
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from frugalseg.classifier.pixel_set import PixelSet
from frugalseg.classifier.training import train_ensemble
from frugalseg.data.folder import SegmentationFolder
from frugalseg.features.map_store import MapStore, stored_bytes
from frugalseg.features.windows import Window, cut
from frugalseg.segmenter import Segmenter

PROBED = 5  # batches that are timed


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
    """

    images: int
    passes: int
    seen: list[tuple[int, int]]
    dim: int
    stored: int
    literal: int
    feature_seconds: float
    training_seconds: float

    def __str__(self) -> str:
        return (
            f"{self.images} images, seen by the network at {sizes_text(self.seen)}, "
            f"{self.dim} features a pixel: {size_text(self.stored)} for the features "
            f"(a vector for each pixel would take {size_text(self.literal)}), "
            f"about {time_text(self.feature_seconds)} to compute them and {time_text(self.training_seconds)} to train"
        )


def estimate_fit(segmenter: Segmenter, dataset: SegmentationFolder) -> Estimate:
    """Count windows and bytes of all images; time the network on the first window, and a few batches of training."""
    sizes = [dataset.size(i) for i in range(len(dataset))] * (2 if segmenter.settings.mirror else 1)
    every = [segmenter.windows(size) for size in sizes]
    networks = [window.network for windows in every for window in windows]
    pixels, seconds_a_pass = first_window(segmenter, dataset, every[0][0])
    protocol = segmenter.settings.protocol
    annotated = sum(height * width for height, width in sizes)
    batches = protocol.steps or protocol.patience_from_epoch * (annotated // protocol.batch_size)
    return Estimate(
        images=len(dataset),
        passes=len(networks),
        seen=[size for size, _ in Counter(networks).most_common()],
        dim=segmenter.backbone.dim,
        stored=stored_bytes(segmenter.backbone.taps, networks),
        literal=sum(4 * segmenter.backbone.dim * height * width for height, width in sizes),
        feature_seconds=len(networks) * seconds_a_pass,
        training_seconds=batches * seconds_a_batch(segmenter, pixels, len(dataset.classes)),
    )


def first_window(segmenter: Segmenter, dataset: SegmentationFolder, window: Window) -> tuple[PixelSet, float]:
    """The pixels of one window, all of one class, and how long the network and the storing of its maps took."""
    seen = cut(dataset[0].image, window)
    store = MapStore(segmenter.backbone.taps, [window.network])
    began = time.perf_counter()
    store.put(0, segmenter.features([seen]))
    seconds = time.perf_counter() - began
    return PixelSet(store, [np.zeros(window.size, np.uint8)]), seconds


def seconds_a_batch(segmenter: Segmenter, pixels: PixelSet, classes: int) -> float:
    """How long a batch of all members takes, from a few on the pixels at hand, the first left out."""
    settings, times = segmenter.settings, list[float]()
    few = replace(settings.protocol, steps=PROBED, epochs=None)
    train_ensemble(
        pixels,
        classes,
        few,
        members=settings.members,
        device=segmenter.device,
        progress=lambda _: times.append(time.perf_counter()),
    )
    return (times[-1] - times[0]) / max(1, len(times) - 1)


def sizes_text(sizes: list[tuple[int, int]]) -> str:
    """Sizes (h, w) as people read them, the first one of many."""
    height, width = sizes[0]
    others = f" and {len(sizes) - 1} other sizes" if len(sizes) > 1 else ""
    return f"{height}x{width}{others} (height x width)"


def size_text(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def time_text(seconds: float) -> str:
    """Seconds as people read them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
