"""The maps of a combination are those of its parts, each of which sees the image as it does alone."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from frugalseg import Segmenter, load_backbone
from frugalseg.backbones import load_saved_backbone
from frugalseg.backbones.combined.backbone import WHOLE, CombinedBackbone
from frugalseg.backbones.registry import FAMILIES, register
from frugalseg.classifier.protocol import PROTOCOLS
from frugalseg.data.folder import SegmentationFolder
from frugalseg.features.windows import cut
from frugalseg.selection.cross_validation import cross_validate
from frugalseg.support.damage import DamagedError
from frugalseg.support.errors import InputError
from tests.backbones.battery import BackboneChecks
from tests.backbones.new_family import FAMILY
from tests.tiny_models import backbone as tiny
from tests.tiny_models import save_timm

QUICK = replace(PROTOCOLS["default"], steps=20)
FILTERS = {"scales": (0.7, 1.5), "kinds": ("gaussian", "structure")}


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def parts(tiny_ddpm, tmp_path_factory):
    """A network of 16x16 images, one of 32x32, filters at the image's own resolution, and colors."""
    folder = tmp_path_factory.mktemp("parts")
    return {
        "ddpm": tiny("ddpm", folder / "ddpm", tiny_ddpm),
        "timm": tiny("timm", folder / "timm", tiny_ddpm),
        "filters": load_backbone("filters", **FILTERS),
        "colour": load_backbone("colour", native_size=(24, 24)),
    }


@pytest.fixture(scope="module")
def combined(parts):
    return CombinedBackbone([parts[name] for name in ("ddpm", "filters", "timm")]).eval()


def seen(backbone, image, **how):
    """The maps of an image, as a model on this backbone computes them: those of its only window."""
    (window,) = backbone.windows(image.shape[:2], backbone.native_size, **how)
    return backbone(cut(image, window)[None], surrounded=True).maps


class TestBattery(BackboneChecks):
    smallest = 20

    @pytest.fixture(scope="class")
    def backbone(self, parts):
        return CombinedBackbone([parts[name] for name in ("filters", "ddpm")]).requires_grad_(False).eval()


@pytest.mark.parametrize("size", [(40, 26), (16, 16), (12, 50), (32, 32)])
def test_the_maps_are_those_of_the_parts_alone(size, combined, parts):
    image = picture(*size)
    found, expected = seen(combined, image, tile=False), []
    for part in combined.each:
        expected += seen(part, image, tile=part.own_resolution)
    assert [values.shape[2:] for values in found] == combined.map_sizes(size)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert [tap.name for tap in combined.taps] == [
        f"{name}.{tap.name}" for name in ("ddpm", "filters", "timm") for tap in parts[name].taps
    ]


def test_in_windows_the_parts_see_the_window_and_filters_what_lies_around_it(combined, parts):
    image = picture(70, 50)
    every = combined.windows((70, 50), combined.native_size, tile=True, overlap=0.25)
    assert {window.size for window in every} == {parts["timm"].native_size}  # the largest that a part knows
    (whole,) = parts["filters"].windows((70, 50), (384, 384), tile=True)
    filtered = parts["filters"](cut(image, whole)[None], surrounded=True).maps
    for window in every:
        found = combined(cut(image, window)[None], surrounded=True).maps
        for values, expected in zip(found[1:3], filtered, strict=True):
            rows, columns = (min(side, end) for side, end in zip(window.size, (70 - window.top, 50), strict=True))
            part = expected[..., window.top : window.top + rows, window.left : window.left + columns]
            assert torch.equal(values[..., : part.shape[2], : part.shape[3]], part)
        content = torch.from_numpy(image[window.area]).permute(2, 0, 1)[None] / 255
        if content.shape[2:] == window.size:
            assert torch.equal(found[3], parts["timm"](content).maps[0])


def test_small_images_are_filled_up_so_that_all_windows_are_seen_alike(combined):
    (window,) = combined.windows((9, 50), combined.native_size, tile=True, overlap=0)[:1]
    assert window.size == window.network == combined.native_size


def test_large_images_are_reduced_before_the_parts_see_them(combined):
    (window,) = combined.windows((6000, 8000), combined.native_size, tile=False)
    height, width = window.network
    assert window.size == (6000, 8000) and height / width == pytest.approx(0.75, abs=1e-3)
    assert height * width == pytest.approx(WHOLE[0] * WHOLE[1], rel=2e-3)
    (as_it_is,) = combined.windows(WHOLE, combined.native_size, tile=False)
    assert as_it_is.network == WHOLE


def test_parts_that_all_see_images_as_they_are_give_the_same_through_any_windows(parts, monkeypatch):
    other = type("Other", (type(parts["filters"]),), {"family": "other"})(scales=(1.0,))
    monkeypatch.setitem(FAMILIES, "other", FAMILY)
    both = CombinedBackbone([parts["filters"], other])
    assert both.own_resolution and both.margin == parts["filters"].margin > other.margin
    image = picture(60, 40)
    (whole,) = both.windows((60, 40), both.native_size, tile=True)
    expected = both(cut(image, whole)[None], surrounded=True).maps
    for window in both.windows((60, 40), (16, 24), tile=True):
        found = both(cut(image, window)[None], surrounded=True).maps
        assert all(torch.equal(a, b[(..., *window.area)]) for a, b in zip(found, expected, strict=True))


def test_a_model_learns_predicts_and_is_loaded_again(combined, toy_train, toy_test, tmp_path):
    data, images = SegmentationFolder(toy_train), [picture(30, 40), picture(64, 64)]
    for settings in ({}, {"tile": True}):
        model = Segmenter(combined, members=2, protocol=QUICK, **settings).fit(data)
        model.save_pretrained(tmp_path / "model")
        again = Segmenter.from_pretrained(tmp_path / "model")
        assert again.fingerprint() == model.fingerprint()
        for a, b in zip(model.predict(images), again.predict(images), strict=True):
            assert np.array_equal(a.mask, b.mask) and np.array_equal(a.probabilities, b.probabilities)
        assert 0 < model.evaluate(toy_test).metrics()["miou"] <= 1
        assert 0 < cross_validate(model, data, 2).miou <= 1
    assert sorted(path.name for path in (tmp_path / "model" / "backbone").iterdir()) == [
        "backbone.json",
        "ddpm",
        "filters",
        "timm",
    ]


def test_one_part_adds_to_the_other(parts, toy_train):
    """A classifier of both parts is that of the concatenated features: it knows what either of them knows."""
    data = SegmentationFolder(toy_train)
    both = CombinedBackbone([parts["filters"], parts["colour"]])
    pixels = Segmenter(both).pixel_set(data, None)
    index = torch.arange(0, len(pixels), 501)
    columns = [
        Segmenter(part, small_region=20).pixel_set(data, None).features(index)
        for part in (parts["filters"], parts["colour"])
    ]
    torch.testing.assert_close(pixels.features(index), torch.cat(columns, dim=1))


def test_random_weights_are_drawn_for_the_parts_that_have_some(combined, parts):
    again = combined.reinitialised(3)
    image = picture(20, 20)
    found, before = seen(again, image, tile=False), seen(combined, image, tile=False)
    assert not torch.equal(found[0], before[0]) and torch.equal(found[1], before[1])
    assert torch.equal(found[0], seen(parts["ddpm"].reinitialised(3), image, tile=False)[0])
    with pytest.raises(InputError, match=r"filters\+colour backbone has no weights to draw at random"):
        CombinedBackbone([parts["filters"], parts["colour"]]).reinitialised(0)


@pytest.mark.parametrize("spoil", ["another part", "no part", "a part too many", "elsewhere", "others"])
def test_a_saved_combination_whose_parts_do_not_fit_is_refused(spoil, parts, tmp_path):
    CombinedBackbone([parts["filters"], parts["colour"]]).save_pretrained(tmp_path / "saved")
    place = tmp_path / "saved" / "backbone.json"
    said = json.loads(place.read_text())
    if spoil == "another part":
        load_backbone("filters", scales=(3.0,)).save_pretrained(tmp_path / "saved" / "filters")
    if spoil == "no part":
        shutil.rmtree(tmp_path / "saved" / "colour")
    if spoil == "a part too many":
        place.write_text(json.dumps({**said, "more": 1}))
    if spoil == "elsewhere":
        place.write_text(json.dumps({**said, "parts": {"../filters": {}, "colour": {}}}))
    if spoil == "others":
        place.write_text(json.dumps({**said, "family": "colour+filters"}))
    said = {
        "another part": "its parts are others than those in its folders",
        "no part": "no such file|No such file",
        "a part too many": "names its parts and nothing else",
        "elsewhere": "no backbone family '../filters'",
        "others": r"it names 'colour\+filters', but its parts are filters\+colour",
    }
    with pytest.raises(DamagedError, match=said[spoil]) as caught:
        load_saved_backbone(tmp_path / "saved")
    assert "\n" not in str(caught.value)


def test_options_and_checkpoints_go_to_their_parts(tiny_ddpm, tmp_path):
    save_timm(tmp_path)
    found = load_backbone(
        "ddpm+timm+filters",
        {"ddpm": tiny_ddpm, "timm": tmp_path},
        timesteps=(50,),
        blocks=(1,),
        ddpm_precision="bf16",
        layers=(1,),
        scales=(1.0,),
    )
    assert [tap.name for tap in found.taps] == ["ddpm.t50.block1", "timm.layer1", "filters.scale1"]
    assert [part.config().get("precision") for part in found.each] == ["bf16", "fp32", None]
    alone = load_backbone("ddpm+filters", tiny_ddpm, timesteps=(50,), blocks=(1,))
    assert alone.each[0].taps == found.each[0].taps
    text = load_backbone("ddpm+timm", f"timm={tmp_path},ddpm={tiny_ddpm}")
    assert text.each[1].native_size == (32, 32)


def test_families_from_outside_can_be_parts():
    register(FAMILY)
    try:
        found = load_backbone("grain+colour", layers=(1,), native_size=(8, 8))
        assert [tap.name for tap in found.taps] == ["grain.layer1", "colour.colour", "colour.position"]
        assert found.native_size == found.each[0].native_size
    finally:
        del FAMILIES[FAMILY.name]


@pytest.mark.parametrize(
    ("family", "checkpoint", "options", "said"),
    [
        ("timm+timm", None, {}, "'timm\\+timm' has timm twice; name each family once"),
        ("colour+none", None, {}, "no backbone family 'none'; known: .*colour"),
        ("colour+", None, {}, "no backbone family ''; known: .*colour"),
        ("timm+filters+colour+mae", None, {}, "joins 4 families; join 2 to 3"),
        ("ddpm+mae", "x", {}, "several parts of ddpm\\+mae take a checkpoint; say whose it is: ddpm=PATH,mae=PATH"),
        ("filters+colour", "x", {}, "no part of filters\\+colour takes a checkpoint; leave it out"),
        ("filters+timm", {"filters": "x"}, {}, "a checkpoint for 'filters'; .* take one are: timm"),
        ("ddpm+mae", "ddpm=x,ddpm=y", {}, "names a family twice"),
        ("timm", {"mae": "x"}, {}, "a checkpoint for 'mae', but the backbone is timm"),
        ("ddpm+filters", None, {}, "the ddpm backbone needs a checkpoint"),
        ("ddpm+timm", None, {"precision": "fp32"}, "has no option precision; known: .*ddpm_precision.*timm_precision"),
        ("timm+filters", None, {"scales": ()}, "the timm\\+filters backbone: filters: scales empty: give one or more"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(family, checkpoint, options, said):
    with pytest.raises(InputError, match=said) as caught:
        load_backbone(family, checkpoint, **options)
    assert "\n" not in str(caught.value)


def test_a_size_for_all_parts_is_refused(combined):
    with pytest.raises(InputError, match=r"each part of ddpm\+filters\+timm sees images at a size of its own; leave"):
        Segmenter(combined, network_size=(32, 32))


def test_a_combination_draws_no_images(combined):
    with pytest.raises(InputError, match=r"a ddpm\+filters\+timm backbone cannot generate images"):
        combined.generator(None)
