"""Settings that no pretraining can have."""

import pytest

from frugalseg.pretraining.settings import TrainingSettings
from frugalseg.support.errors import InputError


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("inf")},
        {"gradient_clip": float("nan")},
        {"gradient_clip": -1.0},
        {"ema_decay": 1.0},
        {"warmup_steps": -1},
        {"precision": "int8"},
        {"image_size": (0, 8)},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        TrainingSettings(**wrong)  # type: ignore[arg-type]
