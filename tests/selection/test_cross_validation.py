"""Cross-validation gives what fitting and evaluating by hand gives, fold by fold, and sees no image twice."""

import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from frugalseg import SegmentationFolder, Segmenter, load_backbone
from frugalseg.classifier.protocol import PROTOCOLS
from frugalseg.data.classes import ClassTable
from frugalseg.data.toy.dataset import TOY_CLASSES, toy_example, write_toy_folder
from frugalseg.metrics.confusion import ConfusionMatrix
from frugalseg.selection import cross_validation
from frugalseg.selection.cross_validation import CrossValidation, certainty, cross_validate, every_window
from frugalseg.selection.folds import Split, folds_of, splits_of
from frugalseg.selection.forward import choose_places
from frugalseg.selection.trial import Trial
from frugalseg.support.errors import InputError


class Folder(list):
    """Examples with their class table, as a `SegmentationFolder` has them."""

    classes = TOY_CLASSES


@pytest.fixture
def threads_of_torch():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


QUICK = replace(PROTOCOLS["default"], steps=30)
IMAGES = Folder(toy_example(3, index, 24) for index in range(5))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"mirror": True, "smoothing": 0},
        {"mirrored_views": True},
        {"tile": True, "network_size": (16, 16), "mirrored_views": True, "mirror": True},
    ],
)
def test_each_image_is_predicted_by_a_model_of_the_other_folds(settings):
    def segmenter():
        return Segmenter(load_backbone("colour", native_size=(24, 24)), members=2, seed=1, protocol=QUICK, **settings)

    found = cross_validate(segmenter(), IMAGES, 2)
    for held_out in folds_of([each.target for each in IMAGES], 2, seed=1):
        model = segmenter().fit(Folder(each for n, each in enumerate(IMAGES) if n not in held_out))
        for image in held_out:
            expected = model.evaluate(Folder([IMAGES[image]])).confusion.counts
            # Stored maps are rounded to half precision: a pixel between two classes may turn.
            assert np.abs(found.images[image].counts - expected).sum() <= 8


def trial_of(protocol, **settings):
    segmenter = Segmenter(load_backbone("colour", native_size=(24, 24)), protocol=protocol, **settings)
    maps = every_window(segmenter, IMAGES, None)
    maps.compute(segmenter.features)
    return Trial(segmenter, [each.target for each in IMAGES], maps, 2, len(TOY_CLASSES))


def test_trained_and_tested_at_once_or_one_after_another_they_are_the_same(threads_of_torch):
    trial = trial_of(QUICK)
    splits = [Split((0, 1), (3, 4)), Split((2, 3, 4), (0,)), Split((0, 4), (1, 2))]
    threads_of_torch(1)
    expected = [trial.tested(split) for split in splits]
    threads_of_torch(2)  # one for each of two splits
    for found, other, split in zip(trial.tested_each(splits), expected, splits, strict=True):
        assert tuple(found) == split.test
        for image, matrix in found.items():
            np.testing.assert_array_equal(matrix.counts, other[image].counts)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("threads", [1, 2])
def test_who_needs_no_more_stops_what_still_trains(threads, threads_of_torch):
    threads_of_torch(threads)
    begun, quick, endless = [], trial_of(QUICK), trial_of(replace(QUICK, steps=10**9))

    class OneThatEnds(Trial):
        def trained(self, images, *given, **named):
            begun.append(images)
            return (quick if images == (0, 1) else endless).trained(images, *given, **named)

    trial = OneThatEnds(quick.segmenter, quick.targets, quick.extraction, quick.members, quick.num_classes)
    with closing(trial.tested_each([Split(images, (0,)) for images in ((0, 1), (2, 3), (3, 4))])) as found:
        assert list(next(found)) == [0]
    assert begun[0] == (0, 1) and len(begun) in ((1,) if threads == 1 else (2, 3))


def test_several_trials_are_tested_as_each_alone(threads_of_torch):
    """Splits of the second are under way while the first is tested; nothing of it depends on that."""
    trials = [trial_of(QUICK), trial_of(QUICK, mirror=True, smoothing=0)]
    splits = splits_of(trials[0].targets, 3, 0)
    threads_of_torch(1)
    expected = [cross_validation.tested(trial, splits, TOY_CLASSES) for trial in trials]
    assert not np.array_equal(expected[0].confusion.counts, expected[1].confusion.counts)
    threads_of_torch(2)
    told = []
    found = cross_validation.tested_each(trials, splits, TOY_CLASSES, lambda *progress: told.append(progress))
    for one, other in zip(found, expected, strict=True):
        assert one.folds == 3 and len(one.images) == len(IMAGES)
        for matrix, same in zip(one.images, other.images, strict=True):
            np.testing.assert_array_equal(matrix.counts, same.counts)
    assert told == 2 * [("folds", done, 3) for done in range(4)]
    assert list(cross_validation.tested_each([], splits, TOY_CLASSES)) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_trials_that_nobody_waits_for_are_stopped(threads, threads_of_torch):
    threads_of_torch(threads)
    trials = [trial_of(QUICK), *(trial_of(replace(QUICK, steps=10**9)) for _ in range(3))]
    splits = splits_of(trials[0].targets, 2, 0)
    with closing(cross_validation.tested_each(trials, splits, TOY_CLASSES)) as found:
        assert next(found).folds == 2


def test_a_dataset_is_asked_for_one_image_at_a_time(threads_of_torch):
    class OneAtATime(Folder):
        def __init__(self, images):
            super().__init__(images)
            self.asked, self.busy = 0, False

        def __getitem__(self, index):
            assert not self.busy
            self.busy, self.asked = True, self.asked + 1
            time.sleep(0.01)
            self.busy = False
            return super().__getitem__(index)

    threads_of_torch(2)
    trial = trial_of(QUICK, smoothing=0.2)  # needs the images
    trial.extraction.dataset = dataset = OneAtATime(IMAGES)
    assert len(list(trial.tested_each([Split((0, 1), (2, 3, 4)), Split((2, 3), (0, 1, 4))]))) == 2
    assert dataset.asked == 6


@pytest.mark.parametrize(
    ("values", "message"),
    [((3,), "of fewer than two classes"), ((0, 99), r"holds the class position 99, the table has \d+ classes")],
)
def test_classes_that_nothing_can_learn_are_refused_before_the_features(values, message):
    class Idle(Segmenter):
        def features(self, images):
            raise AssertionError("nothing is to be computed")

    targets = [np.full((24, 24), values[number % len(values)], np.uint8) for number in range(4)]
    images = Folder([replace(each, target=target) for each, target in zip(IMAGES, targets, strict=False)])
    segmenter = Idle(load_backbone("colour", native_size=(24, 24)), members=1, protocol=QUICK)
    with pytest.raises(InputError, match=message):
        cross_validate(segmenter, images, 2)
    with pytest.raises(InputError, match=message):
        choose_places(Idle(load_backbone("filters"), members=1, protocol=QUICK), images)


def test_a_fold_without_anything_to_learn_is_refused_before_the_features():
    class Idle(Segmenter):
        def features(self, images):
            raise AssertionError("nothing is to be computed")

    few = replace(IMAGES[0], target=np.where(np.arange(24 * 24).reshape(24, 24) < 5, np.uint8(1), np.uint8(255)))
    segmenter = Idle(load_backbone("colour", native_size=(24, 24)), members=1, protocol=QUICK)
    with pytest.raises(InputError, match=r"fewer than 20 pixels.* a smaller number as --small-regions"):
        cross_validate(segmenter, Folder([few, IMAGES[1]]), 2)


def test_the_network_sees_each_image_once(tmp_path):
    seen = []

    class Counting(Segmenter):
        def features(self, images):
            seen.append(len(images))
            return super().features(images)

    segmenter = Counting(load_backbone("colour", native_size=(24, 24)), members=1, protocol=QUICK)
    first = cross_validate(segmenter, IMAGES, 5, work=tmp_path / "maps")
    assert sum(seen) == len(IMAGES)
    again = cross_validate(segmenter, IMAGES, 5, work=tmp_path / "maps")
    assert sum(seen) == len(IMAGES)
    assert first.miou == again.miou
    # Maps of other images are not taken for theirs.
    others = Folder(toy_example(4, index, 24) for index in range(5))
    found = cross_validate(segmenter, others, 5, work=tmp_path / "maps")
    assert sum(seen) == 2 * len(IMAGES)
    assert found.miou == cross_validate(segmenter, others, 5).miou


def test_classes_go_by_their_names_and_wrong_arguments_are_told_in_one_line(tmp_path):
    segmenter = Segmenter(load_backbone("colour", native_size=(24, 24)), members=1, protocol=QUICK)
    write_toy_folder(tmp_path / "data", 4, 3, size=24)
    folder = SegmentationFolder(tmp_path / "data")
    turned = ClassTable(TOY_CLASSES.ids[::-1], TOY_CLASSES.names[::-1], TOY_CLASSES.colors)
    own, other = cross_validate(segmenter, tmp_path / "data", 2), cross_validate(segmenter, folder, 2, classes=turned)
    pixels, others = (found.confusion.counts.sum(1) for found in (own, other))
    assert pixels[:-1].tolist() == others[:-1][::-1].tolist() and len(set(pixels.tolist())) > 4
    wrong = [
        ({"folds": "2"}, "folds is '2'; give a whole number"),
        ({"folds": 2.0}, r"folds is 2\.0; give a whole number"),
        ({"members": 0}, "members is 0; give a whole number from 1 to 1000"),
        ({"classes": ClassTable.from_ids([0, 1])}, "unknown class ids 2, 3, 4"),
        ({"classes": "x"}, "classes is 'x'; give a ClassTable"),
        ({"dataset": 3}, "expected examples, found int"),
        ({"segmenter": None}, r"None is no Segmenter; give Segmenter\(backbone\)"),
        ({"work": 3}, "3 of the type int is no work folder"),
    ]
    for arguments, said in wrong:
        with pytest.raises(InputError, match=said):
            cross_validate(**{"segmenter": segmenter, "dataset": folder, "folds": 2, **arguments})


def test_the_interval_holds_the_estimate_and_is_a_point_where_images_are_alike():
    def matrix(right, wrong):
        found = ConfusionMatrix(2)
        found.counts[:2] = [[right, wrong], [wrong, right]]
        return found

    alike = CrossValidation(ClassTable.from_ids([0, 1]), 2, tuple(matrix(8, 2) for _ in range(6)))
    assert alike.miou == pytest.approx(8 / 12)
    assert alike.interval() == pytest.approx((8 / 12, 8 / 12))
    mixed = CrossValidation(alike.classes, 2, tuple(matrix(9 - n, 1 + n) for n in range(6)))
    low, high = mixed.interval()
    assert low < mixed.miou < high and mixed.interval() == (low, high)


def test_the_certainty_that_one_model_is_better_is_that_of_the_same_images_drawn_for_both():
    """Each of two models has one wrong pixel, in another of three images: one is better where its own is drawn less."""

    def model(mistaken):
        target = np.array([0, 0, 1, 1])
        images = [ConfusionMatrix(2).update(target, [image == mistaken, 0, 1, 1]) for image in range(3)]
        return CrossValidation(ClassTable.from_ids([0, 1]), 3, tuple(images))

    # Of 27 draws of three images, 7 hold both of two images equally often; the rest are halved.
    assert certainty(model(1), model(0)) == pytest.approx(10 / 27, abs=3 * (10 / 27 * 17 / 27 / 2000) ** 0.5)
    assert certainty(model(0), model(0)) == 0
    assert certainty(model(None), model(0)) == pytest.approx(19 / 27, abs=3 * (19 / 27 * 8 / 27 / 2000) ** 0.5)
