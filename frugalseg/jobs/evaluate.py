"""A model compared with annotated images: metrics.json and a page with pictures."""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.catalogue.names import test_images
from frugalseg.data.folder import SegmentationFolder, check_annotated
from frugalseg.data.opened import KEPT, OpenedFolder
from frugalseg.metrics.evaluation import Evaluation
from frugalseg.model import Model, model_folder
from frugalseg.models import load_model
from frugalseg.support.files import write_json
from frugalseg.support.folders import spare_inputs
from frugalseg.support.marks import RECORD
from frugalseg.support.progress import Progress, silent
from frugalseg.support.records import Record
from frugalseg.support.runs import own_folder, require_ready


def evaluate_folder(
    model: Path,
    data: Path,
    out: Path | None,
    *,
    device: str = "cpu",
    batch_size: int = 1,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Evaluate a saved model on a data folder.

    Args:
        model: folder of a saved model, or a Hub id.
        data: a data folder whose classes are the model's. A published benchmark stands for its test images.
        out: gets ``metrics.json`` and ``index.html``; None writes nothing.
        device: where to run.
        batch_size: see `Model.predict`.
        overwrite: replace `out` if it holds something that frugalseg has written.
        progress: told of each image.

    Raises:
        InputError: the model or the data cannot be read, their classes differ, no pixel is annotated, the model reads
            no images and its network did not draw these, or another run is at work in `out`.
    """
    if out is not None:
        spare_inputs(out, model, data)
    data, folder = test_images(data), model_folder(model)
    predictor = load_model(folder, device=device)
    dataset = SegmentationFolder(OpenedFolder.of(data, keep=KEPT, channels=predictor.channels), predictor.classes)
    predictor.require_readable(dataset)
    if out is None:
        check_annotated(dataset, progress)
        return predictor.evaluate(dataset, batch_size=batch_size, progress=progress)
    command = {"command": "evaluate", **predictor.stamps(folder, Record(out / RECORD)), "data": str(data)}
    require_ready(out, command, overwrite)  # before all data is read
    check_annotated(dataset, progress)
    title = " on ".join(place.name or place.resolve().name for place in (Path(model), data))  # "." has none
    with own_folder(out, command, overwrite):
        return evaluated(predictor, dataset, out, title, batch_size, progress)


def reconstructed(predictor: Model, image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """(h, w, 3) uint8: what the network of a model draws in place of an image, (H, W, 3); None if it draws none."""
    found = predictor.reconstructions([image])
    if found is None:
        return None
    drawn: NDArray[np.uint8] = (found[1, 0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return drawn


def evaluated(
    predictor: Model, dataset: SegmentationFolder, out: Path, title: str, batch_size: int, progress: Progress
) -> Evaluation:
    """The evaluation, with its ``metrics.json`` and its page written to `out`."""
    from frugalseg.report.evaluation_page import Gallery, evaluation_page

    gallery = Gallery(predictor.classes)
    evaluation = predictor.evaluate(dataset, batch_size=batch_size, see=gallery.see, progress=progress)
    write_json(out / "metrics.json", evaluation.metrics())
    again = partial(reconstructed, predictor) if predictor.looks_at(dataset) else None
    page = evaluation_page(evaluation, gallery, title=title, reconstructed=again)
    page.save(out / "index.html")
    return evaluation
