import numpy as np
import pytest

from frugalseg.support.errors import InputError
from frugalseg.synthetic.filter import PUBLISHED_STRAY, keep_certain


def test_the_most_uncertain_share_is_dropped():
    uncertainties = np.array([0.5, 0.1, 0.9, 0.2, 0.8, 0.3, 0.4, 0.7, 0.6, 0.0], np.float32)
    assert keep_certain(uncertainties, 0.2).tolist() == [0, 1, 3, 5, 6, 7, 8, 9]
    assert keep_certain(uncertainties, 0.0).tolist() == list(range(10))
    assert keep_certain(uncertainties, 0.19).tolist() == keep_certain(uncertainties, 0.1).tolist()
    assert keep_certain(uncertainties, 0.99).tolist() == [9]


def test_a_tenth_of_ten_is_one():
    """0.1 * 30 is 3.0000000000000004, 0.7 * 10 is 7.000000000000001 and 0.29 * 100 is 28.999999999999996."""
    for count, drop, left in ((30, 0.1, 27), (10, 0.7, 3), (100, 0.29, 71)):
        assert len(keep_certain(np.arange(count), drop)) == left


def test_what_is_not_a_number_goes_first():
    assert keep_certain([np.nan, 3.0, 1.0, 2.0], 0.25).tolist() == [1, 2, 3]


def test_the_published_selection():
    """`idxs[30 : -n + 30]` of the ascending order, n of N to be dropped."""
    rng = np.random.default_rng(0)
    uncertainties = rng.random(1000)
    literal = np.argsort(uncertainties)[30 : -100 + 30]
    kept = keep_certain(uncertainties, 0.1, stray=PUBLISHED_STRAY)
    assert kept.tolist() == sorted(literal.tolist())
    assert len(kept) == len(keep_certain(uncertainties, 0.1)) == 900


def test_few_samples_lose_no_more_than_the_share():
    """The literal slice of 100 samples would be empty or nearly so."""
    assert keep_certain(np.arange(100), 0.1, stray=PUBLISHED_STRAY).tolist() == list(range(10, 100))
    assert len(keep_certain(np.arange(5), 0.0, stray=PUBLISHED_STRAY)) == 5


@pytest.mark.parametrize(("drop", "said"), [(1.0, "below 1"), (-0.1, "below 1")])
def test_a_share_out_of_range(drop, said):
    with pytest.raises(InputError, match=said):
        keep_certain([0.1, 0.2], drop)


def test_nothing_is_left_of_nothing():
    with pytest.raises(InputError, match="no sample is left of 0"):
        keep_certain([], 0.1)
