"""The choice of features: the best candidate wins, the same one each time, and a kill costs one candidate."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from frugalseg.backbones import load_backbone
from frugalseg.classifier.protocol import PROTOCOLS
from frugalseg.data.channels import ChannelChoice
from frugalseg.data.folder import SegmentationFolder
from frugalseg.data.toy.dataset import TOY_CLASSES, toy_example
from frugalseg.jobs.choose import describe
from frugalseg.jobs.fit import FitRequest, fit_folder
from frugalseg.segmenter import Segmenter
from frugalseg.selection.candidates import Candidate, candidates_for
from frugalseg.selection.choice import choose, sample
from frugalseg.selection.cost import PIXEL, VALUE, seconds_an_image
from frugalseg.selection.cross_validation import cross_validate
from frugalseg.selection.settings import AUTO, ChoiceSettings
from frugalseg.support.errors import InputError
from frugalseg.support.runs import scratch
from tests.data.helpers import save_image

SMALL = {"native_size": (16, 16)}
BLIND = Candidate("blind", "colour", None, {"native_size": (2, 2)})
SEEING = Candidate("seeing", "colour", None, {"native_size": (48, 48)})
SETTINGS = {"protocol": replace(PROTOCOLS["default"], steps=50), "members": 1, "small_region": 0}


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """Images whose upper or lower part, of another height each time, is red; a color tells the class."""
    folder = tmp_path_factory.mktemp("halves")
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    for number in range(6):
        mask = np.zeros((32, 32), np.uint8)
        mask[8 + 2 * number :] = 1
        mask = mask if number % 2 else mask[::-1]
        image = np.where(mask[..., None] == 1, (200, 30, 30), (30, 30, 200)).astype(np.uint8)
        save_image(folder / "images" / f"{number}.png", image)
        Image.fromarray(np.ascontiguousarray(mask)).save(folder / "masks" / f"{number}.png")
    return folder


def choice_of(dataset, candidates, **options):
    return choose(candidates, dataset, dataset.classes, ChoiceSettings(), SETTINGS, **options)


def test_the_candidate_that_sees_most_wins(halves, tmp_path):
    dataset = SegmentationFolder(halves)
    found = choice_of(dataset, [BLIND, SEEING], work=tmp_path)
    assert found.best == 1 and 1 > found.scores[0].miou < found.scores[1].miou > 0.9
    assert found.scores[1].low <= found.scores[1].miou <= found.scores[1].high
    assert found.images == (6, 6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["score-0.json", "score-1.json"]  # the maps are gone
    # What is finished is taken from the folder: a killed comparison goes on behind it.
    record = json.loads((tmp_path / "score-0.json").read_text())
    (tmp_path / "score-0.json").write_text(json.dumps({**record, "miou": 1.0}))
    assert choice_of(dataset, [BLIND, SEEING], work=tmp_path).best == 0


def test_candidates_see_the_channels_that_were_chosen(halves):
    dataset = SegmentationFolder(halves, channels=(1,))
    found = choice_of(dataset, [SEEING])
    model = Segmenter(load_backbone("colour", native_size=(48, 48)).seeing(1), **SETTINGS)
    assert SEEING.segmenter(SETTINGS, "cpu", dataset.channels).backbone.in_channels == 1
    assert found.scores[0].miou == cross_validate(model, dataset, 3, members=3).miou > 0.9


@pytest.mark.slow  # two whole choices
def test_little_time_is_enough_for_some_of_the_images(halves):
    found = choose(
        [SEEING], (dataset := SegmentationFolder(halves)), dataset.classes, ChoiceSettings(minutes=1e-6), SETTINGS
    )
    assert found.images == (6, 6)  # two a fold are the least
    many = [toy_example(1, index, 16) for index in range(24)]
    few = choose([SEEING], many, TOY_CLASSES, ChoiceSettings(minutes=1e-6), SETTINGS)
    assert few.images == (6, 24)


def test_a_sample_has_as_many_images_as_there_is_time_for_and_the_rare_classes():
    targets = [np.array([[0, 1]], np.uint8)] * 23 + [np.array([[0, 2]], np.uint8)] * 2
    for most in (7, 13, 24):
        for seed in range(5):
            chosen = sample(targets, most, seed)
            assert len(chosen) == most and chosen == sorted(set(chosen))
            assert chosen == sample(targets, most, seed) and {23, 24} & set(chosen)
    assert sample(targets, 25, 0) == list(range(25))


def test_images_without_labels_are_not_compared():
    bare = [replace(toy_example(1, index, 16), target=np.full((16, 16), 255, np.uint8)) for index in range(3)]
    every = [*bare, *(toy_example(1, index, 16) for index in range(6))]
    found = choose([SEEING], every, TOY_CLASSES, ChoiceSettings(), SETTINGS)
    assert found.images == (6, 6)


def test_the_cost_is_that_of_maps_pixels_and_the_networks_arithmetic(tiny_ddpm):
    def seconds(family, checkpoint=None, **options):
        return seconds_an_image(Segmenter(load_backbone(family, checkpoint, **options)), [(40, 60), (20, 30)])

    pixels, seen = (40 * 60 + 20 * 30) / 2, 8 * 12
    assert seconds("colour", native_size=(8, 12)) == pytest.approx(PIXEL * pixels + VALUE * 5 * seen)
    filters = seconds("filters", scales=(1.0,))
    assert filters == pytest.approx(PIXEL * pixels + VALUE * 24 * pixels)
    steps = [seconds("ddpm", tiny_ddpm, timesteps=which, blocks=(1,)) for which in ((50,), (50, 150))]
    assert steps[1] - PIXEL * pixels == pytest.approx(2 * (steps[0] - PIXEL * pixels), rel=1e-6)
    both = seconds("ddpm+filters", tiny_ddpm, timesteps=(50,), blocks=(1,), scales=(1.0,))
    assert steps[0] + filters - PIXEL * pixels == pytest.approx(both, rel=0.6) and both > filters


def test_what_is_compared_depends_on_the_images():
    small, large = (candidates_for([size]) for size in ((100, 100), (900, 1200)))
    assert {each.name for each in large} - {each.name for each in small} == {"ImageNet features, tiled"}
    assert "timm+filters" in {each.family for each in small}
    own = candidates_for([(100, 100)], Candidate("mine", "ddpm", "builtin:toy_ddpm"))
    assert own[0].name == "mine" and own[1:] == small


@pytest.mark.slow
def test_fit_chooses_and_estimates(halves, tmp_path):
    chosen = []
    request = FitRequest(halves, AUTO, None, {}, {"members": 2, "small_region": 0}, folds=3)
    fit_folder(request, tmp_path / "model", compared=chosen.append)
    (choice,) = chosen
    assert choice.scores[0].name == "ImageNet features"
    written = json.loads((tmp_path / "model" / "choice.json").read_text())
    assert written["scores"][choice.best]["miou"] == choice.scores[choice.best].miou
    estimate = json.loads((tmp_path / "model" / "cross_validation.json").read_text())
    assert estimate["interval"][0] <= estimate["miou"] <= estimate["interval"][1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_a_choice_with_other_channels_begins_anew(halves, tmp_path):
    """Its scores are of what the candidates see of the images."""
    dataset = SegmentationFolder(halves)

    def taken_up(channels):
        request = FitRequest(halves, AUTO, None, {}, SETTINGS, channels=channels)
        return scratch(tmp_path / "choice", json.loads(json.dumps(describe(request, dataset, [SEEING]))))

    every = [None, ChannelChoice((1, 2, 3)), ChannelChoice((3, 2, 1)), ChannelChoice((3, 2, 1), (1, 99))]
    assert [(taken_up(each), taken_up(each)) for each in every] == [(False, True)] * 4
    assert "channels" not in describe(FitRequest(halves, AUTO, None, {}, {}), dataset, [SEEING])  # as earlier versions


def test_what_cannot_be_chosen_is_refused(halves, tmp_path):
    with pytest.raises(InputError, match="auto chooses tile; leave it out"):
        fit_folder(FitRequest(halves, AUTO, None, {}, {"tile": True}), tmp_path / "model")
    with pytest.raises(InputError, match="7 folds of 6 annotated images; give from 2 to 6 folds"):
        fit_folder(FitRequest(halves, "colour", None, SMALL, {"members": 1}, folds=7), tmp_path / "model")
    with pytest.raises(InputError, match="7 folds of 6 annotated images"):  # before the comparison
        fit_folder(FitRequest(halves, AUTO, None, {}, {"members": 1}, folds=7), tmp_path / "model")
    for minutes in (0, -1, float("inf"), float("nan"), "soon", None):
        with pytest.raises(InputError, match="minutes"):
            fit_folder(FitRequest(halves, AUTO, None, {"minutes": minutes}, {}), tmp_path / "model")
    assert not list(tmp_path.iterdir())
