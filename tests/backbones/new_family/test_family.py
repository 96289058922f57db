"""A family that is registered from outside goes the whole way; no other file of the project knows it."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from frugalseg.backbones import load_backbone
from frugalseg.backbones.registry import FAMILIES, register
from frugalseg.classifier.training import PROTOCOLS
from frugalseg.data.classes import ClassTable
from frugalseg.data.folder import SegmentationFolder
from frugalseg.data.masks import write_mask
from frugalseg.features.windows import cut
from frugalseg.jobs.explore.folder import explore_folder
from frugalseg.jobs.explore.request import ExploreRequest, ExploreSettings
from frugalseg.jobs.generate import GenerateRequest, annotation_folder
from frugalseg.jobs.request import FitRequest
from frugalseg.segmenter import Segmenter
from frugalseg.support.errors import InputError
from frugalseg.synthetic import GeneratedImages, SyntheticSet, generate, generator_of
from frugalseg.synthetic.sources import FOR_ANNOTATION, seed_of
from tests.backbones.battery import BackboneChecks
from tests.backbones.new_family import FAMILY

QUICK = replace(PROTOCOLS["default"], steps=40)


@pytest.fixture(scope="module", autouse=True)
def registered():
    """Only here: other tests expect the families of the package alone."""
    register(FAMILY)
    yield
    del FAMILIES[FAMILY.name]


@pytest.fixture(scope="module")
def segmenter(toy_train):
    return Segmenter(load_backbone("grain"), members=2, protocol=QUICK).fit(SegmentationFolder(toy_train))


class TestBattery(BackboneChecks):
    @pytest.fixture(scope="class")
    def backbone(self):
        return load_backbone("grain")


def test_taps_are_chosen_by_its_own_options():
    assert [(tap.name, tap.channels, tap.stride) for tap in load_backbone("grain", layers=(1,)).taps] == [
        ("layer1", 12, 4)
    ]
    with pytest.raises(InputError, match="the grain backbone has no option blocks; known: layers"):
        load_backbone("grain", blocks=(1,))
    with pytest.raises(InputError, match="give 0, 1 or both"):
        load_backbone("grain", layers=(2,))


def test_a_saved_model_predicts_the_same(segmenter, toy_test, tmp_path):
    images = [example.image for example in SegmentationFolder(toy_test)]
    segmenter.save_pretrained(tmp_path / "model")
    again = Segmenter.from_pretrained(tmp_path / "model")
    for a, b in zip(segmenter.predict(images), again.predict(images), strict=True):
        assert (a.mask == b.mask).all() and (a.probabilities == b.probabilities).all()
    assert len(np.unique([found.mask for found in again.predict(images)])) > 1


def drawing(segmenter, count, **options):
    return GeneratedImages(generator_of(segmenter.backbone, options), count)


def test_labels_come_from_the_pass_that_drew_the_image(segmenter, tmp_path):
    found = generate(segmenter, drawing(segmenter, 5), tmp_path / "set", batch_size=2, shard_size=3)
    drawn = generator_of(segmenter.backbone, {}).draw([seed_of(0, number) for number in range(5)])
    every = segmenter.predict_maps((drawn.maps[n] for n in range(5)), (sample.image for sample in found))
    for sample, labels in zip(found, every, strict=True):
        assert (sample.target == labels.mask.numpy()).mean() > 0.99
        assert sample.uncertainty == pytest.approx(labels.image_uncertainty, rel=1e-3)
    assert [sample.origin for sample in found] == [seed_of(0, number) for number in range(5)]
    looked_at_again = list(segmenter.predict_positions([sample.image for sample in found]))
    differ = [(a.target != b.mask.numpy()).mean() for a, b in zip(found, looked_at_again, strict=True)]
    assert np.mean(differ) > 0.1


def test_without_grain_both_ways_agree(segmenter, tmp_path):
    found = generate(segmenter, drawing(segmenter, 3, grain=0.0), tmp_path / "set")
    looked_at_again = segmenter.predict_positions([sample.image for sample in found])
    for sample, labels in zip(found, looked_at_again, strict=True):
        assert (sample.target == labels.mask.numpy()).mean() > 0.97  # images are rounded to 256 levels


def test_a_model_of_other_weights_looks_at_the_images_itself(segmenter, toy_train, tmp_path):
    """The maps have as many channels, but mean nothing to its classifier."""
    other = Segmenter(segmenter.backbone.reinitialised(1), members=2, protocol=QUICK)
    other.fit(SegmentationFolder(toy_train))
    found = generate(other, drawing(segmenter, 3), tmp_path / "set")
    for sample, labels in zip(found, other.predict_positions([sample.image for sample in found]), strict=True):
        assert (sample.target == labels.mask.numpy()).mean() > 0.99


def test_an_interrupted_set_ends_the_same(segmenter, tmp_path):
    whole = generate(segmenter, drawing(segmenter, 5), tmp_path / "whole", batch_size=2, shard_size=2)
    generate(segmenter, drawing(segmenter, 2), tmp_path / "grown", batch_size=2, shard_size=2)
    grown = generate(segmenter, drawing(segmenter, 5), tmp_path / "grown", batch_size=2, shard_size=2)
    for a, b in zip(whole, grown, strict=True):
        assert (a.image == b.image).all() and (a.target == b.target).all() and a.uncertainty == b.uncertainty


@pytest.mark.parametrize("family", [None, "grain"])
def test_a_bare_checkpoint_draws_images_for_annotators(family, segmenter, tmp_path):
    segmenter.backbone.reinitialised(3).save_pretrained(tmp_path / "checkpoint")
    request = GenerateRequest(str(tmp_path / "checkpoint"), for_annotation=2, family=family, options={"grain": 0.1})
    assert annotation_folder(request, tmp_path / "out") == 2
    checkpoint = f"--backbone grain --checkpoint {tmp_path / 'checkpoint'} -o MODEL"
    assert checkpoint in (tmp_path / "out" / "README.txt").read_text()
    image = np.asarray(Image.open(tmp_path / "out" / "images" / "00000001.png"))
    drawn = generator_of(segmenter.backbone, {"grain": 0.1}).draw([seed_of(0, FOR_ANNOTATION + 1)]).images[0]
    assert (image == (drawn * 255).round().byte().permute(1, 2, 0).numpy()).all()


@pytest.fixture
def drawn(segmenter, tmp_path):
    """Three annotated pictures that the network of `segmenter` drew, with grain that its maps do not show."""
    segmenter.backbone.save_pretrained(tmp_path / "checkpoint")
    out = tmp_path / "drawn"
    annotation_folder(GenerateRequest(str(tmp_path / "checkpoint"), for_annotation=3, options={"grain": 0.2}), out)
    halves = np.arange(16)[:, None].repeat(24, 1) // 8
    for path in (out / "masks").glob("*.png"):
        write_mask(path, halves, ClassTable.from_ids((0, 1)))
    return out


def as_drawn(segmenter):
    maps = (
        generator_of(segmenter.backbone, {"grain": 0.2})
        .draw([seed_of(0, FOR_ANNOTATION + number) for number in range(3)])
        .maps
    )
    return torch.cat([maps[number].at(torch.arange(16 * 24)) for number in range(3)])


def as_seen(segmenter, folder):
    return torch.cat(
        [
            segmenter.features([cut(each.image, segmenter.windows((16, 24))[0])]).at(torch.arange(16 * 24))
            for each in SegmentationFolder(folder)
        ]
    )


def learned(segmenter, folder):
    pixels = segmenter.pixel_set(SegmentationFolder(folder), None)
    return pixels.features(torch.arange(3 * 16 * 24))


def test_it_learns_from_the_pass_that_drew_its_own_images(segmenter, drawn):
    drawn_again, seen = as_drawn(segmenter), as_seen(segmenter, drawn)
    assert (drawn_again - seen).abs().mean() > 0.01
    torch.testing.assert_close(learned(segmenter, drawn), drawn_again, atol=1e-3, rtol=1e-3)


def test_it_looks_at_drawn_images_that_are_not_its_own_or_wanted_in_another_way(segmenter, drawn):
    other = Segmenter(segmenter.backbone.reinitialised(1))
    torch.testing.assert_close(learned(other, drawn), as_seen(other, drawn), atol=1e-3, rtol=1e-3)
    for settings in ({"mirror": True}, {"mirrored_views": True}, {"network_size": (16, 24), "mirror": True}):
        turned = Segmenter(segmenter.backbone, **settings)
        torch.testing.assert_close(learned(turned, drawn), as_seen(turned, drawn), atol=1e-3, rtol=1e-3)
    image = drawn / "images" / "00000001.png"
    Image.fromarray(255 - np.asarray(Image.open(image))).save(image)
    torch.testing.assert_close(learned(segmenter, drawn), as_seen(segmenter, drawn), atol=1e-3, rtol=1e-3)


def test_its_own_images_are_evaluated_by_the_pass_and_others_by_a_look(drawn):
    segmenter = Segmenter(load_backbone("grain", drawn.parent / "checkpoint"), members=2, protocol=QUICK).fit(drawn)
    found = [labels.mask for _, labels in segmenter.predict_examples(SegmentationFolder(drawn))]
    maps = (
        generator_of(segmenter.backbone, {"grain": 0.2})
        .draw([seed_of(0, FOR_ANNOTATION + number) for number in range(3)])
        .maps
    )
    images = [example.image for example in SegmentationFolder(drawn)]
    for mask, labels in zip(found, segmenter.predict_maps((maps[n] for n in range(3)), images), strict=True):
        assert (mask == labels.mask).float().mean() > 0.99
    (drawn / "origins.json").unlink()
    seen = [labels.mask for _, labels in segmenter.predict_examples(SegmentationFolder(drawn))]
    for mask, labels in zip(seen, segmenter.predict_positions(images), strict=True):
        assert torch.equal(mask, labels.mask)
    assert any((a != b).any() for a, b in zip(found, seen, strict=True))


def test_images_that_it_is_read_of_while_it_draws_them_are_not_corrupted(drawn, tmp_path):
    fit = FitRequest(drawn, "grain", str(drawn.parent / "checkpoint"), {}, {"protocol": QUICK})
    settings = ExploreSettings(("corruptions",), folds=2, members=1, corruptions=("fog",), severities=(1,))
    with pytest.raises(InputError, match="the network has drawn these images itself and is read while it draws them"):
        explore_folder(ExploreRequest(fit, settings), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (drawn / "origins.json").unlink()  # now they are looked at like photographs
    found = explore_folder(ExploreRequest(fit, settings), tmp_path / "out").found.corruptions
    assert found.names == ("fog",) and found.counts["fog", 1].counts.sum() == 3 * 16 * 24


@pytest.mark.parametrize(("family", "message"), [("mae", "a mae backbone cannot generate"), ("gan", "no backbone fam")])
def test_a_checkpoint_of_a_family_that_does_not_draw(family, message, tmp_path):
    with pytest.raises(InputError, match=message):
        annotation_folder(GenerateRequest(str(tmp_path / "ddpm"), for_annotation=2, family=family), tmp_path / "out")
    assert not (tmp_path / "out").exists()


COMMANDS = """
import sys
from pathlib import Path
from frugalseg.backbones.registry import register
from tests.backbones.new_family import FAMILY
register(FAMILY)
from frugalseg.cli import app

data, images, out = (Path(text) for text in sys.argv[1:])
device = ["--device", "cpu"]
for command in (
    ["fit", data, "-o", out / "model", "--backbone", "grain", "--layers", "1", "--members", "1", *device],
    ["predict", out / "model", images, "-o", out / "masks", *device],
    ["generate", out / "model", "-n", "3", "-o", out / "set", "--grain", "0.2", *device],
    ["generate", out / "model" / "backbone", "--for-annotation", "2", "-o", out / "to_annotate", *device],
):
    app([str(word) for word in command], standalone_mode=False)
"""


def test_the_command_line(toy_train, toy_test, tmp_path):
    """In a process of its own, because the options are made when the command line is imported."""
    words = [sys.executable, "-c", COMMANDS, str(toy_train), str(toy_test / "images"), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr
    assert Segmenter.from_pretrained(tmp_path / "model").backbone.layers == (1,)
    assert len(list((tmp_path / "masks").glob("*.png"))) == 3
    assert len(SyntheticSet(tmp_path / "set")) == 3
    assert '"grain": 0.2' in (tmp_path / "set" / "synthetic.json").read_text()
    assert len(list((tmp_path / "to_annotate" / "masks").glob("*.png"))) == 2


def test_maps_lie_on_the_grid_of_the_image(segmenter):
    drawn = generator_of(segmenter.backbone, {}).draw([1, 2])
    assert drawn.images.shape == (2, 3, 16, 24) and drawn.maps.size == (16, 24) and len(drawn.maps) == 2
    alone = generator_of(segmenter.backbone, {}).draw([2])
    for together, own in zip(drawn.maps.maps, alone.maps.maps, strict=True):
        torch.testing.assert_close(together[1:], own, atol=1e-5, rtol=0)
