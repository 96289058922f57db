import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from frugalseg.features.feature_maps import FeatureMaps

sides = st.integers(1, 23)


@settings(deadline=None, max_examples=60)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 5), sides, sides), min_size=1, max_size=3),
    size=st.tuples(st.integers(1, 61), st.integers(1, 61)),
    seed=st.integers(0, 1000),
)
def test_at_equals_upsample_then_index(shapes, size, seed):
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn(2, c, h, w, generator=generator) for c, h, w in shapes]
    upsampled = torch.cat([F.interpolate(m, size, mode="bilinear", align_corners=False) for m in maps], 1)
    pixels = torch.randint(size[0] * size[1], (17,), generator=generator)
    for image in range(2):
        expected = upsampled[image].flatten(1)[:, pixels].t()
        torch.testing.assert_close(FeatureMaps(maps, size).at(pixels, image), expected, atol=1e-5, rtol=0)


def test_a_map_as_large_as_the_grid_is_read_as_it_is():
    values = torch.randn(1, 4, 7, 9, generator=torch.Generator().manual_seed(0))
    pixels = torch.arange(7 * 9)
    assert torch.equal(FeatureMaps([values], (7, 9)).at(pixels), values[0].flatten(1).t())
    # Beside a coarser one, and where only one side is that of the grid.
    maps = FeatureMaps([values, values[:, :, :, :3]], (7, 9))
    stretched = F.interpolate(maps.maps[1], (7, 9), mode="bilinear", align_corners=False)
    expected = torch.cat([values, stretched], 1)[0].flatten(1).t()
    torch.testing.assert_close(maps.at(pixels), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "pixels", [[0, 1], torch.tensor([-1]), torch.tensor([24]), torch.tensor([0.0]), torch.tensor(3)]
)
def test_pixels_that_the_grid_lacks(pixels):
    maps = FeatureMaps([torch.randn(1, 3, 2, 3)], (4, 6))
    assert maps.at(torch.tensor([0, 23])).shape == (2, 3) and maps.at(torch.tensor([], dtype=torch.int64)).shape == (
        0,
        3,
    )
    with pytest.raises(ValueError, match="from 0 to below 24 on a grid of 4x6"):
        maps.at(pixels)


def test_shape_and_selection():
    maps = FeatureMaps([torch.zeros(3, 4, 2, 5), torch.ones(3, 6, 7, 1)], (10, 9))
    assert (len(maps), maps.channels, maps.dim) == (3, (4, 6), 10)
    assert len(maps[2]) == 1
    assert maps[1].on((3, 3)).at(torch.arange(9)).shape == (9, 10)
    assert maps.to(torch.float16).maps[0].dtype == torch.float16


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_values_are_the_same_whatever_torchs_default_dtype_is(dtype):
    """Positions of several hundred pixels are no numbers of bfloat16."""
    maps, pixels = FeatureMaps([torch.arange(60.0).view(1, 1, 6, 10)], (700, 900)), torch.arange(0, 630_000, 997)
    expected = maps.at(pixels)
    try:
        torch.set_default_dtype(dtype)
        found = maps.at(pixels)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32 and torch.equal(found, expected)
