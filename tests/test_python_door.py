"""What Python programs give in place of what is expected, and what state of torch they call with."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from frugalseg import InputError, SegmentationFolder, Segmenter, load_backbone
from frugalseg.data.toy.dataset import TOY_CLASSES, toy_example
from frugalseg.selection.cross_validation import cross_validate
from tests.test_segmenter import QUICK, quick


def colour(**settings):
    return quick(load_backbone("colour", native_size=(16, 16)), **settings)


def examples():
    return [toy_example(3, number, 16) for number in range(2)]


@pytest.fixture(scope="module")
def fitted():
    return colour().fit(examples(), classes=TOY_CLASSES)


class Pairs:
    """A dataset as torch has them."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return examples()[index].image, examples()[index].target


@pytest.mark.parametrize(
    ("given", "kind"), [(Pairs(), "tuple"), ([None], "NoneType"), ([*examples(), None], "NoneType")]
)
def test_datasets_of_something_else(given, kind, fitted):
    for use in (fitted.evaluate, lambda data: colour().fit(data, classes=TOY_CLASSES)):
        with pytest.raises(InputError, match=f"expected examples, found {kind}; give a data folder"):
            use(given)


@pytest.mark.parametrize("classes", [[f"class {number}" for number in range(10)], "classes.json", {}])
def test_classes_that_are_no_table(classes, toy_train):
    for data in (toy_train, SegmentationFolder(toy_train), examples()):
        with pytest.raises(InputError, match=r"classes is .*; give a ClassTable"):
            colour().fit(data, classes=classes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": lambda image: image / 255}, r"image '.*': float64 of shape \(16, 16, 3\), where \(H, W, 3\) uint8"),
        ({"image": lambda image: image[..., 0]}, r"image '.*': uint8 of shape \(16, 16\), where"),
        ({"image": torch.from_numpy}, r"image '.*': torch\.uint8 of shape \(16, 16, 3\), where"),
        ({"image": lambda image: image.tolist()}, "image '.*': list, where"),
        (
            {"target": lambda target: target[:8]},
            "image '.*': 16x16 pixels, but its target has 8x16; give both the same",
        ),
        (
            {"target": lambda target: target - np.int64(1)},
            r"the target of image .* holds values from -1 to \d+; positions",
        ),
        (
            {"target": lambda target: target + np.int64(256)},
            r"the target of image .* holds values from 256 to \d+; posi",
        ),
        ({"target": lambda target: target / 1}, r"the target of image .*: float64 of shape \(16, 16\); give \(H, W\)"),
        ({"target": lambda target: target[..., None]}, r"image .*(\(16, 16, 1\)|16x16x1); give"),
        (
            {"target": lambda target: target + np.uint8(10)},
            r"class position 1\d, the (table|model) has 10 classes; posi",
        ),
    ],
)
def test_images_and_targets_of_another_kind(change, said, fitted):
    ((field, changed),) = change.items()
    wrong = [replace(each, **{field: changed(getattr(each, field))}) for each in examples()]
    for use in (fitted.evaluate, lambda data: colour().fit(data, classes=TOY_CLASSES)):
        with pytest.raises(InputError, match=said):
            use(wrong)


def test_targets_of_other_whole_numbers_mean_the_same(fitted):
    for kind in (np.int64, np.uint16):
        wide = [replace(each, target=each.target.astype(kind)) for each in examples()]
        assert colour().fit(wide, classes=TOY_CLASSES).fingerprint() == fitted.fingerprint()
        assert fitted.evaluate(wide).metrics() == fitted.evaluate(examples()).metrics()


def test_a_work_folder_by_its_name(fitted, tmp_path):
    for work in (str(tmp_path / "work"), tmp_path / "again"):
        found = colour().fit(examples(), classes=TOY_CLASSES, work=work)
        assert found.fingerprint() == fitted.fingerprint()
        assert colour().pixel_set(examples(), work).labels.numel()
    (tmp_path / "file").write_text("notes")
    for work, said in ((tmp_path / "file", "a file of that name is in the way"), (7, "is no work folder")):
        with pytest.raises(InputError, match=said):
            colour().fit(examples(), classes=TOY_CLASSES, work=work)


@pytest.mark.parametrize("device", ["meta", torch.device("meta"), "nothing", None, 3.5])
def test_devices_that_take_nothing_or_give_nothing_back(device, fitted):
    before = fitted.fingerprint()
    for use in (fitted.moved, lambda place: Segmenter(fitted.backbone, device=place)):
        with pytest.raises(InputError, match=r"device is .*; give one that this machine has, such as cpu"):
            use(device)
    assert fitted.device == torch.device("cpu") and fitted.fingerprint() == before


@pytest.mark.parametrize(
    "settings",
    [
        {"members": np.int64(3), "seed": np.uint8(0), "small_region": np.int32(20)},
        {"network_size": [16, 16], "overlap": 0},
        {"network_size": (np.int64(16), 16), "overlap": np.float32(0.25), "smoothing": np.float64(0.1)},
        {"protocol": replace(QUICK, learning_rate=1, steps=np.int64(60))},
    ],
)
def test_a_saved_model_has_the_fingerprint_of_the_one_in_memory(settings, tmp_path):
    model = colour(**settings).fit(examples(), classes=TOY_CLASSES)
    model.save_pretrained(tmp_path / "model")
    again = Segmenter.from_pretrained(tmp_path / "model")
    assert again.settings == model.settings and again.fingerprint() == model.fingerprint()


def test_a_list_is_the_only_size_of_a_network_as_well(fitted):
    backbone = load_backbone("colour", native_size=(16, 16))
    backbone.fixed_size = (16, 16)
    assert Segmenter(backbone, network_size=[16, 16]).native == (16, 16)


@contextmanager
def default_of_torch(kind):
    """A default that a caller may have set: a dtype, or a device, of which this test must make no tensor."""
    if isinstance(kind, torch.dtype):
        torch.set_default_dtype(kind)
    else:
        torch.set_default_device(kind)
    try:
        yield
        assert torch.get_default_device() == torch.device(kind if isinstance(kind, str) else "cpu")
        assert torch.get_default_dtype() == (torch.float32 if isinstance(kind, str) else kind)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)  # "cpu" would leave a mode on for every later test


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("colour", torch.float64),
        ("colour", "meta"),
        ("ddpm", torch.bfloat16),
        ("ddpm", "meta"),
        pytest.param("timm", torch.bfloat16, marks=pytest.mark.slow),
        pytest.param("timm", "meta", marks=pytest.mark.slow),
    ],
)
def test_torchs_defaults_change_nothing(family, kind, tiny_ddpm, tmp_path):
    image = np.tile(examples()[0].image, (2, 3, 1))

    def answers():
        place = {"checkpoint": str(tiny_ddpm), "timesteps": (10,), "blocks": (1,)} if family == "ddpm" else {}
        backbone, few = load_backbone(family, **place), replace(QUICK, steps=20)
        model = Segmenter(backbone, protocol=few, members=2, tile=family == "colour")
        model.fit(examples(), classes=TOY_CLASSES).save_pretrained(tmp_path / "model")
        scores = [cross_validate(model, examples(), 2, classes=TOY_CLASSES).miou]
        for each in (model, Segmenter.from_pretrained(tmp_path / "model")):
            scores.append(each.evaluate(examples()).confusion.miou())
            found = next(each.predict(image))
            scores += [found.probabilities, found.uncertainty]
        return scores

    expected = answers()
    with default_of_torch(kind):
        found = answers()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_everything_works_where_gradients_are_turned_off(off, fitted):
    with off():
        model = colour().fit(examples(), classes=TOY_CLASSES)
        inside = next(model.predict(examples()[0].image))
    assert model.fingerprint() == fitted.fingerprint()
    np.testing.assert_array_equal(inside.probabilities, next(fitted.predict(examples()[0].image)).probabilities)
    assert model.fit(examples(), classes=TOY_CLASSES).fingerprint() == fitted.fingerprint()
