"""Fewer images are part of more, the first members of an ensemble are an ensemble, and numbers are checked."""

from dataclasses import replace

import numpy as np
import pytest

from frugalseg import Segmenter, load_backbone
from frugalseg.classifier.protocol import PROTOCOLS
from frugalseg.data.chain import Chain
from frugalseg.data.toy.dataset import TOY_CLASSES, toy_example
from frugalseg.selection.cross_validation import every_window
from frugalseg.selection.curves import learned_from, members_up_to, most_images, sizes_up_to, with_images, with_members
from frugalseg.selection.folds import Split
from frugalseg.selection.trial import Trial
from frugalseg.support.errors import InputError

SPLITS = [Split((0, 1, 2), (4, 5))]


@pytest.fixture(scope="module")
def trial():
    images = [toy_example(3, index, 16) for index in range(6)]
    images[2] = replace(images[2], target=np.full((16, 16), 255, np.uint8))
    data = Chain(images[:4], images[4:])
    assert len(data) == 6 and data[-1] is images[5] and data.target(3) is images[3].target
    quick = replace(PROTOCOLS["default"], steps=15)
    segmenter = Segmenter(load_backbone("colour", native_size=(16, 16)), protocol=quick, small_region=0)
    maps = every_window(segmenter, data, None)
    maps.compute(segmenter.features)
    return Trial(segmenter, [each.target for each in images], maps, 2, len(TOY_CLASSES))


def test_images_of_a_smaller_number_are_among_those_of_a_larger_one(trial, monkeypatch):
    learned = []
    train = Trial.trained

    def seen(self, images, seed=None, stop=None):
        learned.append((seed, list(images)))
        return train(self, images, seed, stop)

    monkeypatch.setattr(Trial, "trained", seen)
    assert most_images(trial.targets, SPLITS, 20) == 2  # one of three has no labels
    scores = [[with_images(trial, SPLITS, size, seed).miou() for size in (1, 2)] for seed in (7, 8)]
    for seed in (7, 8):
        small, large = (images for said, images in learned if said == seed)
        assert len(small) == 1 and {*small} < {*large} == {0, 1}
    assert np.isfinite(scores).all()


def test_images_whose_regions_are_all_too_small_are_not_learned_from(trial):
    targets = [np.full((16, 16), 255, np.uint8) for _ in range(3)]
    targets[0][0, :8], targets[1][:4] = 1, 2
    split = Split((0, 1, 2), ())
    assert learned_from(targets, split, small_region=20) == [1]
    assert learned_from(targets, split, small_region=8) == [0, 1]
    with pytest.raises(InputError, match="only classes with fewer pixels than --small-regions"):
        trial.trained([2])


def test_the_first_members_of_an_ensemble_are_that_ensemble(trial):
    one, two = with_members(trial, SPLITS, (1, 2), seed=4)
    alone = Trial(trial.segmenter, trial.targets, trial.extraction, 1, trial.num_classes)
    (by_itself,) = with_members(alone, SPLITS, (1,), seed=4)
    assert np.abs(one.counts - by_itself.counts).sum() <= 4  # up to rounding
    assert not np.array_equal(one.counts, two.counts)


def test_the_numbers_that_are_tried():
    assert sizes_up_to(1) == (1,) and sizes_up_to(13) == (1, 2, 4, 8, 13) and sizes_up_to(8) == (1, 2, 4, 8)
    assert sizes_up_to(5, (5, 2, 2)) == (2, 5)
    for wrong in ((0, 1), (6,), ()):
        with pytest.raises(InputError, match="there are 5 annotated images to learn from; give numbers from 1 to 5"):
            sizes_up_to(5, wrong)
    assert members_up_to(1) == (1,) and members_up_to(12) == (1, 2, 3, 4, 5, 6, 8, 10, 12)
