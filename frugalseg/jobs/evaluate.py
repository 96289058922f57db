"""A model compared with annotated images: metrics.json and a page with pictures."""

from pathlib import Path

from frugalseg.data.folder import SegmentationFolder, check_annotated
from frugalseg.metrics.evaluation import Evaluation
from frugalseg.model import model_folder
from frugalseg.segmenter import load_model
from frugalseg.support.files import write_json
from frugalseg.support.folders import spare_inputs
from frugalseg.support.progress import Progress, silent
from frugalseg.support.records import stamps
from frugalseg.support.runs import open_run


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
        data: a data folder whose classes are the model's.
        out: gets ``metrics.json`` and ``index.html``; None writes nothing.
        device: where to run.
        batch_size: see `MaskPredictor.predict`.
        overwrite: replace `out` if it holds something else.
        progress: told of each image.

    Raises:
        InputError: the model or the data cannot be read, their classes differ, or no pixel is annotated.
    """
    if out is not None:
        spare_inputs(out, model, data)
    predictor = load_model(model, device=device)
    dataset = SegmentationFolder(data, predictor.classes)
    check_annotated(dataset, progress)
    if out is not None:
        weights = model_folder(model) / predictor.weights_file
        open_run(out, {"command": "evaluate", "model": stamps([weights]), "data": str(data)}, overwrite)
    if out is None:
        return predictor.evaluate(dataset, batch_size=batch_size, progress=progress)
    from frugalseg.report.evaluation_page import Gallery, evaluation_page

    gallery = Gallery(predictor.classes)
    evaluation = predictor.evaluate(dataset, batch_size=batch_size, see=gallery.see, progress=progress)
    write_json(out / "metrics.json", evaluation.metrics())
    evaluation_page(evaluation, gallery, title=f"{Path(model).name} on {data.name}").save(out / "index.html")
    return evaluation
