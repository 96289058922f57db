from itertools import product

import numpy as np
import pytest
import torch

from frugalseg.classifier.prediction import PixelPrediction
from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.metrics.confusion import ConfusionMatrix
from frugalseg.metrics.evaluation import Evaluation
from frugalseg.metrics.resampling import DRAWS, resampled

IGNORED = 255


def matrices(number, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    targets = generator.choice([*range(classes), IGNORED], (number, 40))
    return [ConfusionMatrix(classes).update(target, generator.integers(classes, size=40)) for target in targets]


def merged(images):
    total = ConfusionMatrix(images[0].num_classes)
    for image in images:
        total.merge(image)
    return total


def test_resamplings_are_those_of_all_ways_to_draw_the_images():
    images = matrices(3)
    every = np.array([merged(drawn).miou() for drawn in product(images, repeat=3)])
    values = resampled(images).values()
    assert {round(value, 12) for value in values} <= {round(value, 12) for value in every}
    assert values.mean() == pytest.approx(every.mean(), abs=4 * every.std() / DRAWS**0.5)
    assert values.std() == pytest.approx(every.std(), rel=0.1)
    assert not np.array_equal(values, resampled(images).values(seed=1))


def test_the_interval_holds_the_truth_nearly_as_often_as_it_says():
    generator = np.random.default_rng(5)
    truth, held = 0.8, 0
    for _ in range(100):
        # Of each image another share is right. The second class is predicted and never there: the mean is half of it.
        shares = np.clip(generator.normal(truth, 0.1, 40), 0, 1)
        images = [ConfusionMatrix.of([[round(1e4 * s), round(1e4 * (1 - s))], [0, 0], [0, 0]]) for s in shares]
        low, high = resampled(images).interval()
        held += low <= truth / 2 <= high
    assert 88 <= held <= 99


def test_an_evaluation_of_a_single_annotated_image_has_no_interval():
    classes, generator = ClassTable.from_ids([0, 1]), np.random.default_rng(0)
    evaluation = Evaluation(classes)

    def add(target):
        mask = torch.from_numpy(generator.integers(2, size=(8, 8)).astype(np.uint8))
        image = np.zeros((8, 8, 3), np.uint8)
        evaluation.add(Example("a", image, target), PixelPrediction(mask, None, torch.zeros(8, 8), 0.0))

    add(generator.integers(2, size=(8, 8)).astype(np.uint8))
    add(np.full((8, 8), IGNORED, np.uint8))
    assert evaluation.metrics()["miou_interval"] is None
    add(generator.integers(2, size=(8, 8)).astype(np.uint8))
    low, high = evaluation.metrics()["miou_interval"]
    assert low <= evaluation.confusion.miou() <= high


def test_images_in_which_nothing_is_annotated_are_not_resampled():
    classes, generator = ClassTable.from_ids([0, 1]), np.random.default_rng(0)
    targets = [generator.integers(2, size=(8, 8)).astype(np.uint8) for _ in range(4)]
    bare = [np.full((8, 8), IGNORED, np.uint8)] * 3
    found = []
    for every in (targets, [*bare, *targets]):
        evaluation = Evaluation(classes)
        for target in every:
            mask = torch.from_numpy(np.eye(8, dtype=np.uint8))
            said = PixelPrediction(mask, None, torch.zeros(8, 8), 0.0)
            evaluation.add(Example("a", np.zeros((8, 8, 3), np.uint8), target), said)
        found.append(evaluation.interval())
    assert found[0] == found[1]
