"""What the first rate of a training means, in plain sentences."""

import pytest

from frugalseg.pretraining.outlook import outlook
from frugalseg.training.log import Reading


def reading(step: int, steps: int, pace: float) -> Reading:
    """At `pace` seconds a step, in batches of 10."""
    return Reading(step, steps, 0.5, 1e-3, 10 / pace, (steps - step) * pace)


@pytest.mark.parametrize(
    ("step", "steps", "minutes", "useful", "expected"),
    [
        (10, 910, None, None, ["the remaining 900 steps take 30 min"]),
        (10, 910, 60, None, ["take 30 min"]),
        (10, 910, 10, None, ["take 30 min", "The 10 minutes given reach about step 310;"]),
        (10, 910, None, 6001, ["About 601 steps (6001 images) are the least", "raw color", ": 19 min from now."]),
        (10, 910, None, 20_000, ["About 2000 steps", "ends before, and --steps 2000 would take 1 h 06 min."]),
        (700, 910, None, 6000, ["About 600 steps", "they are done."]),
    ],
)
def test_the_sentences(step: int, steps: int, minutes: float | None, useful: int | None, expected: list[str]) -> None:
    said = outlook(reading(step, steps, pace=2.0), batch_size=10, minutes=minutes, useful=useful)
    assert all(words in said for words in expected), said
    assert (useful is not None) == ("raw color" in said)
    assert (minutes == 10) == ("minutes given" in said)
