"""The numbers of the baseline family, and its way through the registry."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalseg.backbones import load_backbone
from frugalseg.support.errors import InputError
from tests.backbones.battery import BackboneChecks


def test_colour_and_position_of_known_pixels() -> None:
    images = torch.zeros(2, 3, 2, 4)
    images[0, 0, 1, 2] = 1.0
    maps = load_backbone("colour")(images)
    colour, position = maps.maps
    assert maps.channels == (3, 2) and maps.dim == 5 and maps.size == (2, 4)
    assert colour[0, :, 1, 2].tolist() == [1.0, -1.0, -1.0]
    assert colour[1].unique().tolist() == [-1.0]
    assert position[1, 0, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert position[0, 1, :, 0].tolist() == [-0.5, 0.5]


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_any_size_works_and_stays_in_range(height: int, width: int) -> None:
    maps = load_backbone("colour")(torch.rand(1, 3, height, width))
    for tap, values in zip(load_backbone("colour").taps, maps.maps, strict=True):
        assert values.shape == (1, tap.channels, height, width)
        assert values.abs().max() <= 1


def test_position_does_not_change_when_an_image_is_resized() -> None:
    backbone = load_backbone("colour")
    small, large = (backbone(torch.zeros(1, 3, side, side)).maps[1] for side in (5, 15))
    torch.testing.assert_close(large[..., 1::3, 1::3], small)


class TestColour(BackboneChecks):
    weighted = False

    @pytest.fixture(scope="class")
    def backbone(self):  # type: ignore[no-untyped-def]
        return load_backbone("colour", native_size=(48, 32))


@pytest.mark.parametrize(
    ("checkpoint", "options", "said"),
    [
        ("weights.pt", {}, "no weights"),
        (None, {"timesteps": [50]}, "timesteps"),
        (None, {"native_size": (0, 4)}, "native_size"),
        (None, {"native_size": 64}, "native_size"),
    ],
)
def test_wrong_options_are_named(checkpoint: str | None, options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_backbone("colour", checkpoint, **options)
