"""`fit --choose` against the preset of a family and against its last block or layer alone.

    # the built-in images
    python -m benchmarks.choice toy --images 20 --tested 100 --checkpoint builtin:toy_ddpm --threads 1
    # DATA/train and DATA/test
    python -m benchmarks.choice DATA --split test --threads 1

The choice is made on the annotated images alone, anew for each seed; what is chosen and both alternatives are then
fitted on all of them and tested once. Of a diffusion network, the last block is read at the steps of the preset. CPU
seconds of a choice include the maps of all places.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.common import Clock, begin, parser, report
from benchmarks.data import Data, add_data
from frugalseg import Segmenter, load_backbone
from frugalseg.backbones import Backbone
from frugalseg.backbones.registry import family_of_checkpoint
from frugalseg.classifier.protocol import PROTOCOLS
from frugalseg.metrics.confusion import ConfusionMatrix
from frugalseg.selection.forward import choose_places
from frugalseg.selection.places import Places, places_of, words


def last_place(backbone: Backbone) -> Places:
    """The last block, layer or scale alone."""
    every = backbone.readable()
    deepest = [name for name in every if name != backbone.passes]
    return {**places_of(backbone.taps), **{name: every[name][-1:] for name in deepest}}


def unfitted(backbone: Backbone, seed: int, options: argparse.Namespace) -> Segmenter:
    """A model with the default settings."""
    protocol = PROTOCOLS["default"]
    if options.quick:
        protocol = replace(protocol, steps=3)
    return Segmenter(backbone, device=options.device, members=options.members, protocol=protocol, seed=seed)


def tested(segmenter: Segmenter, data: Data) -> float:
    """mIoU on the test images of a model that learns from the training images."""
    segmenter.fit(data.train, classes=data.classes)
    found = ConfusionMatrix(len(data.classes))
    for example in data.test:
        found.update(example.target, next(segmenter.predict_positions([example.image])).mask.numpy())
    return found.miou()


def rows(data: Data, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each seed and way."""
    backbone = load_backbone(options.backbone or family_of_checkpoint(options.checkpoint), options.checkpoint)
    for seed in range(options.seeds):
        clock = Clock()
        choice = choose_places(unfitted(backbone, seed, options), data.train, classes=data.classes)
        _, seconds = clock.read()
        ways = {"preset": places_of(backbone.taps), "last alone": last_place(backbone), "chosen": choice.places}
        for name, places in ways.items():
            miou = tested(unfitted(backbone.reading(**places), seed, options), data)
            known = {"seed": seed, "way": name, "mIoU": 100 * miou, "places": words(places)}
            yield {**known, "choice, CPU s": seconds if name == "chosen" else None}
            print(known, flush=True)


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    add_data(options)
    options.add_argument("--backbone", help="family; without it that of the checkpoint, or timm")
    options.add_argument("--checkpoint", help="of the backbone, as for fit")
    options.add_argument("--seeds", type=int, default=3, help="runs")
    options.add_argument("--members", type=int, default=10, help="classifiers in the ensemble")
    chosen = options.parse_args()
    begin(chosen)
    data = Data.of(chosen)
    report(f"Choice of places, {data.name}", list(rows(data, chosen)), chosen)


if __name__ == "__main__":
    main()
