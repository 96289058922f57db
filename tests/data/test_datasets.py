"""What datasets that others make of a data folder, as torch's subsets, still know of it."""

from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import Subset as TorchSubset

from frugalseg.data.classes import ClassTable
from frugalseg.data.datasets import classes_of, in_channels, in_classes
from frugalseg.data.folder import SegmentationFolder
from frugalseg.data.subset import Subset
from frugalseg.support.errors import InputError
from tests.data.helpers import data_folder, halves

COLORS = ((0, 0, 0), (9, 9, 9))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = data_folder(tmp_path, [halves(0, 1), halves(1, 0), halves(0, 0)])
    ClassTable((0, 1), ("left", "right"), COLORS).to_json(folder / "classes.json")
    return folder


@pytest.mark.parametrize("kind", [Subset, TorchSubset])
def test_a_subset_has_the_classes_of_the_whole(kind: type, data: Path) -> None:
    some = kind(SegmentationFolder(data), [1, 2])
    assert classes_of(some).names == ("left", "right")
    model = ClassTable((5, 6), ("right", "left"), COLORS)
    np.testing.assert_array_equal(in_classes(some, model)[0].target, halves(0, 1))
    assert in_classes(some, classes_of(some)) is some
    with pytest.raises(InputError, match="the dataset has classes that the model lacks: left"):
        in_classes(some, ClassTable((0, 1), ("right", "up"), COLORS))


@pytest.mark.parametrize("kind", [Subset, TorchSubset])
def test_images_that_were_read_as_rgb_are_not_taken_for_chosen_channels(kind: type, data: Path) -> None:
    chosen = SegmentationFolder(data, channels=(2,))
    with pytest.raises(InputError, match=r"open the data folder with channels=..., and make the \w*Subset of that"):
        in_channels(kind(SegmentationFolder(data), [1]), chosen.channels)
    some = kind(chosen, [1])
    assert in_channels(some, chosen.channels) is some and some[0].image.shape == (12, 16, 1)
