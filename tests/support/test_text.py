"""Sizes and times in words."""

import pytest

from frugalseg.support.text import time_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.01 s"),
        (0.048, "0.05 s"),
        (0.26, "0.3 s"),
        (0.94, "0.9 s"),
        (0.96, "1 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
    ],
)
def test_times_are_told_to_the_digits_that_matter(seconds: float, text: str) -> None:
    assert time_text(seconds) == text
