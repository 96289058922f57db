"""The learning rate over a training."""

import math

from hypothesis import given
from hypothesis import strategies as st

from frugalseg.training.schedules import FINAL_RATE, rate_factor


@given(st.integers(1, 2000), st.integers(0, 500))
def test_the_rate_rises_then_falls_to_almost_nothing(steps: int, warmup: int) -> None:
    rates = [rate_factor(step, steps, warmup) for step in range(steps)]
    top = rates.index(max(rates))
    assert all(0 < rate <= 1 for rate in rates) and max(rates) == 1
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert steps < 3 or math.isclose(rates[-1], FINAL_RATE)
