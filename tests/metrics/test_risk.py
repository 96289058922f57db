"""The risk at a coverage is the share of mistakes among the most certain pixels, as sorting all pixels gives it."""

import numpy as np
import pytest

from frugalseg.metrics.risk import RiskCoverage


def drawn(seed, size=4000):
    """Targets of which a tenth is not annotated, predictions, and an uncertainty that tells something of mistakes."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, size).astype(np.uint8)
    doubt = rng.random(size) ** 3
    prediction = np.where(rng.random(size) < 0.6 * doubt, (truth + 1) % 3, truth)
    truth[rng.random(size) < 0.1] = 255
    return truth, prediction, doubt


def test_the_curve_is_that_of_sorted_pixels():
    truth, prediction, doubt = drawn(0)
    found = RiskCoverage(1.0).update(truth, prediction, doubt)
    known = truth != 255
    wrong = (truth != prediction)[known][np.argsort(doubt[known])]
    kept = np.arange(1, len(wrong) + 1)
    risks = wrong.cumsum() / kept
    for coverage in (0.3, 0.5, 0.8, 1.0):
        assert found.risk([coverage])[0] == pytest.approx(risks[int(coverage * len(wrong)) - 1], abs=3e-3)
    assert found.error == pytest.approx(wrong.mean())
    assert found.area() == pytest.approx(risks.mean(), abs=2e-3)
    right, mistaken = doubt[known & (truth == prediction)], doubt[known & (truth != prediction)]
    assert found.detection() == pytest.approx((mistaken[:, None] > right).mean(), abs=2e-3)
    assert found.ideal_area() < found.area() < found.error


def test_an_ideal_order_and_one_that_tells_nothing():
    truth, prediction = np.zeros(1000, np.uint8), np.repeat([0, 1], [700, 300])
    ideal = RiskCoverage(2.0).update(truth, prediction, np.repeat([0.1, 1.9], [700, 300]))
    assert ideal.area() == pytest.approx(ideal.ideal_area(), abs=1e-3) and ideal.detection() == 1
    assert np.allclose(ideal.risk([0.7, 0.85, 1]), [0, 1 - 0.7 / 0.85, 0.3], atol=1e-9)
    flat = RiskCoverage(2.0).update(truth, prediction, np.ones(1000))
    assert flat.area() == pytest.approx(0.3) and flat.detection() == 0.5


def test_counts_add_up_and_survive_json():
    parts = [RiskCoverage(1.0).update(*drawn(seed)) for seed in (1, 2)]
    both = RiskCoverage.from_json(parts[0].to_json()).merge(parts[1])
    whole = RiskCoverage(1.0)
    for seed in (1, 2):
        whole.update(*drawn(seed))
    assert np.array_equal(both.counts, whole.counts)
    nothing = RiskCoverage(1.0)
    assert np.isnan([nothing.error, nothing.detection(), *nothing.risk([0.5])]).all()


def test_the_chance_of_more_pixels_than_64_bits_hold_the_pairs_of():
    found = RiskCoverage(1.0)
    found.counts[0, 0] = found.counts[0, 9] = found.counts[1, 9] = 2**33
    assert found.detection() == 0.75
