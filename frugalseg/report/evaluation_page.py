"""The page that `frugalseg evaluate` writes."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from frugalseg.metrics.evaluation import Evaluation
from frugalseg.report.page import Figure, Page, per_cent
from frugalseg.report.pictures import Pixels
from frugalseg.report.plots import class_bars, confusion_grid
from frugalseg.report.test_gallery import COLUMNS, Gallery, evaluation_figure, top_uncertainty
from frugalseg.support.text import count

__all__ = ["Gallery", "evaluation_page"]

CONVENTIONS = (
    "mIoU leaves unannotated pixels out and skips classes that occur neither in the truth nor in the prediction. The "
    "paper's counting differs: a prediction on an unannotated pixel enlarges its class's union, and a class that never "
    "occurs counts as 0."
)
INTERVAL = "95 % interval, by resampling the images; it holds if they were taken independently of each other"
UNCERTAINTY = (
    "certain to uncertain, in nats: how much the members of the ensemble disagree (Jensen-Shannon divergence); of a "
    "student, which is one network, the entropy of its answer"
)

DRAWN = (
    "The features of an image are what the network computes while it draws the image again. Where the drawn image "
    "shows something else, the features describe something else, too."
)


def evaluation_page(
    evaluation: Evaluation,
    gallery: Gallery,
    *,
    title: str = "Evaluation",
    facts: Mapping[str, str] | None = None,
    reconstructed: Callable[[Pixels], Pixels | None] | None = None,
) -> Page:
    """Metrics in both conventions, per-class IoU, the confusion matrix, and the best, typical and worst images.

    Args:
        evaluation: what `Segmenter.evaluate` returned.
        gallery: filled during the evaluation, by `Segmenter.evaluate(..., see=gallery.see)`.
        title: heading of the page.
        facts: shown at the end, such as model, data and settings: {what: value}.
        reconstructed: gives what the model's network draws in place of an image to see it, for networks that do.
    """
    annotated = sum(not np.isnan(score.miou) for score in evaluation.images)
    page = Page(title, lead=f"{count(annotated, 'annotated image')}, {len(evaluation.classes)} classes.")
    _metrics(page, evaluation)
    _classes(page, evaluation)
    _pictures(page, evaluation, gallery, reconstructed)
    if facts:
        page.heading("Settings").table(("", "value"), list(facts.items()))
    return page


def _metrics(page: Page, evaluation: Evaluation) -> None:
    confusion, interval = evaluation.confusion, evaluation.interval()
    page.tiles(
        {
            "mIoU, %": per_cent(confusion.miou()),
            "mIoU as the paper counts, %": per_cent(confusion.miou_paper()),
            "pixel accuracy, %": per_cent(confusion.pixel_accuracy()),
        }
    )
    if interval is not None:
        low, high = map(per_cent, interval)
        page.text(f"On other images of the same kind, a mIoU of {low} to {high} % can be expected ({INTERVAL}).")
    page.text(CONVENTIONS)


def _classes(page: Page, evaluation: Evaluation) -> None:
    names = evaluation.classes.names
    shares = np.asarray(evaluation.confusion.class_iou("usual"), dtype=np.float64)
    counts = np.asarray(evaluation.confusion.counts)[: len(names), : len(names)]
    alt = ", ".join(f"{name} {per_cent(share)}" for name, share in zip(names, shares, strict=True))
    page.heading("Classes").plot(class_bars(names, shares, f"IoU of each class in per cent: {alt}"))
    truth, predicted = counts.sum(axis=1), counts.sum(axis=0)
    hits = counts.diagonal()
    rows = [
        (name, per_cent(shares[k]), _share(hits[k], truth[k]), _share(hits[k], predicted[k]), f"{truth[k]:,}")
        for k, name in enumerate(names)
    ]
    header = ("class", "IoU, %", "found, %", "right when predicted, %", "annotated pixels")
    page.table(header, rows, swatches=evaluation.classes, summary="The same as a table, with recall and precision")
    page.heading("What is taken for what").plot(
        confusion_grid(names, counts, "Confusion matrix, per cent of each true class; the table above has the diagonal")
    )
    page.text(
        "Per cent of each true class (a row) that was predicted as each class (a column); shares under 0.5 are blank."
    )


def _share(part: np.int64, whole: np.int64) -> str:
    """Per cent, or a dash of nothing."""
    return per_cent(float(part) / float(whole) if whole else None)


def _pictures(
    page: Page, evaluation: Evaluation, gallery: Gallery, reconstructed: Callable[[Pixels], Pixels | None] | None
) -> None:
    choice = gallery.choice()
    if not choice:
        return
    page.heading("Images").legend(evaluation.classes)
    every = [shown for group in choice.values() for shown in group]
    top = top_uncertainty(every)
    if top is not None:
        page.heat_legend(f"{UNCERTAINTY}; brightest at {top:.2f} and above.")
    for name, group in choice.items():
        page.heading(name, level=3)
        page.figures(COLUMNS, [evaluation_figure(shown, evaluation.classes, top) for shown in group])
    if reconstructed is not None:
        _reconstructions(page, [(shown.name, shown.image, reconstructed(shown.image)) for shown in every])


def _reconstructions(page: Page, every: Sequence[tuple[str, Pixels, Pixels | None]]) -> None:
    """Names, images, and what the network draws in their place, if it does."""
    figures = [Figure([image, drawn], [name]) for name, image, drawn in every if drawn is not None]
    if figures:
        page.heading("What the network draws").text(DRAWN)
        page.figures(("image", "drawn"), figures)
