"""Pages open offline, hold what they were given, and never let a text become markup."""

import io
import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from frugalseg.classifier.prediction import PixelPrediction
from frugalseg.data.toy.dataset import TOY_CLASSES, toy_example
from frugalseg.metrics.evaluation import Evaluation
from frugalseg.report.bar_plots import bars
from frugalseg.report.evaluation_page import Gallery, evaluation_page
from frugalseg.report.page import Cell, Figure, Page, mean_std, per_cent
from frugalseg.report.pictures import mask_picture
from frugalseg.report.plots import LIGHT, Plot, class_bars, class_dots, confusion_grid, curves
from tests.report.reading import Reader, check_offline


@settings(max_examples=20, deadline=None)
@given(text=st.text(min_size=1, max_size=40))
def test_texts_stay_texts(text: str) -> None:
    page = Page(text, lead=text).heading(text).text(text).code(text).tiles({text: text})
    page.table((text, "x"), [(text, Cell(text, best=True))], caption=text, summary=text)
    page.figures((text,), [Figure([np.zeros((2, 2, 3), np.uint8)], [text])])
    expected = Reader(Page("x", lead="x").html()).tags
    reader = check_offline_but_for(text, page.html())
    assert reader.tags[: len(expected) - 1] == expected[:-1]


def check_offline_but_for(text: str, html: str) -> Reader:
    """`check_offline`, for a page whose texts may hold anything."""
    reader = Reader(html)
    reader.pictures()
    assert "script" not in reader.tags
    return reader


def test_markup_in_a_name_is_shown_not_obeyed() -> None:
    reader = check_offline(Page('<script>alert("x")</script> & co').html())
    assert '<script>alert("x")</script> & co' in "".join(reader.words)


def test_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    path = Page("Title").text("first").save(tmp_path / "deep" / "page.html")
    before = path.read_text()
    broken = Page("Title")
    broken.blocks.append(b"no text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        broken.save(path)
    assert path.read_text() == before and [p.name for p in path.parent.iterdir()] == ["page.html"]


def test_a_name_that_is_no_utf8_is_shown_with_a_question_mark(tmp_path: Path) -> None:
    path = Page("x").text(os.fsdecode(b"caf\xe9.png")).save(tmp_path / "page.html")
    assert "caf?.png" in "".join(check_offline(path.read_text(encoding="utf-8")).words)


def test_pictures_keep_the_exact_class_colours() -> None:
    mask = toy_example(3, 0).target
    reader = check_offline(Page("x").figures(["mask"], [Figure([mask_picture(mask, TOY_CLASSES)])]).html())
    shown = np.asarray(reader.pictures()[0].convert("RGB"))
    assert np.array_equal(shown, mask_picture(mask, TOY_CLASSES))


def test_large_photographs_are_made_smaller() -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (900, 1800, 3), dtype=np.uint8)
    reader = check_offline(
        Page("x")
        .figures(
            ["photo"],
            [
                Figure(
                    [
                        photograph,
                    ],
                    ["p"],
                )
            ],
        )
        .html()
    )
    assert reader.pictures()[0].size == (640, 320)


@pytest.mark.parametrize("count", [2, 20])
def test_plots_come_in_light_and_dark(count: int) -> None:
    names = [f"class {k}" for k in range(count)]
    values = np.linspace(0, 1, count)
    values[0] = np.nan
    page = Page("Plots")
    page.plot(class_bars(names, values, "bars"))
    page.plot(class_dots(names, {"a": np.stack([values, values / 2]), "b": values}, "dots"))
    page.plot(confusion_grid(names, np.eye(count), "grid"))
    page.plot(curves({"loss": [3, 2, 1], "mIoU": [[0, 1], [10, 2]]}, "step", "value", "curves"))
    images = check_offline(page.html()).pictures()
    assert len(images) == 8
    for dark, light in zip(images[::2], images[1::2], strict=True):
        assert dark.size == light.size and dark.tobytes() != light.tobytes()
        assert dark.convert("RGBA").getpixel((0, 0))[3] == 0


def test_dollar_signs_in_names_are_no_formulas() -> None:
    for name in ("$\\frac$", "$_$", "US$ and CA$"):
        assert class_bars([name], [0.5], "bars").png(LIGHT) and confusion_grid([name], [[1]], "grid").png(LIGHT)
        assert class_dots(["a"], {name: [[0.5]]}, "dots").png(LIGHT) and bars([name], [0.5], None, "x", "y").png(LIGHT)
    assert class_bars(["$a a$"], [0.5], "bars").png(LIGHT) != class_bars(["$aa$"], [0.5], "bars").png(LIGHT)


ODD_NAMES = {
    "emoji": "\U0001f98a fox",
    "chinese": "\u732b",
    "no utf-8": "caf\udce9",
    "lines": "two\nlines",
    "tab": "a\tb",
    "underscore": "_hidden",
    "long": "a" * 200,
    "wide": "W" * 200,
    "long chinese": "\u732b" * 200,
}


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES.keys())
def test_any_name_is_drawn_without_a_word(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frugalseg.report.plots.DPI", 40)
    names, series = [name, "b"], {f"{name}{number}": [0.5, 0.6] for number in range(3)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert class_bars(names, [0.5, 0.6], "x").png(LIGHT) and bars(names, [0.5, 0.6], None, "x", "y").png(LIGHT)
        assert confusion_grid(names, np.eye(2), "x").png(LIGHT) and class_dots(["a", "b"], series, "x").png(LIGHT)


def test_many_methods_have_room_above_the_plot_of_few_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frugalseg.report.plots.DPI", 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert class_dots(["a"], {f"method {number}": [0.5] for number in range(40)}, "x").png(LIGHT)


def test_a_method_whose_name_begins_with_an_underscore_is_in_the_legend() -> None:
    named, plain = (class_dots(["a"], {"b": [0.5], name: [0.6]}, "x").png(LIGHT) for name in ("_c", " _c"))
    assert named == plain


@pytest.mark.parametrize(("side", "pixels"), [(4.0, 800), (40.96, 4096)])
def test_large_plots_have_fewer_pixels_an_inch(side: float, pixels: int) -> None:
    plot = Plot((side, side), lambda axes, theme: None, "nothing")
    with Image.open(io.BytesIO(plot.png(LIGHT))) as drawn:
        assert drawn.size == (pixels, pixels)


def test_mean_and_spread_in_words() -> None:
    assert mean_std([0.432, 0.448]) == "44.0 ± 1.1"
    assert mean_std([0.432]) == "43.2"
    assert mean_std([]) == "–" and per_cent(None) == per_cent(float("nan")) == "–"
    assert mean_std([0.432, float("nan"), 0.448]) == "44.0 ± 1.1" and mean_std([float("nan")]) == "–"


def evaluated(count: int) -> tuple[Evaluation, Gallery]:
    """An evaluation of masks that get worse from image to image."""
    evaluation, gallery = Evaluation(TOY_CLASSES), Gallery(TOY_CLASSES, each=2, keep=10)
    for index in range(count):
        example = toy_example(4, index)
        mask = example.target.copy()
        mask[: index * 2] = 0
        heat = np.full(mask.shape, 0.01 * index, np.float32)
        found = PixelPrediction(torch.tensor(mask), torch.zeros(1), torch.tensor(heat), 0.01 * index)
        evaluation.add(example, found)
        gallery.see(example, found)
    return evaluation, gallery


def test_gallery_keeps_the_best_and_the_worst_of_many() -> None:
    evaluation, gallery = evaluated(24)
    ranked = sorted(score.miou for score in evaluation.images)
    choice = gallery.choice()
    assert len(gallery.shown) == 10
    assert [shown.score for shown in choice["Worst"]] == ranked[:2]
    assert [shown.score for shown in choice["Best"]] == ranked[-2:][::-1]
    assert len({shown.name for group in choice.values() for shown in group}) == 6


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5])
def test_few_images_are_shown_once(count: int) -> None:
    gallery = evaluated(count)[1]
    names = [shown.name for group in gallery.choice().values() for shown in group]
    assert len(names) == len(set(names)) == min(count, 5)


def test_evaluation_page_says_both_conventions(tmp_path: Path) -> None:
    evaluation, gallery = evaluated(12)
    bare = replace(toy_example(4, 12), target=np.full((48, 48), 255, np.uint8))
    mask = torch.zeros(48, 48, dtype=torch.uint8)
    evaluation.add(bare, PixelPrediction(mask, torch.zeros(1), torch.zeros(48, 48), 0.0))
    path = evaluation_page(evaluation, gallery, facts={"model": "m<b>"}).save(tmp_path / "report.html")
    reader = check_offline(path.read_text(encoding="utf-8"))
    words = " ".join(reader.words)
    assert per_cent(evaluation.confusion.miou()) in words and per_cent(evaluation.confusion.miou_paper()) in words
    assert all(name in words for name in TOY_CLASSES.names) and "m<b>" in words
    assert "12 annotated images, 10 classes." in words
    assert len(reader.pictures()) == 4 + 1 + 5 * 6
