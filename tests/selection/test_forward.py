"""The choice of taps: it finds the one that tells, says what it did, goes on after a kill, and is fitted as it is."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from frugalseg import Segmenter, load_backbone
from frugalseg.classifier.protocol import PROTOCOLS
from frugalseg.data.classes import ClassTable
from frugalseg.data.folder import SegmentationFolder
from frugalseg.data.toy.dataset import TOY_CLASSES, toy_example
from frugalseg.jobs.fit import FitRequest, fit_folder
from frugalseg.selection.forward import TapChooser, choose_places
from frugalseg.selection.places import InPasses, candidate_places, every_place, passes_of, places_of, taps_at, words
from frugalseg.support.errors import InputError
from tests.cli.helpers import mistake

QUICK = replace(PROTOCOLS["default"], steps=20)
SETTINGS = {"protocol": QUICK, "members": 1, "smoothing": 0}
STEPS = {"timesteps": (50, 900), "blocks": (1, 2)}


def chooser_of(backbone, given, work=None, count=6, **settings):
    data = [toy_example(3, index, 16) for index in range(count)]
    return TapChooser(Segmenter(backbone, **SETTINGS, **settings), data, TOY_CLASSES, given, work)


def test_what_is_chosen_among(tiny_ddpm):
    backbone = load_backbone("ddpm", tiny_ddpm)
    assert every_place(backbone, {})["blocks"] == (0, 1, 2, 3)
    free = candidate_places(backbone, {})
    assert set(free["timesteps"]) >= {0, 50, 150, 250} and len(free["timesteps"]) < 11
    given = {"blocks": (2, 1)}
    own = load_backbone("ddpm", tiny_ddpm, **given)
    assert candidate_places(own, given)["blocks"] == (2, 1)
    assert [tap.name for tap in taps_at(own.taps, {"blocks": (1,), "timesteps": (50, 150)})] == [
        "t50.block1",
        "t150.block1",
    ]
    assert passes_of(own, {"timesteps": (1, 2), "blocks": (3,)}) == [
        {"timesteps": (1,), "blocks": (3,)},
        {"timesteps": (2,), "blocks": (3,)},
    ]
    single = load_backbone("ddpm", tiny_ddpm, timesteps=(50,), blocks=(1,))
    with pytest.raises(InputError, match="timesteps 50 blocks 1 is all there is to choose from"):
        candidate_places(single, {"timesteps": (50,), "blocks": (1,)})
    with pytest.raises(InputError, match="colour backbone has no options to choose among"):
        candidate_places(load_backbone("colour"), {})


def test_pass_by_pass_the_maps_are_the_same(tiny_ddpm):
    segmenter = Segmenter(load_backbone("ddpm", tiny_ddpm, timesteps=(50, 150, 300), blocks=(0, 3)), **SETTINGS)
    image = [torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))]
    whole, parts = segmenter.features(image), InPasses(segmenter)(image)
    assert len(InPasses(segmenter).parts) == 3 and parts.size == whole.size
    for one, other in zip(parts.maps, whole.maps, strict=True):
        assert one.dtype == torch.float16 and torch.allclose(one.float(), other, atol=2e-3 * float(other.std()))


def test_the_choice_adds_what_helps_and_a_kill_changes_nothing(tmp_path):
    """Filters of a large scale see little of images of 16 pixels: small scales are chosen."""
    given = {"scales": (0.7, 8.0)}
    backbone = load_backbone("filters", **given)
    said = []

    class Told:
        def __call__(self, stage, done, total):
            pass

        def line(self, text):
            said.append(text)

    def choice_in(folder):
        chooser = chooser_of(backbone, given, folder)
        return chooser.choose(chooser.extraction(), Told())

    choice = choice_in(tmp_path)
    assert [step.what for step in choice.steps] == [text.split(":")[0] for text in said]
    scores = [step.score.miou for step in choice.steps]
    assert all(later >= earlier + 0.003 for earlier, later in pairwise(scores))
    assert choice.places == (choice.steps[-1].places if choice.improves else given)
    assert choice.improves == (choice.certainty >= 0.95)
    assert f"chosen: {words(choice.places)}" in str(choice) and "on other folds" in str(choice)
    assert json.loads(json.dumps(choice.to_json()))["images"] == [6, 6]
    # Scores that are there already are not computed again, and lead to the same choice.
    for file in sorted(tmp_path.glob("score-*.json"))[::2]:
        file.unlink()
    assert str(choice_in(tmp_path)) == str(choice)


def test_a_sample_of_many_images_is_compared(monkeypatch):
    monkeypatch.setattr("frugalseg.selection.forward.MOST_IMAGES", 4)
    given = {"scales": (0.7, 1.6)}
    chooser = chooser_of(load_backbone("filters", **given), given, count=7)
    assert len(chooser.images) == 4 == len(chooser.targets) and chooser.labelled == 7
    for number, target in zip(chooser.images, chooser.targets, strict=True):
        assert np.array_equal(target, toy_example(3, number, 16).target)
    assert {place.image for place in chooser.extraction().windows} == {0, 1, 2, 3}


def test_the_time_grows_with_the_candidates(tiny_ddpm):
    few, many = (
        chooser_of(load_backbone("ddpm", tiny_ddpm, **given), given).seconds()
        for given in (STEPS, {**STEPS, "timesteps": (50, 300, 900)})
    )
    assert 0 < few < many


def test_a_model_with_the_chosen_options_is_fitted_on_the_maps_of_the_choice(toy_train, tiny_ddpm, tmp_path):
    seen, chosen = [], []
    # Few steps: a step of diffusion that is computed beside others is rounded differently, and training enlarges that.
    settings = {**SETTINGS, "protocol": replace(PROTOCOLS["default"], steps=5)}
    request = FitRequest(toy_train, "ddpm", str(tiny_ddpm), STEPS, settings, folds=2, choose=True)
    fitted = fit_folder(request, tmp_path / "model", compared=chosen.append, progress=lambda *said: seen.append(said))
    (choice,) = chosen
    assert places_of(fitted.backbone.taps) == choice.places
    again = Segmenter.from_pretrained(tmp_path / "model")
    assert places_of(again.backbone.taps) == choice.places
    written = json.loads((tmp_path / "model" / "choice.json").read_text())
    assert written["options"]["blocks"] == list(choice.places["blocks"])
    # All images went through the network for the choice, and not once more for the folds or the fit.
    assert [done for stage, done, total in seen if stage == "features" and done < total] == [0, 1, 2, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
    by_hand = Segmenter(load_backbone("ddpm", tiny_ddpm, **choice.places), **settings)
    by_hand.fit(SegmentationFolder(toy_train))
    assert torch.allclose(by_hand.classifier.linear1.weight, again.classifier.linear1.weight, atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"segmenter": None}, "None is no Segmenter"),
        ({"classes": 5}, "classes is 5; give a ClassTable"),
        ({"work": 5}, "is no work folder"),
        ({"given": [1]}, r"given \[1\]: give values by the name of their option"),
        ({"given": {"scalez": (1.0,)}}, "given 'scalez': no option by which taps of filters are chosen; it has scales"),
        ({"given": {"scales": (5.0,)}}, r"the backbone reads scales 0.7,8.0; load it with the values to compare"),
        ({"given": {"scales": "0.7"}}, "given scales '0.7'"),
        ({"given": {"scales": np.array(0.7)}}, "given scales 0.7: the backbone reads scales 0.7,8.0"),
        ({"given": {"scales": np.array([[0.7, 8.0]])}}, r"given scales \[\[0.7, 8.0\]\]: the backbone reads"),
    ],
)
def test_wrong_arguments_of_choose_places(wrong, line):
    segmenter = Segmenter(load_backbone("filters", scales=(0.7, 8.0)), **SETTINGS)
    data = [toy_example(3, index, 16) for index in range(2)]
    with pytest.raises(InputError, match=line):
        choose_places(**{"segmenter": segmenter, "dataset": data, "classes": TOY_CLASSES, **wrong})


def test_a_changed_score_is_named(tmp_path):
    given = {"scales": (0.7, 8.0)}
    chooser = chooser_of(load_backbone("filters", **given), given, tmp_path, count=2)
    chooser.choose(chooser.extraction())
    for file in tmp_path.glob("score-*.json"):
        file.write_text('{"name": "x", "miou": 1.5, "low": 0, "high": 1}')
    chooser = chooser_of(load_backbone("filters", **given), given, tmp_path, count=2)
    with pytest.raises(InputError, match=r"score-.*\.json: a damaged part of a result"):
        chooser.choose(chooser.extraction())


def test_a_folder_that_was_used_before_gives_no_other_choice(tmp_path):
    settings = {**SETTINGS, "protocol": replace(QUICK, steps=2)}
    segmenter = Segmenter(load_backbone("filters", scales=(0.7, 8.0)), **settings)
    one, other = ([toy_example(seed, index, 16) for index in range(2)] for seed in (3, 4))
    first, second = (choose_places(segmenter, images, classes=TOY_CLASSES, work=tmp_path) for images in (one, other))
    assert second.to_json() == choose_places(segmenter, other, classes=TOY_CLASSES).to_json() != first.to_json()
    # What is kept of the first is taken up again.
    assert choose_places(segmenter, one, classes=TOY_CLASSES, work=tmp_path).to_json() == first.to_json()
    assert len([*tmp_path.iterdir()]) == 2


def test_candidates_that_json_does_not_know_and_other_classes_have_folders_of_their_own(tmp_path):
    settings = {**SETTINGS, "protocol": replace(QUICK, steps=2)}
    segmenter = Segmenter(load_backbone("filters", scales=(1.0, 8.0)), **settings)
    images = [toy_example(3, index, 16) for index in range(2)]
    given = [
        {"scales": values} for values in ((1.0, 8.0), np.array([1, 8]), [np.int64(1), np.int64(8)], range(1, 9, 7))
    ]
    found = [choose_places(segmenter, images, classes=TOY_CLASSES, given=each, work=tmp_path) for each in given]
    assert len({str(each) for each in found}) == len([*tmp_path.iterdir()]) == 1
    names = (*TOY_CLASSES.names, "unseen")
    more = ClassTable((*TOY_CLASSES.ids, 99), names, (*TOY_CLASSES.colors, (1, 2, 3)))
    kept = choose_places(segmenter, images, classes=more, given=given[0], work=tmp_path)
    assert kept.to_json() == choose_places(segmenter, images, classes=more, given=given[0]).to_json()
    assert len([*tmp_path.iterdir()]) == 2


def test_the_time_is_told_for_images_of_any_number_of_channels():
    given = {"scales": (0.7, 8.0)}
    assert chooser_of(load_backbone("filters", **given).seeing(1), given).seconds() > 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--backbone colour", "no options to choose among"),
        ("--backbone auto", "--choose: name the backbone"),
        ("--backbone filters --scales 1", "scales 1.0 is all there is to choose from"),
    ],
)
def test_where_nothing_can_be_chosen_one_line_says_so(words, line, toy_train, tmp_path, capsys):
    out = tmp_path / "model"
    assert line in mistake("fit", toy_train, *words.split(), "--choose", "-o", out, "--device", "cpu", capsys=capsys)
    assert not out.exists()
