from dataclasses import replace

import numpy as np
import pytest
import torch

from frugalseg import InputError, Segmenter, load_backbone
from frugalseg.classifier.extraction import drop_small_regions, labelled_windows, located
from frugalseg.data.toy.dataset import TOY_CLASSES, toy_example
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.windows import Window, windows


@pytest.mark.parametrize("minimum", [0, 1, 3])
def test_small_regions_are_dropped(minimum):
    target = np.array([[0, 0, 1, 1], [0, 2, 255, 1]], np.uint8)
    kept = drop_small_regions(target, minimum)
    assert (kept == 2).sum() == (1 if minimum <= 1 else 0)
    assert ((kept == target) | (target == 2)).all()
    assert drop_small_regions(target).tolist() == np.full((2, 4), 255).tolist()


def tiles(size: tuple[int, ...]) -> list[Window]:
    return windows((size[0], size[1]), (4, 4), 4, tile=True, overlap=0)


def test_only_windows_with_labels_of_their_own_are_seen():
    """Of an image of four tiles one is annotated; nothing is in the second image; in the third a region is small."""
    first, second, third = (np.full((8, 8), 255, np.uint8) for _ in range(3))
    first[:4, 4:] = 1
    third[0, 0], third[4:, :4] = 2, 0
    found = labelled_windows([first, second, third], tiles, small_region=2)
    assert [(each.image, each.window.top, each.window.left) for each in found] == [(0, 0, 4), (2, 4, 0)]
    assert (found[0].target == 1).all() and (found[1].target == 0).all()
    # Images without labels are not predicted either.
    every = labelled_windows([first, second, third], tiles, small_region=2, every=True)
    assert [each.image for each in every] == [0] * 4 + [2] * 4


def test_what_stored_maps_are_known_by_does_not_name_the_margin():
    """Digests of earlier versions stay as they are."""
    expected = {"top": 1, "left": 2, "size": (3, 4), "network": (5, 6)}
    assert located(Window(1, 2, (3, 4), (5, 6), 7)) == expected


def test_features_that_are_no_numbers_are_refused():
    model, example = Segmenter(load_backbone("colour", native_size=(16, 16))), toy_example(3, 0, 16)

    def damaged(images):
        maps = model.features(images)
        last = maps.maps[-1].clone()
        last[..., -1, -1] = torch.nan
        return FeatureMaps([*maps.maps[:-1], last], maps.size)

    with pytest.raises(InputError, match=r"image '.*': some features of the network are no numbers \(NaN\)"):
        model.extraction([example], None, "").compute(damaged)


def test_a_target_of_another_size_than_its_image_is_refused():
    example = toy_example(3, 0, 16)
    wrong = replace(example, target=example.target[:8])
    model = Segmenter(load_backbone("colour", native_size=(16, 16)))
    with pytest.raises(InputError, match=r"image '.*': 16x16 pixels, but its target has 8x16; give both the same size"):
        model.fit([wrong], classes=TOY_CLASSES)
