"""The page of a comparison: the table, the classes, and the same test images through every method."""

from collections.abc import Mapping, Sequence

import numpy as np
import yaml
from numpy.typing import NDArray

from frugalseg.data.channels import viewed
from frugalseg.data.classes import NOT_ANNOTATED
from frugalseg.data.datasets import targets_of
from frugalseg.data.folder import SegmentationFolder
from frugalseg.experiments.data import Datasets
from frugalseg.experiments.networks import TrainingFacts, training_facts
from frugalseg.experiments.published import EXPLANATION
from frugalseg.experiments.recipe import Recipe
from frugalseg.experiments.records import Drawn
from frugalseg.experiments.results import MEASURES, Comparison
from frugalseg.report.evaluation_page import CONVENTIONS, UNCERTAINTY
from frugalseg.report.page import LONGEST_SIDE, Cell, Figure, Page, mean_std, per_cent
from frugalseg.report.pictures import fit_plane_within, fit_within, mask_picture, overlay, uncertainty_map
from frugalseg.report.plots import class_dots

MOST_TRAINING_PICTURES = 60
PICTURE_WIDTH, ROW_WIDTH = 120, 960
"""In pixels. With many methods the pictures become smaller, so that a whole row fits the page."""


def comparison_page(result: Comparison, recipe: Recipe, data: Datasets, drawn: Mapping[str, Drawn]) -> Page:
    """Everything a reader needs to judge a comparison.

    Args:
        result: all runs.
        recipe: shown at the end.
        data: what was trained and tested on.
        drawn: predictions of each method for the first test images, from the run with seed 0.
    """
    train = annotated(data.train)
    page = Page(result.title, lead=headline(result, len(train), len(annotated(data.test))))
    _table(page, result)
    page.text(*([recipe.note] if recipe.note else []), CONVENTIONS, *([EXPLANATION] if result.compares else []))
    _left_out(page, result)
    _test_sets(page, result, data)
    _networks(page, training_facts(recipe))
    _classes(page, result)
    _pictures(page, result, data.test, drawn)
    _training(page, data.train, train)
    page.heading("Recipe").code(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
    return page


def annotated(data: SegmentationFolder) -> list[int]:
    """The numbers of the images that have labels: of the others, nothing can be learned, and nothing said."""
    return [number for number, target in enumerate(targets_of(data)) if (target != NOT_ANNOTATED).any()]


def headline(result: Comparison, train: int, test: int) -> str:
    """The finding in a sentence or two."""
    best, *others = result.ranking()
    said = f"{train} annotated images to learn from, {test} to test on. "
    said += f"Best: {best} with {mean_std(result.values(best, 'miou'))} % mIoU"
    if not others:
        return said + "."
    lead = result.values(best, "miou").mean() - result.values(others[0], "miou").mean()
    return f"{said}, {per_cent(float(lead))} points above the next ({others[0]})."


def _table(page: Page, result: Comparison) -> None:
    best = {name: max(float(result.values(row, name).mean()) for row in result.runs) for name in MEASURES}
    count = max(len(runs) for runs in result.runs.values())
    rows: list[list[str | Cell]] = []
    for row, runs in result.runs.items():
        cells = [
            Cell(mean_std(values), best=float(values.mean()) == best[name])
            for name, values in ((name, result.values(row, name)) for name in MEASURES)
        ]
        each = ", ".join(per_cent(value) for value in result.values(row, "miou"))
        seconds = [np.mean([run.fit_seconds for run in runs]), np.mean([run.evaluate_seconds for run in runs])]
        beside = result.beside_published(row) if result.compares else ()
        rows.append([row, *cells, *beside, each, *(f"{value:.1f}" for value in seconds)])
    measures = (
        *(f"{name}, %" for name in MEASURES.values()),
        *(("published", "difference") if result.compares else ()),
    )
    header = ("method", *measures, "mIoU of each run", "fit, s", "test, s")
    plural = f"mean ± sample standard deviation over {count} runs with different seeds" if count > 1 else "one run"
    caption = f"In per cent, {plural}; seconds a run, on the machine that made this page."
    page.table(header, rows, caption=caption, lead_row=list(result.runs).index(result.ranking()[0]))


def _left_out(page: Page, result: Comparison) -> None:
    if result.left_out:
        rows = [(name, str(result.published.get(name, "–")), words) for name, words in result.left_out.items()]
        page.heading("Methods that were not run").table(("method", "published", "why"), rows)


def _test_sets(page: Page, result: Comparison, data: Datasets) -> None:
    if len(result.tests) < 2:
        return
    rows: list[list[str | Cell]] = []
    for test in result.tests:
        best = result.ranking(test)[0]
        cells = [Cell(mean_std(result.values(row, "miou", test)), best=row == best) for row in result.runs]
        rows.append([f"{test} ({len(annotated(data.tests[test]))} images)", *cells])
    caption = "mIoU in per cent on every test set, by the same runs; the methods are ranked by the first."
    page.heading("Test sets").table(("mIoU, %", *result.runs), rows, caption=caption, lead_row=0)


def _networks(page: Page, networks: Sequence[TrainingFacts]) -> None:
    if not networks:
        return
    rows = [
        (
            facts.place,
            facts.family,
            f"{facts.size[0]}x{facts.size[1]}",
            f"{facts.weights / 1e6:.1f} M",
            f"{facts.images:,}".replace(",", " "),
            "-" if facts.flops is None else f"{facts.flops / 1e15:.3f}",
            f"{facts.seconds / 60:.0f}",
        )
        for facts in networks
    ]
    header = ("network", "family", "image size", "weights", "images seen", "compute, PFLOP", "minutes")
    caption = (
        "What the networks learned from unlabeled images took. Compute: matrix products, convolutions and attention, "
        "forward and backward, two operations a multiply-add; minutes on the machine that trained each."
    )
    page.heading("Pretraining").table(header, rows, caption=caption)


def _classes(page: Page, result: Comparison) -> None:
    names = result.classes.names
    series = {row: result.class_iou(row) for row in result.runs}
    alt = "; ".join(f"{row}: " + ", ".join(_named(names, values)) for row, values in series.items())
    page.heading("Classes").plot(class_dots(names, series, f"IoU of each class in per cent. {alt}"))
    rows = [(name, *(mean_std(series[row][:, k]) for row in series)) for k, name in enumerate(names)]
    page.table(("IoU, %", *series), rows, swatches=result.classes, summary="The same as a table")


def _named(names: Sequence[str], values: NDArray[np.float64]) -> list[str]:
    """``name 43.2`` for each class."""
    return [f"{name} {per_cent(float(value))}" for name, value in zip(names, values.mean(axis=0), strict=True)]


def _pictures(page: Page, result: Comparison, test: SegmentationFolder, drawn: Mapping[str, Drawn]) -> None:
    count = min(map(len, drawn.values()))
    if count == 0:
        return
    table = result.classes
    tops = {row: float(np.quantile(np.concatenate([h.ravel() for _, h in drawn[row][:count]]), 0.995)) for row in drawn}
    # The best method that has an uncertainty; a single network has none, as it cannot disagree with itself.
    doubting = next((row for row in result.ranking() if tops[row] > 1e-3), None)
    page.heading("Test images").text(
        f"The first {count} test images, without any selection, as the run with seed 0 segments them."
    ).legend(table)
    if doubting is not None:
        page.heat_legend(f"{doubting}, {UNCERTAINTY}; brightest at {tops[doubting]:.2f} and above.")
    rows = []
    for number in range(count):
        example = test[number]
        image = fit_within(viewed(example.image), LONGEST_SIDE)
        # Smaller by their nearest pixels: means of colors would be no colors of classes.
        planes = [example.target, *(found[number][0] for found in drawn.values())]
        masks = [mask_picture(fit_plane_within(mask, LONGEST_SIDE), table) for mask in planes]
        heat = []
        if doubting is not None:
            heat.append(uncertainty_map(fit_plane_within(drawn[doubting][number][1], LONGEST_SIDE), tops[doubting]))
        rows.append(Figure([image, *masks, *heat], [example.name]))
    columns = ["image", "truth", *drawn, *(["uncertainty"] if doubting is not None else [])]
    page.figures(columns, rows, width=min(PICTURE_WIDTH, ROW_WIDTH // len(columns)))


def _training(page: Page, train: SegmentationFolder, numbers: Sequence[int]) -> None:
    shown = numbers[:MOST_TRAINING_PICTURES]
    page.heading("All that was annotated")
    if len(shown) < len(numbers):
        page.text(f"The first {len(shown)} of {len(numbers)} training images.")
    drawn = {}
    for example in (train[number] for number in shown):
        picture = overlay(example.image, example.target, train.classes, alpha=0.6)
        drawn[example.name] = fit_within(picture, LONGEST_SIDE)  # whole ones of many large images would fill the memory
    page.strip(drawn)
