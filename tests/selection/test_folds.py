"""Folds: every image once, sizes alike, classes spread as widely as they can be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalseg.selection.folds import folds_of, splits_of
from frugalseg.support.errors import InputError


def targets(*classes_of_each):
    """An image for each list of classes; an empty list is an image without labels."""
    return [np.array([classes or [255]], np.uint8) for classes in classes_of_each]


@settings(max_examples=60, deadline=None)
@given(
    classes=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=2, max_size=12),
    folds=st.integers(2, 6),
    seed=st.integers(0, 9),
)
def test_every_image_is_in_one_fold_and_folds_are_alike_in_size(classes, folds, seed):
    if folds > len(classes):
        with pytest.raises(InputError, match=f"{folds} folds of {len(classes)} annotated images"):
            folds_of(targets(*classes), folds, seed)
        return
    found = folds_of(targets(*classes), folds, seed)
    assert sorted(image for fold in found for image in fold) == list(range(len(classes)))
    assert max(map(len, found)) - min(map(len, found)) <= 1
    assert found == folds_of(targets(*classes), folds, seed)


def test_the_two_images_of_a_rare_class_are_in_two_folds():
    every = targets(*([[0, 1]] * 8), [0, 1, 2], [0, 1, 2])
    for seed in range(20):
        found = folds_of(every, 2, seed)
        assert sorted(sum(image >= 8 for image in fold) for fold in found) == [1, 1]


def test_images_without_labels_do_not_count():
    with pytest.raises(InputError, match="5 folds of 4 annotated images; give from 2 to 4"):
        folds_of(targets([0], [1], [0], [1], []), 5, 0)
    with pytest.raises(InputError, match="annotate at least 2"):
        folds_of(targets([0], []), 2, 0)
    assert len(folds_of(targets([0], [1], [], []), 2, 0)) == 2


def test_images_without_a_label_are_not_tested():
    splits = splits_of(targets([0], [], [1], [], [0, 1]), 2, 0)
    assert sorted(image for split in splits for image in split.test) == [0, 2, 4]
    assert all(set(split.train) & {0, 2, 4} == {0, 2, 4} - set(split.test) for split in splits)
