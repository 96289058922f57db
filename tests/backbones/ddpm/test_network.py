"""UNets whose size follows from the image's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalseg.backbones.ddpm.network import UNetShape, build_unet, choose_shape
from frugalseg.support.errors import InputError


@given(st.integers(8, 1024), st.integers(8, 1024))
def test_every_image_size_has_a_shape(height: int, width: int) -> None:
    shape = choose_shape((height, width))
    assert 2 <= len(shape.channels) <= 6 and shape.stride <= min(height, width)
    assert list(shape.channels) == sorted(shape.channels)


def test_what_is_given_is_kept() -> None:
    assert choose_shape((48, 32), 16, (2, 4, 6, 7), 3, 0) == UNetShape((32, 64, 96, 112), 3, 0)
    assert choose_shape((256, 256)).channels == (128, 128, 256, 256, 512, 512)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=3), st.integers(0, 1), st.sampled_from([4, 8, 12]))
def test_any_shape_builds_and_runs(multipliers: list[int], attention: int, base: int) -> None:
    shape = choose_shape((8, 16), base, tuple(multipliers), 1, attention)
    unet = build_unet((8, 16), shape)
    assert unet(torch.zeros(2, 3, 8, 16), torch.tensor([0, 999])).sample.shape == (2, 3, 8, 16)


@pytest.mark.parametrize(
    ("size", "shape", "message"),
    [
        ((48, 30), ((8, 8, 8), 1, 0), "multiples of 4"),
        ((48, 32), ((6, 8), 1, 0), "multiples of 4"),
        ((48, 32), ((8, 8), 0, 0), "1 or more"),
        ((48, 32), ((8, 8), 1, 3), "0 to 2"),
    ],
)
def test_what_cannot_be_built_is_refused(size: tuple[int, int], shape: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_unet(size, UNetShape(*shape))
