"""Which taps the options of a family choose."""

from frugalseg.features.taps import Tap
from frugalseg.selection.places import is_grid, places_of

CROSSED = [Tap(f"t{t}.block{b}", 4, 2, (("timesteps", t), ("blocks", b))) for t in (50, 150) for b in (5, 6)]
BESIDE = [
    *(Tap(f"encoder{rows}", 4, 2, (("encoder_resolutions", rows),)) for rows in (16, 8)),
    *(Tap(f"block{number}", 4, 2, (("decoder_blocks", number),)) for number in (3, 7)),
]


def test_options_that_choose_each_tap_together_make_a_grid():
    assert places_of(CROSSED) == {"timesteps": (50, 150), "blocks": (5, 6)}
    assert is_grid(CROSSED)
    assert is_grid(CROSSED[:2])


def test_options_that_choose_taps_of_their_own_make_none():
    # Two and two taps are as many as a grid of two by two would have.
    assert places_of(BESIDE) == {"encoder_resolutions": (16, 8), "decoder_blocks": (3, 7)}
    assert not is_grid(BESIDE)
    assert not is_grid([Tap("layer1", 4, 2, (("layers", 1),)), Tap("colour", 3, 1)])
    assert not is_grid([])
