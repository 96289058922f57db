"""The `default` training protocol against the published one: test mIoU and seconds of training, over several seeds.

    python -m benchmarks.protocols DATA --checkpoint MODEL --seeds 5 --json protocols.json

DATA holds train/ and test/ (or --split). Features are computed once and serve all runs. --every 4 keeps every fourth
annotated pixel in both directions of the training masks, for both protocols: nearest to what the published code does
where the network's images are a fourth as large as the photographs, for it resizes masks to the network's size. What is
done is kept in --work: a second call goes on from there (cpu_seconds then counts the second call alone).
"""

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import begin, parser, report
from frugalseg.backbones import load_backbone
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.training import train_ensemble, training_protocol
from frugalseg.data.example import Example
from frugalseg.data.folder import SegmentationFolder
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.windows import cut
from frugalseg.metrics.confusion import ConfusionMatrix
from frugalseg.segmenter import Segmenter
from frugalseg.support.files import read_json, write_json
from frugalseg.support.precision import dtype_of


class Thinned(Sequence[Example]):
    """Examples with every `every`-th annotated pixel in both directions, from the middle of the first cell on."""

    def __init__(self, examples: SegmentationFolder, every: int) -> None:
        self.examples, self.every = examples, every

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: int) -> Example:  # type: ignore[override]
        example = self.examples[place]
        target, kept = np.full_like(example.target, 255), slice(self.every // 2, None, self.every)
        target[kept, kept] = example.target[kept, kept]
        return replace(example, target=target)


def tested_maps(segmenter: Segmenter, examples: SegmentationFolder) -> list[tuple[list[Tensor], Tensor]]:
    """Maps in half precision and target of every test image."""
    found = []
    for example in examples:
        window = segmenter.windows(example.target.shape)[0]
        maps = segmenter.features([cut(example.image, window)])
        found.append(([values.half() for values in maps.maps], torch.as_tensor(example.target)))
    return found


def score(classifier: PixelClassifier, tested: list[tuple[list[Tensor], Tensor]], classes: int) -> dict[str, float]:
    """mIoU in both conventions and pixel accuracy, in percent."""
    predictor, matrix = classifier.predictor(), ConfusionMatrix(classes)
    for maps, target in tested:
        grid = (target.shape[0], target.shape[1])
        matrix.update(target.numpy(), predictor.predict(FeatureMaps(maps, grid)).mask.cpu().numpy())
    values = {"miou": matrix.miou(), "miou_paper": matrix.miou_paper(), "accuracy": matrix.pixel_accuracy()}
    return {name: 100 * value for name, value in values.items()}


def summary(name: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A row of the table: mean ± standard deviation over the seeds."""
    row: dict[str, Any] = {"protocol": name, "seeds": len(runs)}
    for column in ("miou", "miou_paper", "accuracy", "seconds", "cpu_seconds"):
        values = [run[column] for run in runs]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        row[column] = f"{statistics.mean(values):.2f} ± {spread:.2f}"
    return row


def main() -> None:
    """Train, test and report."""
    options = parser(__doc__)
    options.add_argument("data", type=Path, help="folder with train/ and test/")
    options.add_argument(
        "--checkpoint", type=Path, required=True, help="diffusion model, as `fit --checkpoint` takes it"
    )
    options.add_argument("--split", default="test", help="folder of DATA to test on")
    options.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ... of each protocol")
    options.add_argument("--members", type=int, default=10, help="classifiers in the ensemble")
    options.add_argument("--every", type=int, default=1, help="keep every N-th training pixel in both directions")
    options.add_argument("--protocols", nargs="+", default=["default", "paper"], help="which to compare")
    options.add_argument("--work", type=Path, required=True, help="folder for features and finished runs")
    chosen = options.parse_args()
    device = begin(chosen)
    if chosen.quick:
        chosen.seeds, chosen.members, chosen.every = 1, 2, 16
    segmenter = Segmenter(load_backbone("ddpm", chosen.checkpoint), device=device, smoothing=0)
    train = SegmentationFolder(chosen.data / "train")
    tested = tested_maps(segmenter, SegmentationFolder(chosen.data / chosen.split, train.classes))
    pixels = segmenter.pixel_set(Thinned(train, chosen.every), chosen.work / "features")
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen.protocols}
    for seed in range(chosen.seeds):
        for name in chosen.protocols:
            done = chosen.work / f"{name}-{seed}.json"
            if not done.exists():
                begun = time.process_time()
                classifier, history = train_ensemble(
                    pixels,
                    len(train.classes),
                    training_protocol(name),
                    members=chosen.members,
                    seed=seed,
                    device=device,
                    precision=dtype_of(chosen.precision),
                    checkpoint=chosen.work / f"{name}-{seed}.state",
                )
                times = {"seconds": history.seconds, "cpu_seconds": time.process_time() - begun}
                found = score(classifier, tested, len(train.classes))
                write_json(done, {"seed": seed, **times, "batches": history.stopped_at, **found})
            runs[name].append(read_json(done))
            print(name, json.dumps(runs[name][-1]), flush=True)
    rows = [summary(name, found) for name, found in runs.items()]
    settings = {name: asdict(training_protocol(name)) for name in runs}
    title = f"Training protocols, {len(pixels)} pixels of {len(train)} images, {pixels.dim} channels"
    report(title, rows, chosen, runs=runs, protocols=settings)


if __name__ == "__main__":
    main()
