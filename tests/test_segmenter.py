import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import frugalseg
from frugalseg import InputError, SegmentationFolder, Segmenter, load_backbone
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.prediction import vote
from frugalseg.classifier.smoothing import brightness, guided
from frugalseg.classifier.training import PROTOCOLS
from frugalseg.data.example import Example
from frugalseg.data.mirrored import Mirrored
from frugalseg.data.toy.dataset import TOY_CLASSES
from frugalseg.features.windows import cut
from frugalseg.jobs.estimate import estimate_fit
from frugalseg.support.precision import dtype_of

QUICK = replace(PROTOCOLS["default"], steps=60)


def quick(backbone, **settings):
    return Segmenter(backbone, **{"protocol": QUICK, "members": 3, "smoothing": 0.0, **settings})


@pytest.fixture(scope="module")
def fitted(tiny_ddpm, toy_train):
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50, 150), blocks=(1, 2))
    return quick(backbone, network_size=(24, 24)).fit(SegmentationFolder(toy_train))


@pytest.fixture(scope="module")
def plain(toy_train):
    """A model of the quick family, of the same classes."""
    return quick(load_backbone("colour", native_size=[24, 24])).fit(toy_train)


class Titled(list):
    """Examples with a table of their own."""

    def __init__(self, examples, classes):
        super().__init__(examples)
        self.classes = classes


def renamed(folder, target, change):
    """A copy of a data folder with other classes."""
    shutil.copytree(folder, target)
    table = json.loads((target / "classes.json").read_text())
    table["classes"] = change(table["classes"])
    (target / "classes.json").write_text(json.dumps(table))
    return target


def test_classes_of_a_test_folder_go_by_their_names(plain, toy_test, tmp_path):
    right = plain.evaluate(SegmentationFolder(toy_test, plain.classes)).metrics()
    assert plain.evaluate(toy_test).metrics() == plain.evaluate(str(toy_test)).metrics() == right
    other = renamed(toy_test, tmp_path / "other", lambda classes: classes[::-1])
    part = SegmentationFolder(other)
    for given in (other, part, part[:], SegmentationFolder(other, part.classes), Titled(list(part), part.classes)):
        assert plain.evaluate(given).metrics() == right
    assert plain.evaluate(list(SegmentationFolder(toy_test))).metrics() == right


def test_classes_that_a_model_lacks_are_refused(plain, toy_test, tmp_path):
    other = renamed(toy_test, tmp_path / "other", lambda classes: [{**classes[0], "name": "cow"}, *classes[1:]])
    part = SegmentationFolder(other)
    for given in (other, part, SegmentationFolder(other, part.classes), Titled(list(part), part.classes)):
        with pytest.raises(InputError, match="has classes that the model lacks: cow; the model has: background, "):
            plain.evaluate(given)


def test_a_model_of_a_table_learns_classes_by_their_names(plain, toy_train, tmp_path):
    other = SegmentationFolder(renamed(toy_train, tmp_path / "other", lambda classes: classes[::-1]))
    again = quick(load_backbone("colour", native_size=(24, 24))).fit(other, classes=plain.classes)
    assert again.classes == plain.classes and again.fingerprint() == plain.fingerprint()


@pytest.mark.parametrize("given", [42, ["photos"], None, (1, 2)])
def test_what_is_no_dataset(given, plain):
    for use in (plain.fit, plain.evaluate):
        with pytest.raises(InputError, match=r"expected examples, found .*; give a data folder"):
            use(given)
    with pytest.raises(InputError, match="nowhere: no"):
        plain.evaluate("nowhere")


def test_a_folder_of_something_else_is_never_replaced_by_a_model(plain, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "thesis.txt").write_text("all of it")
    for save in (plain.save_pretrained, plain.backbone.save_pretrained):
        with pytest.raises(InputError, match="docs: is not empty and holds something else"):
            save(tmp_path / "docs")
    assert [path.name for path in tmp_path.rglob("*")] == ["docs", "thesis.txt"]
    for _ in range(2):
        plain.save_pretrained(tmp_path / "model")
        plain.backbone.save_pretrained(tmp_path / "network")
    with pytest.raises(InputError, match="something else"):
        plain.backbone.save_pretrained(tmp_path / "model")


def test_names_of_the_package():
    assert set(dir(frugalseg)) == set(frugalseg.__all__) and "Segmenter" in dir(frugalseg)
    assert all(getattr(frugalseg, name) is not None for name in dir(frugalseg))


def pictures(*sizes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_predictions_come_at_the_images_own_sizes(fitted):
    images = pictures((48, 48), (48, 48), (31, 77), (5, 5))
    found = list(fitted.predict(images, batch_size=3))
    for image, each in zip(images, found, strict=True):
        assert each.mask.shape == image.shape[:2]
        assert set(np.unique(each.mask)) <= set(fitted.classes.ids)
        np.testing.assert_allclose(each.probabilities.sum(0), 1, atol=1e-5)
        assert 0 <= each.uncertainty.min() <= each.uncertainty.max() <= np.log(3) + 1e-6
    alone = next(iter(fitted.predict(images[1:2])))
    assert (alone.mask == found[1].mask).mean() > 0.999
    np.testing.assert_allclose(alone.probabilities, found[1].probabilities, atol=1e-4)


def test_evaluation_counts_what_predict_says(fitted, toy_test):
    dataset = SegmentationFolder(toy_test, fitted.classes)
    result = fitted.evaluate(dataset, batch_size=2)
    found = [each.mask for each in fitted.predict(dataset[i].image for i in range(len(dataset)))]
    truth = [dataset[i].target for i in range(len(dataset))]
    right = sum(int((fitted.classes.to_positions(f) == t).sum()) for f, t in zip(found, truth, strict=True))
    assert result.metrics()["pixel_accuracy"] == pytest.approx(right / sum(t.size for t in truth))
    assert list(result.metrics()["per_image"]) == dataset.names


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_model_of_lower_precision_stays_one(precision, tiny_ddpm, toy_train, tmp_path):
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50,), blocks=(1, 2), precision=precision)
    model = quick(backbone).fit(SegmentationFolder(toy_train))
    model.save_pretrained(tmp_path / "model")
    again = Segmenter.from_pretrained(tmp_path / "model")
    assert again.backbone.unet.dtype == backbone.unet.dtype == dtype_of(precision)
    (image,) = pictures((40, 60))
    (found,), (expected,) = again.predict([image]), model.predict([image])
    assert (found.mask == expected.mask).all()
    assert (found.probabilities == expected.probabilities).all()


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="takes a device that is not there")
def test_a_device_that_fails_is_no_fault_of_the_model(fitted, tmp_path):
    fitted.save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="device is 'mps'; give one that this machine has"):
        Segmenter.from_pretrained(tmp_path / "model", device="mps")


def test_a_saved_model_predicts_the_same(fitted, tmp_path):
    images = pictures((40, 60))
    fitted.save_pretrained(tmp_path / "model")
    again = Segmenter.from_pretrained(tmp_path / "model")
    assert again.settings == fitted.settings
    assert again.classes == fitted.classes
    before, after = next(fitted.predict(images)), next(again.predict(images))
    assert (before.mask == after.mask).all()
    np.testing.assert_array_equal(before.probabilities, after.probabilities)
    assert not list(tmp_path.glob(".*"))


def test_one_seed_one_model(tiny_ddpm, toy_train, fitted):
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50, 150), blocks=(1, 2))
    again = quick(backbone, network_size=(24, 24)).fit(SegmentationFolder(toy_train))
    other = quick(backbone, network_size=(24, 24), seed=1).fit(SegmentationFolder(toy_train))
    weights = [m.classifier.linear1.weight for m in (fitted, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_tiled_image_is_what_its_windows_say(tiny_ddpm, toy_train):
    """Where one window covers the image, tiling is the untiled prediction; where several do, each pixel's
    probabilities lie within those of the windows that see it."""
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50,), blocks=(1, 2))
    tiled = quick(backbone, tile=True, network_size=(24, 24)).fit(SegmentationFolder(toy_train))
    small, large = pictures((24, 24), (37, 50))
    predictor = tiled.classifier.predictor()
    whole = vote(predictor.member_probabilities(tiled.features([torch.from_numpy(small).permute(2, 0, 1) / 255])))
    found = next(tiled.predict([small]))
    assert (tiled.classes.to_positions(found.mask) == whole.mask.numpy()).all()
    blended = next(tiled.predict([large])).probabilities
    low, high = np.ones_like(blended), np.zeros_like(blended)
    for window in tiled.windows(large.shape):
        seen = torch.from_numpy(large[window.area]).permute(2, 0, 1) / 255
        mean = predictor.member_probabilities(tiled.features([seen])).mean(0).numpy()
        area = (slice(None), *window.area)
        low[area], high[area] = np.minimum(low[area], mean), np.maximum(high[area], mean)
    assert ((low - 1e-5 <= blended) & (blended <= high + 1e-5)).all()


def test_every_labelled_pixel_is_trained_on_once(tiny_ddpm, toy_train):
    dataset = SegmentationFolder(toy_train)
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50,), blocks=(1,))
    for options in ({}, {"tile": True, "network_size": (24, 24)}):
        pixels = Segmenter(backbone, small_region=0, **options).pixel_set(dataset, None)
        expected = np.bincount(np.concatenate([example.target.ravel() for example in dataset]), minlength=256)
        assert torch.bincount(pixels.labels, minlength=256).tolist() == expected.tolist()


def test_mirrored_images_are_trained_on_as_well(tiny_ddpm, toy_train):
    dataset = SegmentationFolder(toy_train)
    mirrored = Mirrored(dataset)
    assert len(mirrored) == 8
    assert (mirrored[5].image[:, 0] == dataset[1].image[:, -1]).all()
    assert (mirrored[-1].target[:, 0] == dataset[3].target[:, -1]).all()
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50,), blocks=(1,))
    estimate = estimate_fit(quick(backbone, mirror=True, network_size=(8, 8)), dataset)
    assert (estimate.passes, estimate.stored) == (8, 8 * 8 * 8 * 16 * 2)
    assert estimate.literal == 8 * 48 * 48 * 16 * 4
    assert "16.4 kB for the features" in str(estimate)
    assert "seen by the network at 8x8 (height x width)" in str(estimate)
    weights = [quick(backbone, mirror=m).fit(dataset).classifier.linear1.weight for m in (False, True)]
    assert not torch.equal(*weights)


def test_sparse_scribbles_suffice(toy_train):
    """Colours that are the classes, annotated in a few pixels of each image: the rest is learned."""
    examples = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        truth = np.zeros((32, 32), np.uint8)
        truth[:, 16:] = 1
        image = np.where(truth[..., None] == 1, [200, 40, 40], [40, 40, 200]) + rng.integers(0, 30, (32, 32, 3))
        scribbles = np.where(rng.random((32, 32)) < 0.08, truth, 255).astype(np.uint8)
        examples.append((truth, Example(str(seed), image.astype(np.uint8), scribbles)))
    classes = SegmentationFolder(toy_train).classes
    model = quick(load_backbone("colour")).fit([e for _, e in examples], classes=classes)
    found = list(model.predict([e.image for _, e in examples]))
    assert all((f.mask == t).mean() > 0.98 for f, (t, _) in zip(found, examples, strict=True))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([np.full((8, 8), 255)], "no pixel is annotated"),
        ([np.where(np.arange(64).reshape(8, 8) < 19, 1, 255)], "only classes with fewer pixels than --small-regions"),
        ([np.zeros((8, 8))], "fewer than two classes"),
    ],
)
def test_too_little_annotation(targets, message, toy_train):
    classes = SegmentationFolder(toy_train).classes
    examples = [Example("a", np.zeros((8, 8, 3), np.uint8), t.astype(np.uint8)) for t in targets]
    with pytest.raises(InputError, match=message):
        Segmenter(load_backbone("colour")).fit(examples, classes=classes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "fast"}, "known: "),
        ({"members": 0}, "a whole number from 1 to 1000"),
        ({"overlap": 1.0}, "from 0 to below 1"),
        ({"network_size": (15, 16)}, "multiples of 2"),
        ({"memebrs": 3}, "no setting memebrs; known: protocol, members, seed"),
    ],
)
def test_settings_out_of_range(settings, message, tiny_ddpm):
    with pytest.raises(InputError, match=message):
        Segmenter(load_backbone("ddpm", tiny_ddpm), **settings)


def test_models_that_are_none(tmp_path, fitted):
    (tmp_path / "half.work").mkdir()
    with pytest.raises(InputError, match=r"half: not finished yet, its work lies in half\.work; run its command again"):
        Segmenter.from_pretrained(tmp_path / "half")
    with pytest.raises(InputError, match="no such model folder"):
        Segmenter.from_pretrained(tmp_path / "nothing")
    with pytest.raises(InputError, match="not a frugalseg model"):
        Segmenter.from_pretrained(tmp_path)
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "config.json").write_text('{"family": "alae", "latent": 8}')
    with pytest.raises(InputError, match="a trained alae network, not a fitted model"):
        Segmenter.from_pretrained(tmp_path / "network")
    fitted.save_pretrained(tmp_path / "model")
    file = tmp_path / "model" / "classifier.safetensors"
    tensors = load_file(file)
    tensors["linear2.weight"][0, 0, 0] = float("nan")
    save_file(tensors, file)
    with pytest.raises(InputError, match=r"the classifier's linear2\.weight holds values that are no numbers \(NaN\)"):
        Segmenter.from_pretrained(tmp_path / "model")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match=r"classifier\.safetensors: a damaged model \(damaged"):
        Segmenter.from_pretrained(tmp_path / "model")


def test_a_model_that_was_never_fitted_says_so(toy_test, tmp_path):
    model = Segmenter(load_backbone("colour"))
    for use in (
        lambda: model.predict(pictures((8, 8))),
        lambda: model.evaluate(SegmentationFolder(toy_test)),
        lambda: model.save_pretrained(tmp_path / "model"),
        model.fingerprint,
    ):
        with pytest.raises(InputError, match="has not been fitted yet: call fit, or load one"):
            use()
    assert not (tmp_path / "model").exists()


def test_a_fit_that_fails_leaves_the_model_as_it_was(toy_train, toy_test):
    unfitted, fitted = quick(load_backbone("colour")), quick(load_backbone("colour")).fit(SegmentationFolder(toy_train))
    before, nothing = fitted.fingerprint(), [Example("a", np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))]
    for model in (unfitted, fitted):
        with pytest.raises(InputError, match="fewer than two classes"):
            model.fit(nothing, classes=fitted.classes)
        with pytest.raises(InputError, match="no class table of their own"):
            model.fit(nothing)
        with pytest.raises(InputError, match="class position 10, the table has 10 classes"):
            model.fit(
                [replace(nothing[0], target=np.repeat(np.array([[0, 10]], np.uint8), 4, 1).repeat(8, 0))],
                classes=fitted.classes,
            )
        with pytest.raises(InputError, match="channel 1 holds a single value"):
            model.fit(nothing, classes=fitted.classes, channels=(1, 2))
    assert fitted.fingerprint() == before and fitted.backbone.in_channels == 3
    assert next(fitted.predict(SegmentationFolder(toy_test)[0].image)).mask.size
    with pytest.raises(InputError, match="has not been fitted"):
        unfitted.evaluate(SegmentationFolder(toy_test))


def changed(model, **settings):
    """The same weights under other settings."""
    again = Segmenter(model.backbone, **{**vars(model.settings), **settings})
    again.classes, again.classifier = model.classes, model.classifier
    return again


def test_smoothing_filters_the_probabilities_at_the_scale_of_the_image(fitted, toy_test):
    (image,) = (example.image for example in SegmentationFolder(toy_test)[:1])
    smooth, (before,) = changed(fitted, smoothing=0.05), fitted.predict_positions([image])
    assert [smooth.smoothing_radius(shape) for shape in (image.shape, (40, 60), (4000, 60), (4000, 6000))] == [
        2,
        2,
        3,
        32,
    ]
    shares = guided(brightness(image), before.probabilities, 2).clamp_min(0)
    (found,) = smooth.predict_positions([image])
    torch.testing.assert_close(found.probabilities, shares / shares.sum(0))
    assert torch.equal(found.mask, found.probabilities.argmax(0).to(torch.uint8))
    assert torch.equal(found.uncertainty, before.uncertainty) and not torch.equal(found.mask, before.mask)
    maps = fitted.features([cut(image, window) for window in fitted.windows(image.shape)]).on(image.shape[:2])
    (again,) = smooth.predict_maps([maps], [image])
    assert torch.equal(again.mask, found.mask)
    for model, given, said in (
        (smooth, None, "give the images"),
        (smooth, [image[:20]], "for maps of 48x48"),
        (changed(fitted, mirrored_views=True), [image], "mirrored images"),
    ):
        with pytest.raises(InputError, match=said):
            next(model.predict_maps([maps], given))
    with pytest.raises(ValueError):
        list(smooth.predict_maps([maps, maps], [image]))
    assert changed(fitted, smoothing=0.05, tile=True).smoothing_radius((12, 12)) == 1


@pytest.mark.parametrize("tile", [False, True])
def test_mirrored_views_treat_both_sides_alike(fitted, toy_test, tile):
    image = next(iter(SegmentationFolder(toy_test))).image
    model = changed(fitted, mirrored_views=True, smoothing=0.1, tile=tile)
    (found,), (mirrored,) = model.predict([image]), model.predict([np.ascontiguousarray(image[:, ::-1])])
    np.testing.assert_allclose(found.probabilities, mirrored.probabilities[..., ::-1], atol=1e-5)
    (one_way,) = changed(fitted, tile=tile).predict([image])
    assert (found.mask != one_way.mask).any() and found.uncertainty.max() <= model.greatest_uncertainty == np.log(6)


def test_what_happens_to_predictions_is_saved_with_the_model(fitted, toy_test, tmp_path):
    model = changed(fitted, mirrored_views=True, smoothing=0.1)
    model.save_pretrained(tmp_path / "model")
    image, again = next(iter(SegmentationFolder(toy_test))).image, Segmenter.from_pretrained(tmp_path / "model")
    (one,), (two,) = model.predict([image]), again.predict([image])
    assert (one.mask == two.mask).all() and (one.probabilities == two.probabilities).all()
    prints = {
        each.fingerprint() for each in (fitted, model, changed(fitted, smoothing=0.1), changed(fitted, smoothing=0.2))
    }
    assert len(prints) == 4 and again.fingerprint() == model.fingerprint()
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    del config["settings"]["mirrored_views"], config["settings"]["smoothing"]  # as earlier versions wrote it
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    assert Segmenter.from_pretrained(tmp_path / "model").fingerprint() == fitted.fingerprint()


def test_the_fingerprint_of_a_model_is_that_of_earlier_versions():
    """Synthetic sets hold it, so another value would refuse to continue them."""
    model = Segmenter(load_backbone("colour", native_size=(24, 32)), members=2, mirror=True, smoothing=0)
    model.classes, model.classifier = TOY_CLASSES, PixelClassifier((3, 2), 10, 2)
    for values in model.classifier.state_dict().values():
        values.copy_((torch.arange(values.numel()) % 17).view(values.shape))
    assert model.fingerprint() == "c7c7085c0b7f6a9c"  # printed by version 0.1.0
    model.classifier.linear1.bias.data[0, 0] += 1
    assert model.fingerprint() != "c7c7085c0b7f6a9c"


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "a", True])
def test_the_batch_size_of_an_evaluation_is_checked(batch_size, plain, toy_test):
    with pytest.raises(InputError, match=r"batch_size is .*; give a whole number from 1"):
        plain.evaluate(toy_test, batch_size=batch_size)
