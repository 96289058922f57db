"""A model's labels for images of a source, stored shard by shard, by any number of processes and restarts."""

import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from frugalseg.classifier.prediction import PixelPrediction
from frugalseg.model import Model
from frugalseg.segmenter import Segmenter
from frugalseg.support.errors import InputError
from frugalseg.support.progress import Progress, silent
from frugalseg.support.share import Share
from frugalseg.synthetic.reader import SyntheticSet
from frugalseg.synthetic.record import SHARD_SIZE, SetRecord
from frugalseg.synthetic.set_folder import finish, open_set
from frugalseg.synthetic.shard_writer import EncodedSample, LabelledImage, claimed_shard, encode, write_shard
from frugalseg.synthetic.shards import find_index, index_path, shard_path
from frugalseg.synthetic.sources import Picture, Source

log = logging.getLogger(__name__)

LABELLED = 8  # images that a GPU labels at once, however many it draws
ENCODERS = 4  # threads that compress pictures while the network works on the next batch


def generate(
    model: Model,
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
        overwrite: empty `out` first, if it holds something that frugalseg has written.
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


def record_of(model: Model, source: Source, *, batch_size: int, shard_size: int = SHARD_SIZE) -> SetRecord:
    """All that the bytes of a set depend on."""
    if batch_size < 1:
        raise InputError(f"batches of {batch_size}: at least one image is needed")
    settings = {"model": model.fingerprint(), "batch_size": batch_size, "source": source.settings()}
    return SetRecord(len(source), shard_size, settings)


def write_shards(
    model: Model,
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
    mine = share.of(record.shards)
    total = sum(len(record.numbers(number)) for number in mine)
    batch_size, done = int(record.settings["batch_size"]), 0
    with ThreadPoolExecutor(ENCODERS) as encoders:
        for number in mine:
            numbers = record.numbers(number)
            progress("generate", done, total)
            if find_index(out, number, numbers) is None:
                if shard_path(out, number).exists() or index_path(out, number).exists():
                    log.info("shard %d is not whole, or not of these samples: it is made again", number)
                with claimed_shard(out, number, numbers) as file:
                    if file is not None:
                        samples = encoded(model, source, numbers, batch_size, encoders)
                        write_shard(out, number, numbers, told(samples, progress, done, total), file)
            done += len(numbers)
        progress("generate", done, total)


def encoded(
    model: Model, source: Source, numbers: range, batch_size: int, encoders: ThreadPoolExecutor
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


def predictions(model: Model, source: Source, pictures: list[Picture], at_once: int) -> Iterator[PixelPrediction]:
    """What a model says of each picture: from the maps of the pass that drew it, if they are those of its backbone."""
    images = [picture.image for picture in pictures]
    if isinstance(model, Segmenter) and source.maps_of is model.backbone and not model.settings.mirrored_views:
        return model.predict_maps((picture.maps for picture in pictures if picture.maps is not None), images)
    return model.predict_positions(images, batch_size=at_once, probabilities=False)


def labelled_at_once(model: Model, batch_size: int) -> int:
    """Images of a batch that go through the model together.

    Labels take several times the memory of drawing, in float32 and at several diffusion steps. A CPU takes the whole
    batch: other parts round otherwise, and sets of earlier versions could not be continued with the same bytes.
    """
    return batch_size if model.device.type == "cpu" else min(batch_size, LABELLED)


def told(samples: Iterator[EncodedSample], progress: Progress, done: int, total: int) -> Iterator[EncodedSample]:
    """The samples as they are, with a report of each."""
    for number, sample in enumerate(samples, 1):
        yield sample
        progress("generate", done + number, total)
