import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import literal
from frugalseg.metrics.confusion import ConfusionMatrix

CLASSES = 4


def labelled_pixels(seed: int, size: tuple[int, int] = (6, 7)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.choice([0, 1, 2, 3, 255], size).astype(np.uint8)
    return target, rng.integers(0, rng.integers(1, CLASSES + 1), size).astype(np.uint8)


def test_closed_forms():
    target = np.array([0, 0, 0, 1, 1, 255, 255], np.uint8)
    predicted = np.array([0, 0, 1, 1, 1, 0, 2])
    matrix = ConfusionMatrix(3).update(target, predicted)
    assert matrix.counts.tolist() == [[2, 1, 0], [0, 2, 0], [0, 0, 0], [1, 0, 1]]
    assert matrix.class_iou("usual")[:2] == pytest.approx([2 / 3, 2 / 3])
    assert math.isnan(matrix.class_iou("usual")[2])
    assert matrix.class_iou("paper") == pytest.approx([2 / 4, 2 / 3, 0])
    assert matrix.miou() == pytest.approx(2 / 3)
    assert matrix.miou_paper() == pytest.approx((2 / 4 + 2 / 3) / 3)
    assert matrix.pixel_accuracy() == pytest.approx(4 / 5)


def test_a_large_image_is_counted_in_bands():
    """Of which the last holds what is wrong, and nothing of them counts then."""
    target, predicted = labelled_pixels(0, (2048, 2049))
    flat = np.where(target == 255, CLASSES, target).astype(np.int64) * CLASSES + predicted
    expected = np.bincount(flat.ravel(), minlength=CLASSES * (CLASSES + 1)).reshape(CLASSES + 1, CLASSES)
    del flat
    matrix = ConfusionMatrix(CLASSES)
    tracemalloc.start()
    matrix.update(target, predicted)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(matrix.counts, expected) and peak < 8 * target.size
    target[-1, -1] = CLASSES
    with pytest.raises(ValueError, match="target holds 4: expected positions below 4"):
        matrix.update(target, predicted)
    assert np.array_equal(matrix.counts, expected)


@given(st.integers(0, 2**32 - 1))
def test_paper_convention_is_the_literal_one(seed: int):
    images = [labelled_pixels(seed + i) for i in range(3)]
    matrix = ConfusionMatrix(CLASSES)
    for target, predicted in images:
        matrix.update(target, predicted)
    predictions = [torch.as_tensor(predicted) for _, predicted in images]
    truths = [torch.as_tensor(target) for target, _ in images]
    assert matrix.miou_paper() == pytest.approx(literal.mean_iou(predictions, truths, range(CLASSES)), abs=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_conventions_agree_where_all_is_annotated_and_every_class_occurs(seed: int):
    rng = np.random.default_rng(seed)
    target = np.concatenate([np.arange(CLASSES), rng.integers(0, CLASSES, 50)])
    matrix = ConfusionMatrix(CLASSES).update(target, rng.integers(0, CLASSES, target.shape))
    assert matrix.miou() == pytest.approx(matrix.miou_paper(), abs=1e-7)
    assert 0 <= matrix.miou() <= 1


@given(st.integers(0, 2**32 - 1))
def test_merging_equals_counting_together(seed: int):
    parts = [labelled_pixels(seed + i) for i in range(2)]
    merged = ConfusionMatrix(CLASSES).update(*parts[0]).merge(ConfusionMatrix(CLASSES).update(*parts[1]))
    together = ConfusionMatrix(CLASSES).update(*(np.concatenate(both) for both in zip(*parts, strict=True)))
    assert (merged.counts == together.counts).all()


def test_nothing_counted_is_nan():
    matrix = ConfusionMatrix(2).update(np.full((2, 2), 255), np.zeros((2, 2), int))
    assert math.isnan(matrix.miou()) and math.isnan(matrix.pixel_accuracy())
    assert matrix.miou_paper() == 0


@pytest.mark.parametrize(
    ("target", "predicted", "message"),
    [
        ([0, 1], [0], "must be equal"),
        ([2], [0], "target holds 2: expected positions below 2"),
        ([-1], [0], "target holds -1"),
        ([0], [2], "prediction holds 2"),
        ([0], [255], "prediction holds 255"),
    ],
)
def test_what_does_not_fit_is_refused(target: list[int], predicted: list[int], message: str):
    with pytest.raises(ValueError, match=message):
        ConfusionMatrix(2).update(target, predicted)


def test_matrices_of_other_classes_do_not_merge():
    with pytest.raises(ValueError, match="cannot merge"):
        ConfusionMatrix(2).merge(ConfusionMatrix(3))
