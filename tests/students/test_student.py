"""A student is used as a `Segmenter` is: any image size, the same saving and loading, honest about its doubts."""

import json
import resource

import numpy as np
import pytest
import torch

from frugalseg import InputError, SegmentationFolder, load_model
from frugalseg.classifier.tiling import joined
from frugalseg.data.toy.dataset import TOY_CLASSES
from frugalseg.students.network import NetworkSpec, new_network
from frugalseg.students.student import Student, View, stretched


def student(tile=False, size=(48, 48), seed=0):
    network = new_network(NetworkSpec("unet", "resnet18", 3, len(TOY_CLASSES)), seed)
    with torch.no_grad():
        network.body.segmentation_head[0].weight.mul_(10)  # random weights hardly prefer any class
    return Student(network, TOY_CLASSES, View(size, tile))


def pictures(*sizes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


@pytest.mark.parametrize("tile", [False, True])
def test_predictions_come_at_the_images_own_sizes(tile):
    model, images = student(tile), pictures((48, 48), (48, 48), (31, 77), (5, 5), (120, 70))
    found = list(model.predict(images, batch_size=3))
    for image, each in zip(images, found, strict=True):
        assert each.mask.shape == image.shape[:2]
        np.testing.assert_allclose(each.probabilities.sum(0), 1, atol=1e-5)
        expected = -(each.probabilities * np.log(each.probabilities + 1e-30)).sum(0)
        np.testing.assert_allclose(each.uncertainty, expected, atol=1e-4)
        assert each.uncertainty.max() <= model.greatest_uncertainty == pytest.approx(np.log(10))
        assert (each.mask == TOY_CLASSES.to_ids(each.probabilities.argmax(0))).all()
        assert len(np.unique(each.mask)) > 1
        assert each.image_uncertainty >= each.uncertainty.mean() - 1e-6
    alone = next(iter(model.predict(images[1:2])))
    np.testing.assert_allclose(alone.probabilities, found[1].probabilities, atol=1e-4)


def test_an_image_of_the_trained_size_is_what_the_network_says():
    model, (image,) = student(), pictures((48, 48))
    with torch.no_grad():
        logits = model.network(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
    np.testing.assert_allclose(next(model.predict([image])).probabilities, logits[0].softmax(0), atol=1e-6)


def test_tiles_keep_the_images_resolution():
    """Where only one window sees a pixel, its answer is that window's; a student that resizes has one window."""
    tiled, resizing = student(tile=True), student()
    (window,) = pictures((48, 48))
    large = np.tile(window, (2, 2, 1))
    assert [w.network for w in resizing.windows(large.shape)] == [(48, 48)]
    assert {(0, 0), (48, 48)} <= {(w.top, w.left) for w in tiled.windows(large.shape)}
    corner = next(tiled.predict([large])).probabilities[:, :10, :10]
    np.testing.assert_allclose(corner, next(tiled.predict([window])).probabilities[:, :10, :10], atol=1e-4)


@pytest.mark.parametrize("size", [(301, 411), (40, 61), (64, 96), (700, 97)])
def test_some_rows_at_a_time_are_what_all_at_once_are(size):
    """Large images are answered so; see `stretched`."""
    logits = torch.randn(2, 5, 64, 96, generator=torch.Generator().manual_seed(0)) * 5
    for whole, parts in zip(stretched(logits, size), stretched(logits, size, most=0), strict=True):
        one, other = joined(list(whole)), joined(list(parts))
        # Logits reach 20, where float32 steps by 2e-6; the two ways round a handful of times differently.
        torch.testing.assert_close(other.probabilities, one.probabilities, rtol=0, atol=2e-5)
        torch.testing.assert_close(other.uncertainty, one.uncertainty, rtol=0, atol=1e-4)
        best = one.probabilities.topk(2, dim=0).values
        assert torch.equal(other.mask[best[0] - best[1] > 1e-5], one.mask[best[0] - best[1] > 1e-5])


def test_a_large_image_is_answered_in_bounded_memory():
    """Its logits alone would take 4.8 GB."""
    logits = torch.randn(1, 100, 30, 40, generator=torch.Generator().manual_seed(0))
    (rows,) = stretched(logits, (3000, 4000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    piece = next(rows)
    assert piece.mask.shape == (64, 4000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # kilobytes


def test_evaluate_counts_what_predict_says(toy_test):
    model, dataset = student(), SegmentationFolder(toy_test)
    seen = []
    result = model.evaluate(dataset, batch_size=2, see=lambda example, found: seen.append(example.name))
    right = sum(
        int((model.classes.to_positions(next(model.predict([e.image])).mask) == e.target).sum()) for e in dataset
    )
    assert result.metrics()["pixel_accuracy"] == pytest.approx(right / sum(e.target.size for e in dataset))
    assert seen == dataset.names


@pytest.mark.parametrize("tile", [False, True])
def test_a_saved_student_predicts_the_same_however_it_is_loaded(tile, tmp_path):
    model, images = student(tile, size=(24, 32)), pictures((40, 60))
    model.save_pretrained(tmp_path / "model")
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        "classes.json",
        "config.json",
        "model",
        "student.safetensors",
    ]
    expected = next(model.predict(images)).probabilities
    before = torch.random.get_rng_state()
    for again in (load_model(tmp_path / "model"), Student.from_pretrained(tmp_path / "model")):
        assert torch.equal(torch.random.get_rng_state(), before)
        assert isinstance(again, Student) and again.view == model.view and again.classes == TOY_CLASSES
        np.testing.assert_array_equal(next(again.predict(images)).probabilities, expected)


def spoil(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def network(architecture, encoder):
    return {"architecture": architecture, "encoder": encoder, "depth": 3, "classes": 10}


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda f: (f / "student.safetensors").write_bytes(b"half"), "student.safetensors"),
        (lambda f: spoil(f, format=99), "later version"),
        (lambda f: spoil(f, network={"architecture": "unet"}), "damaged model"),
        (
            lambda f: spoil(f, network=network("x", "y")),
            "no architecture",
        ),
        (lambda f: spoil(f, view={}), "damaged model"),
        (
            lambda f: spoil(f, network=network("unet", "resnet34")),
            "student.safetensors",
        ),
        (lambda f: (f / "config.json").write_text("{"), "not JSON"),
    ],
)
def test_damaged_students(break_it, said, tmp_path):
    student().save_pretrained(tmp_path / "model")
    break_it(tmp_path / "model")
    with pytest.raises(InputError, match=said) as caught:
        load_model(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_a_segmenter_is_no_student(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="holds no student"):
        Student.from_pretrained(tmp_path)
