"""A model's labels for images of a source, stored shard by shard, by any number of processes and restarts."""

import hashlib
import logging
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from frugalseg.classifier.prediction import PixelPrediction
from frugalseg.model import MaskPredictor
from frugalseg.segmenter import Segmenter
from frugalseg.support.errors import InputError
from frugalseg.support.progress import Progress, silent
from frugalseg.synthetic.drawn import weights_fingerprint
from frugalseg.synthetic.reader import SyntheticSet
from frugalseg.synthetic.record import RECORD, SHARD_SIZE, SetRecord
from frugalseg.synthetic.set_gallery import gallery_page
from frugalseg.synthetic.shards import (
    EncodedSample,
    LabelledImage,
    ShardFolder,
    alone,
    claimed,
    encode,
    find_index,
    index_path,
    shard_path,
    write_shard,
)
from frugalseg.synthetic.sources import Picture, Source

log = logging.getLogger(__name__)

LOG = "generate.log"
PAGE = "index.html"
LABELLED = 8  # images that a GPU labels at once, however many it draws
ENCODERS = 4  # threads that compress pictures while the network works on the next batch


@dataclass(frozen=True)
class Share:
    """Which shards a process writes: of every `processes` shards the one at `rank`."""

    rank: int = 0
    processes: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.processes:
            raise InputError(f"process {self.rank} of {self.processes}: RANK is from 0 to below WORLD_SIZE")


def generate(
    model: MaskPredictor,
    source: Source,
    out: str | Path,
    *,
    batch_size: int = 8,
    shard_size: int = SHARD_SIZE,
    overwrite: bool = False,
    progress: Progress = silent,
) -> SyntheticSet:
    """Label images of a source and store them; what an earlier call has stored is kept.

    Args:
        model: labels the images and says how uncertain it is.
        source: `GeneratedImages` or `Photographs`.
        out: folder of the set.
        batch_size: images drawn at once; batches never reach from one shard into the next. They are labelled at once,
            too, on a GPU `LABELLED` at a time.
        shard_size: images a shard.
        overwrite: empty `out` first, whatever it holds.
        progress: told of each image.

    Raises:
        InputError: `out` holds something else, or a set made with other settings.
    """
    out = Path(out)
    record = record_of(model, source, batch_size=batch_size, shard_size=shard_size)
    open_set(out, record, model, overwrite=overwrite)
    write_shards(model, source, record, out, progress=progress)
    finish(out, record)
    return SyntheticSet(out)


def record_of(model: MaskPredictor, source: Source, *, batch_size: int, shard_size: int = SHARD_SIZE) -> SetRecord:
    """All that the bytes of a set depend on."""
    if batch_size < 1:
        raise InputError(f"batches of {batch_size}: at least one image is needed")
    settings = {"model": fingerprint(model), "batch_size": batch_size, "source": source.settings()}
    return SetRecord(len(source), shard_size, settings)


def fingerprint(model: MaskPredictor) -> str:
    """16 hexadecimal digits that change with all that a model's labels depend on: weights, classes, settings."""
    parts = vars(model)
    plain = [parts.get(name) for name in ("settings", "view", "native")]
    digest = hashlib.sha256(repr((model.classes, plain)).encode())
    for name in sorted(parts):
        if isinstance(parts[name], nn.Module):
            settings = getattr(parts[name], "settings", None)
            digest.update(f"{name} {settings} {weights_fingerprint(parts[name])}".encode())
    return digest.hexdigest()[:16]


def open_set(out: Path, record: SetRecord, model: MaskPredictor, *, overwrite: bool = False) -> None:
    """Make a folder ready for a set: an empty one gets its record, one of the same settings is taken up.

    Raises:
        InputError: it holds something else, a set of other settings, or samples beyond the count that is asked for.
    """
    if out.is_file():
        raise InputError(f"{out}: a file of that name is in the way; choose another output folder")
    if overwrite:
        shutil.rmtree(out, ignore_errors=True)
    elif out.is_dir() and not (out / RECORD).is_file() and any(foreign(path) for path in out.iterdir()):
        raise InputError(f"{out}: holds something else; choose another folder or add --overwrite")
    out.mkdir(parents=True, exist_ok=True)
    with alone(out):
        if (out / RECORD).is_file():
            there = SetRecord.read(out)
            check_same(out, there, record)
            if there.count != record.count:
                (out / PAGE).unlink(missing_ok=True)  # it would show the smaller set
        model.classes.to_json(out / "classes.json")
        record.write(out)


def foreign(path: Path) -> bool:
    """Whether a file is none of those that stand in a folder before its record does."""
    return path.name not in ("classes.json", LOG) and not path.name.startswith(".")


def check_same(out: Path, there: SetRecord, here: SetRecord) -> None:
    """`InputError` unless a set can be continued as asked; it may grow."""
    different = there.difference(here)
    if different is not None:
        raise InputError(
            f"{out}: holds a set made otherwise ({different}); choose another folder, the same settings or --overwrite"
        )
    if here.count >= there.count:
        return
    for number in range(here.count // here.shard_size, there.shards):
        if here.numbers(number) != there.numbers(number) and shard_path(out, number).exists():
            raise InputError(
                f"{out}: holds more than {here.count} images already, of {there.count}; ask for more of them"
            )


def write_shards(
    model: MaskPredictor,
    source: Source,
    record: SetRecord,
    out: Path,
    *,
    share: Share | None = None,
    progress: Progress = silent,
) -> None:
    """Write those shards of a process's share that are not there yet, or not whole.

    Args:
        model: labels the images.
        source: of the images.
        record: of the set.
        out: folder of the set, from `open_set`.
        share: which shards; all without it.
        progress: told of each image.
    """
    share = share or Share()
    mine = range(share.rank, record.shards, share.processes)
    total = sum(len(record.numbers(number)) for number in mine)
    batch_size, done = int(record.settings["batch_size"]), 0
    with ThreadPoolExecutor(ENCODERS) as encoders:
        for number in mine:
            numbers = record.numbers(number)
            progress("generate", done, total)
            if find_index(out, number, numbers) is None:
                if shard_path(out, number).exists() or index_path(out, number).exists():
                    log.info("shard %d is not whole, or not of these samples: it is made again", number)
                with claimed(out, number, numbers) as file:
                    if file is not None:
                        samples = encoded(model, source, numbers, batch_size, encoders)
                        write_shard(out, number, numbers, told(samples, progress, done, total), file)
            done += len(numbers)
        progress("generate", done, total)


def encoded(
    model: MaskPredictor, source: Source, numbers: range, batch_size: int, encoders: ThreadPoolExecutor
) -> Iterator[EncodedSample]:
    """The samples of a shard, encoded in the background while the next batch is drawn and labelled."""
    waiting: list[Future[EncodedSample]] = []
    at_once = labelled_at_once(model, batch_size)
    for start in range(0, len(numbers), batch_size):
        pictures = source.pictures(numbers[start : start + batch_size])
        found = predictions(model, source, pictures, at_once)
        under_way = waiting
        waiting = []
        for picture, labels in zip(pictures, found, strict=True):
            target = labels.mask.cpu().numpy().astype(np.uint8)
            uncertainty = float(labels.image_uncertainty)
            sample = LabelledImage(
                picture.number, picture.image, target, uncertainty, seed=picture.origin, source=picture.source
            )
            waiting.append(encoders.submit(encode, sample, model.classes))
        yield from (future.result() for future in under_way)
    yield from (future.result() for future in waiting)


def predictions(
    model: MaskPredictor, source: Source, pictures: list[Picture], at_once: int
) -> Iterator[PixelPrediction]:
    """What a model says of each picture: from the maps of the pass that drew it, if they are those of its backbone."""
    if isinstance(model, Segmenter) and source.maps_of is model.backbone:
        return model.predict_maps(picture.maps for picture in pictures if picture.maps is not None)
    return model.predict_positions([picture.image for picture in pictures], batch_size=at_once)


def labelled_at_once(model: MaskPredictor, batch_size: int) -> int:
    """Images of a batch that go through the model together.

    Labels take several times the memory of drawing, in float32 and at several diffusion steps. A CPU takes the whole
    batch: other parts round otherwise, and sets of earlier versions could not be continued with the same bytes.
    """
    device: torch.device = model.device  # type: ignore[attr-defined]
    return batch_size if device.type == "cpu" else min(batch_size, LABELLED)


def told(samples: Iterator[EncodedSample], progress: Progress, done: int, total: int) -> Iterator[EncodedSample]:
    """The samples as they are, with a report of each."""
    for number, sample in enumerate(samples, 1):
        yield sample
        progress("generate", done + number, total)


def finish(out: Path, record: SetRecord) -> bool:
    """Write the page of a set that is complete; False where other processes are still at work on it.

    Raises:
        InputError: there are no samples at all: not one photograph could be read.
    """
    with alone(out):
        if any(find_index(out, n, record.numbers(n), thorough=False) is None for n in range(record.shards)):
            return False
        for left in out.glob(".shard-*"):
            left.unlink()
        if (out / PAGE).is_file():
            return True
        found = ShardFolder(out)
        if not len(found):
            raise InputError(f"not one of the {record.count} images could be read; {out / LOG} names the reasons")
        gallery_page(found, record).save(out / PAGE)
    return True
