"""A family that draws and cannot look goes the whole way of DatasetGAN."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from frugalseg.backbones import load_backbone
from frugalseg.backbones.registry import FAMILIES, register
from frugalseg.classifier.training import PROTOCOLS
from frugalseg.data.check import check_folder
from frugalseg.data.classes import ClassTable
from frugalseg.data.folder import SegmentationFolder
from frugalseg.data.masks import write_mask
from frugalseg.data.origins import ORIGINS
from frugalseg.data.subset import Subset
from frugalseg.jobs.evaluate import evaluate_folder
from frugalseg.jobs.explore.folder import explore_folder
from frugalseg.jobs.explore.request import ExploreRequest, ExploreSettings
from frugalseg.jobs.fit import FitRequest, fit_folder
from frugalseg.jobs.generate import GenerateRequest, annotation_folder, generate_folder
from frugalseg.jobs.predict import predict_folder
from frugalseg.segmenter import Segmenter
from frugalseg.selection.cross_validation import cross_validate
from frugalseg.support.errors import InputError
from frugalseg.synthetic import SyntheticSet, generator_of
from frugalseg.synthetic.sources import FOR_ANNOTATION, seed_of
from tests.backbones.battery import DrawingChecks
from tests.backbones.blind_family import FAMILY
from tests.jobs.test_resume import Stop, stop_at

QUICK = replace(PROTOCOLS["default"], steps=60)
SETTINGS = {"protocol": QUICK, "members": 2, "small_region": 0}
CLASSES = ClassTable((0, 1), ("dark", "light"), ((0, 0, 0), (255, 255, 255)))
NEAREST = "reads no images: .*frugalseg generate.*frugalseg distill.*or fit the family grain"


@pytest.fixture(scope="module", autouse=True)
def registered():
    """Only here: other tests expect the families of the package alone."""
    register(FAMILY)
    yield
    del FAMILIES[FAMILY.name]


class TestBattery(DrawingChecks):
    @pytest.fixture(scope="class")
    def backbone(self):
        return load_backbone("paint")


def annotate(folder):
    """The rule of the annotator: light where the picture is."""
    for path in (folder / "images").glob("*.png"):
        light = np.asarray(Image.open(path)).mean(2) > 127
        write_mask(folder / "masks" / path.name, light.astype(np.int64), CLASSES)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paint") / "network"
    load_backbone("paint").reinitialised(4).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def drawn(network, tmp_path_factory):
    """Six annotated pictures; not to be changed."""
    out = tmp_path_factory.mktemp("drawn") / "data"
    CLASSES.to_json(out.parent / "table.json")
    request = GenerateRequest(
        str(network), for_annotation=6, classes=out.parent / "table.json", options={"truncation": 0.9}, batch_size=4
    )
    assert annotation_folder(request, out) == 6
    annotate(out)
    return out


@pytest.fixture
def data(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "data")


@pytest.fixture(scope="module")
def model(network, drawn, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "model"
    fit_folder(FitRequest(drawn, "paint", str(network), {}, SETTINGS), out)
    return out


def record(folder):
    return json.loads((folder / ORIGINS).read_text())


def rewrite(folder, **values):
    (folder / ORIGINS).write_text(json.dumps({**record(folder), **values}))


def test_each_image_remembers_its_seed(network, drawn):
    said = record(drawn)
    assert said["family"] == "paint" and said["settings"] == {"truncation": 0.9, "size": [16, 24]}
    assert said["images"]["00000004.png"]["seed"] == seed_of(0, FOR_ANNOTATION + 4)
    found = SegmentationFolder(drawn)
    assert [example.origin for example in found] == [seed_of(0, FOR_ANNOTATION + number) for number in range(6)]
    assert found[2:4][1].origin == seed_of(0, FOR_ANNOTATION + 3) and Subset(found, [5])[0].origin == seed_of(
        0, FOR_ANNOTATION + 5
    )
    assert "origins.json" in (drawn / "README.txt").read_text()
    told = [str(finding) for finding in check_folder(drawn)]
    assert any("6 images drawn by a network of the family paint, from known seeds" in line for line in told)


def test_the_features_are_those_of_the_pass(network, drawn):
    segmenter = Segmenter(load_backbone("paint", network), **SETTINGS)
    pixels = segmenter.pixel_set(SegmentationFolder(drawn), None)
    maps = (
        generator_of(segmenter.backbone, {"truncation": 0.9})
        .draw([seed_of(0, FOR_ANNOTATION + n) for n in range(6)])
        .maps
    )
    everywhere = torch.arange(16 * 24)
    expected = torch.cat([maps[number].at(everywhere) for number in range(6)])
    assert (pixels.features(torch.arange(len(pixels))) - expected).abs().max() < 2e-3 * expected.abs().max()


def test_a_model_knows_new_drawings(model, tmp_path):
    """Labels of new images agree with the rule by which the first ones were annotated."""
    request = GenerateRequest(
        str(model), 9, options={"truncation": 0.9}, batch_size=2, shard_size=4, npz=tmp_path / "set.npz"
    )
    found = generate_folder(request, tmp_path / "set")
    rule = [sample.image.mean(2) > 127 for sample in found]
    right = np.mean([(sample.target == light).mean() for sample, light in zip(found, rule, strict=True)])
    guessed = max(np.mean(rule), 1 - np.mean(rule))  # the more frequent class everywhere
    assert 1 - right < (1 - guessed) / 2
    assert (found.uncertainties > 0).any()
    with np.load(tmp_path / "set.npz") as arrays:
        assert list(arrays) == ["arr_0", "arr_1", "arr_2", "arr_3"]
        seeds = [sample.origin for sample in found]
        generator = generator_of(Segmenter.from_pretrained(model).backbone, {})
        assert (arrays["arr_2"] == generator.latents(seeds).numpy()).all()
        assert (arrays["arr_3"] == found.uncertainties).all()
    published = SyntheticSet(tmp_path / "set.npz", CLASSES)
    assert all((a.target == b.target).all() for a, b in zip(published, found, strict=True))


def test_processes_share_the_work_and_a_killed_one_goes_on(model, tmp_path, monkeypatch):
    request = GenerateRequest(str(model), 7, batch_size=2, shard_size=2)
    whole = generate_folder(request, tmp_path / "whole")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert generate_folder(request, tmp_path / "shared") is None
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(Stop):
        generate_folder(request, tmp_path / "shared", progress=stop_at("generate", 3))
    shared = generate_folder(request, tmp_path / "shared")
    for a, b in zip(whole, shared, strict=True):
        assert (a.image == b.image).all() and (a.target == b.target).all() and a.uncertainty == b.uncertainty


def test_an_interrupted_hand_over_goes_on(network, drawn, tmp_path):
    request = GenerateRequest(str(network), for_annotation=6, options={"truncation": 0.9}, batch_size=4)
    with pytest.raises(Stop):
        annotation_folder(request, tmp_path / "out", progress=stop_at("draw", 3))
    assert len(list((tmp_path / "out" / "images").glob("*.png"))) == 2
    assert annotation_folder(request, tmp_path / "out") == 4
    assert record(tmp_path / "out") == record(drawn)
    assert annotation_folder(replace(request, for_annotation=7), tmp_path / "out") == 1
    assert len(record(tmp_path / "out")["images"]) == 7


def test_images_may_be_deleted_renamed_and_moved(network, data, tmp_path):
    """An image is known by its pixels, and the record may lie beside the folders of several parts."""
    for kind in ("images", "masks"):
        (data / kind / "00000000.png").unlink()
        (data / kind / "00000001.png").rename(data / kind / "a cat.png")
        (data / "part" / kind).mkdir(parents=True)
        (data / kind / "00000002.png").rename(data / "part" / kind / "00000002.png")
    assert [example.origin for example in SegmentationFolder(data)] == [
        seed_of(0, FOR_ANNOTATION + n) for n in (3, 4, 5, 1)
    ]
    assert SegmentationFolder(data / "part")[0].origin == seed_of(0, FOR_ANNOTATION + 2)
    fit_folder(FitRequest(data, "paint", str(network), {}, SETTINGS), tmp_path / "model")


def test_cross_validation_and_held_out_images_take_the_same_way(network, drawn, model, tmp_path):
    request = FitRequest(drawn, "paint", str(network), {}, SETTINGS, folds=2)
    estimates = []
    fit_folder(request, tmp_path / "model", validated=estimates.append)
    assert estimates[0].miou > 0.6
    found = SegmentationFolder(drawn)
    segmenter = Segmenter(load_backbone("paint", network), **SETTINGS).fit(Subset(found, [0, 1, 2, 3]), classes=CLASSES)
    result = segmenter.evaluate(Subset(found, [4, 5]))
    assert len(result.images) == 2 and result.metrics()["miou"] > 0.6
    assert evaluate_folder(model, drawn, tmp_path / "evaluation").metrics()["miou"] > 0.7
    assert cross_validate(segmenter, found, 2).miou == estimates[0].miou


def test_its_places_are_explored_on_images_that_it_drew(network, drawn, tmp_path):
    settings = ExploreSettings(("taps", "images"), folds=2, members=1, runs=1, sizes=(1,))
    fit = FitRequest(drawn, "paint", str(network), {}, {**SETTINGS, "members": 1})
    found = explore_folder(ExploreRequest(fit, settings), tmp_path / "explored")
    assert [score.tap.name for score in found.taps] == ["layer0", "layer1"]
    assert max(score.miou for score in found.taps) > 0.6
    # Drawn images may be tested as well, photographs may not.
    train, test = tmp_path / "train", tmp_path / "test"
    for folder, numbers in ((train, range(4)), (test, (4, 5))):
        shutil.copytree(drawn, folder)
        for path in [*(folder / "images").iterdir(), *(folder / "masks").iterdir()]:
            if int(path.stem) not in numbers:
                path.unlink()
    request = ExploreRequest(replace(fit, data=train), replace(settings, what=("taps",), sizes=None), test)
    assert max(score.miou for score in explore_folder(request, tmp_path / "tested").taps) > 0.6
    (test / ORIGINS).unlink()
    with pytest.raises(InputError, match=NEAREST):
        explore_folder(request, tmp_path / "refused")
    with pytest.raises(InputError, match="reads no images"):
        explore_folder(replace(request, explore=ExploreSettings(("corruptions",)), test=None), tmp_path / "refused")


def test_an_interrupted_fit_ends_the_same(network, drawn, model, tmp_path):
    request = FitRequest(drawn, "paint", str(network), {}, SETTINGS)
    for stage, step in (("features", 3), ("train", 30)):
        with pytest.raises(Stop):
            fit_folder(request, tmp_path / "model", progress=stop_at(stage, step))
    fit_folder(request, tmp_path / "model")
    one, other = (Segmenter.from_pretrained(place) for place in (model, tmp_path / "model"))
    assert one.fingerprint() == other.fingerprint()


def test_a_model_saw_which_maps_it_learned_from(network, drawn, tmp_path):
    """Stored maps of another drawing are not taken up."""
    segmenter = Segmenter(load_backbone("paint", network), **SETTINGS)
    folder = SegmentationFolder(drawn)
    first = segmenter.pixel_set(folder, tmp_path / "maps").features(torch.arange(4))
    again = segmenter.pixel_set(folder, tmp_path / "maps").features(torch.arange(4))
    assert torch.equal(first, again)


def test_photographs_are_refused_before_any_work(model, network, drawn, tmp_path):
    photographs = shutil.copytree(drawn, tmp_path / "photographs", ignore=shutil.ignore_patterns(ORIGINS))
    segmenter = Segmenter.from_pretrained(model)
    image = np.zeros((16, 24, 3), np.uint8)
    every = [SegmentationFolder(drawn)[n] for n in range(2)]
    for call in (
        lambda: predict_folder(model, drawn / "images", tmp_path / "masks"),
        lambda: evaluate_folder(model, photographs, tmp_path / "evaluation"),
        lambda: generate_folder(GenerateRequest(str(model), images=photographs), tmp_path / "set"),
        lambda: fit_folder(FitRequest(photographs, "paint", str(network), {}, SETTINGS), tmp_path / "fitted"),
        lambda: segmenter.predict([image]),
        lambda: next(segmenter.predict_rows([image])),
        lambda: segmenter.fit(every, classes=CLASSES),
        lambda: segmenter.evaluate(every),
        lambda: segmenter.fit(drawn, channels=(1, 2, 3)),
    ):
        with pytest.raises(InputError, match=NEAREST) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [photographs]


def test_views_that_a_drawing_lacks(network):
    backbone = load_backbone("paint", network)
    for name in ("tile", "mirror", "mirrored_views"):
        with pytest.raises(InputError, match=f"^{name}: the paint backbone reads no images"):
            Segmenter(backbone, **{name: True})


def test_it_joins_no_combination_and_no_comparison(network, drawn, tmp_path):
    with pytest.raises(InputError, match=r"paint\+filters: .* a paint backbone reads none; leave it out"):
        load_backbone("paint+filters", network)
    with pytest.raises(InputError, match="the paint network reads none; give --backbone paint"):
        fit_folder(FitRequest(drawn, "auto", str(network), {}, SETTINGS), tmp_path / "model")


def edited(data):
    path = data / "images" / "00000003.png"
    image = np.asarray(Image.open(path)).copy()
    image[2:5, 2:5] = 255 - image[2:5, 2:5]
    Image.fromarray(image).save(path)


def test_an_edited_image_is_refused_if_it_is_annotated(network, data, tmp_path):
    edited(data)
    request = FitRequest(data, "paint", str(network), {}, SETTINGS)
    with pytest.raises(InputError, match=r"'00000003': .*/data/origins\.json does not know it"):
        fit_folder(request, tmp_path / "model")
    found = [finding for finding in check_folder(data) if finding.level == "warning"]
    assert len(found) == 1 and found[0].where == "00000003.png" and "edited, resized" in found[0].message
    write_mask(data / "masks" / "00000003.png", np.full((16, 24), 255), CLASSES)
    fit_folder(request, tmp_path / "model")
    # It is neither tested in folds, nor evaluated, nor explored.
    estimates = []
    fit_folder(replace(request, folds=2), tmp_path / "folded", validated=estimates.append)
    assert len(estimates[0].images) == 5 and "estimated from 5 annotated images" in str(estimates[0])
    found = evaluate_folder(tmp_path / "model", data, None)
    assert [score.name for score in found.images] == [f"{n:08d}" for n in (0, 1, 2, 4, 5)]
    asked = ExploreSettings(("taps",), folds=2, members=1)
    page = explore_folder(ExploreRequest(request, asked), tmp_path / "explored").page.read_text()
    assert "5 annotated images, cross-validated in 2 parts" in page


def test_a_seed_that_gives_another_image(network, data, tmp_path):
    images = record(data)["images"]
    images["00000002.png"]["seed"] += 1
    rewrite(data, images=images)
    with pytest.raises(InputError, match="'00000002': the network does not draw it again from its seed"):
        fit_folder(FitRequest(data, "paint", str(network), {}, SETTINGS), tmp_path / "model")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"network": "0" * 16}, "drawn by another paint network"),
        ({"family": "grain"}, "drawn by a 'grain' network, not by this paint one"),
        (
            {"settings": {"truncation": 0.9, "size": [8, 8]}},
            r"in another way \(size: \[8, 8\] before, \[16, 24\] now\)",
        ),
        ({"settings": {"size": [16, 24]}}, "its settings lack truncation"),
        ({"settings": {"truncation": 7, "size": [16, 24]}}, "truncation is 7.0; give a number from 0 to 1"),
        ({"settings": {"truncation": "7", "size": [16, 24]}}, "truncation: should be a valid number, not '7'"),
        ({"settings": []}, "not the record of drawn images"),
        ({"network": "../../etc/passwd!"}, "network 16 hexadecimal digits"),
        ({"format": 2}, "of format 2, this version reads 1; upgrade"),
        ({"images": {"a.png": {"seed": 2**32, "pixels": "0" * 32}}}, "a seed lies from 0 to 4294967295"),
        ({"images": {"a.png": {"seed": 1.5, "pixels": "0" * 32}}}, "not the record of drawn images"),
        ({"images": {"a.png": {"seed": 1, "pixels": "x"}}}, "pixels are 32 hexadecimal digits"),
        ({"code": "print(1)"}, "code is no field of it"),
    ],
)
def test_a_record_of_something_else_is_one_line(values, message, network, data, tmp_path):
    rewrite(data, **values)
    with pytest.raises(InputError, match=message) as caught:
        fit_folder(FitRequest(data, "paint", str(network), {}, SETTINGS), tmp_path / "model")
    assert "\n" not in str(caught.value) and not list(tmp_path.glob("model*"))
