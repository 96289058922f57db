"""How a prediction is computed: in threads, in tiles, and no more of it than is wanted."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from frugalseg.classifier.prediction import EnsemblePredictor
from frugalseg.classifier.stretching import axis, tile_rows
from frugalseg.classifier.voting import EVERYTHING, LABELS, Wanted, combine, majority, softmax, tally
from frugalseg.features.feature_maps import FeatureMaps
from tests.classifier.test_ensemble import random_maps, trained_looking


def example() -> tuple[EnsemblePredictor, FeatureMaps]:
    """Several bands of rows, several tiles in each, and a rest in both directions."""
    maps = random_maps((5, 3, 2), [(12, 20), (6, 10), (6, 10)], (45, 77))
    return trained_looking((5, 3, 2), 4).float().predictor(), maps.to(torch.float32)


def test_tiles_are_lower_where_more_members_share_the_cache():
    """Of 1, 3, 5 and 10 members with the published widths, and of 10 for many classes."""
    assert [tile_rows(wide) for wide in (128, 384, 640, 1280, 2560)] == [32, 32, 16, 8, 8]


@pytest.mark.parametrize("threads", [2, 5])
def test_the_number_of_threads_changes_no_bit(threads: int):
    predictor, maps = example()
    before = torch.get_num_threads()
    found = []
    for number in (1, threads):
        torch.set_num_threads(number)
        found.append((predictor.predict(maps), predictor.member_probabilities(maps, slice(3, 40))))
        assert torch.get_num_threads() == number
    torch.set_num_threads(before)
    (one, one_members), (many, many_members) = found
    assert torch.equal(one.mask, many.mask) and torch.equal(one.probabilities, many.probabilities)
    assert torch.equal(one.uncertainty, many.uncertainty) and torch.equal(one_members, many_members)


@pytest.mark.parametrize("wanted", [LABELS, Wanted(probabilities=False), Wanted(uncertainty=False), EVERYTHING])
def test_what_is_not_wanted_is_left_out_and_the_rest_is_the_same(wanted: Wanted):
    predictor, maps = example()
    whole, pieces = predictor.predict(maps), list(predictor.rows(maps, wanted))
    assert torch.equal(torch.cat([piece.mask for piece in pieces]), whole.mask)
    for name, asked, dim in (("probabilities", wanted.probabilities, 1), ("uncertainty", wanted.uncertainty, 0)):
        parts = [getattr(piece, name) for piece in pieces]
        assert torch.equal(torch.cat(parts, dim), getattr(whole, name)) if asked else parts == [None] * len(parts)
    assert torch.equal(predictor.labels(maps), whole.mask)


def test_rows_that_nobody_takes_leave_nothing_behind():
    predictor, maps = example()
    before = torch.get_num_threads()
    rows = predictor.rows(maps)
    next(rows)
    rows.close()
    assert torch.get_num_threads() == before


@settings(deadline=None, max_examples=50)
@given(
    length=st.integers(1, 40),
    target=st.integers(1, 60),
    step=st.integers(1, 9),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_upsampling_by_products_is_interpolation(length: int, target: int, step: int, ends: tuple[float, float]):
    first, last = sorted(min(target - 1, int(end * target)) for end in ends)
    values = torch.randn(length, dtype=torch.float64, generator=torch.Generator().manual_seed(length))
    found = axis(slice(first, last + 1), step, length, target, torch.float64)
    reach = found.weights.shape[2]
    blocks = [
        weights @ values[start : start + reach] for start, weights in zip(found.starts, found.weights, strict=True)
    ]
    expected = torch.nn.functional.interpolate(values[None, None], target, mode="linear", align_corners=False)[0, 0]
    torch.testing.assert_close(torch.cat(blocks)[: last + 1 - first], expected[first : last + 1])


def logits_of(generator: torch.Generator, *, rounded: bool) -> Tensor:
    logits = torch.randn(5, 6, 300, generator=generator, dtype=torch.float64)
    return logits.round() if rounded else logits


@pytest.mark.parametrize("rounded", [False, True], ids=["no ties", "members with several largest logits"])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 200.0])
def test_the_fast_tally_is_the_plain_one(rounded: bool, spread: float):
    logits = logits_of(torch.Generator().manual_seed(1), rounded=rounded) * spread
    mask, mean, divergence = tally(logits.clone(), EVERYTHING)
    expected = combine(*softmax(logits.transpose(1, 2)))
    assert mask.dtype == torch.uint8 and torch.equal(mask, expected[0])
    torch.testing.assert_close(mean, expected[1])
    torch.testing.assert_close(divergence, expected[2], rtol=0, atol=1e-12)


def test_majority_of_many_classes_and_members():
    logits = torch.full((1000, 255, 2), -1.0)
    logits[:499, 7, 0] = logits[499:999, 254, 0] = logits[999, 0, 0] = 0
    logits[:, 254, 1] = 0
    assert majority(logits).tolist() == [254, 254]
