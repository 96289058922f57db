"""Settings that no pretraining can have."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from frugalseg.backbones.ddpm.settings import DDPMPretrainSettings
from frugalseg.backbones.stylegan2.settings import StyleGAN2PretrainSettings
from frugalseg.pretraining.settings import RunOptions, TrainingSettings
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


def test_lists_stand_for_tuples() -> None:
    settings = StyleGAN2PretrainSettings(image_size=[16, 16])  # type: ignore[arg-type]
    assert settings == StyleGAN2PretrainSettings(image_size=(16, 16)) and settings.image_size == (16, 16)


def test_numbers_of_numpy_become_those_of_json() -> None:
    given = DDPMPretrainSettings(
        steps=np.int64(3),  # type: ignore[arg-type]
        learning_rate=np.float32(0.25),  # type: ignore[arg-type]
        image_size=np.array([16, 8]).tolist(),
        multipliers=tuple(np.array([1, 2])),
    )
    assert json.loads(json.dumps(asdict(given)))["multipliers"] == [1, 2]
    assert given == DDPMPretrainSettings(steps=3, learning_rate=0.25, image_size=(16, 8), multipliers=(1, 2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": None},
        {"devices": "2"},
        {"nodes": 0},
        {"workers": -1},
        {"max_minutes": "a"},
        {"checkpoint_minutes": -1.0},
        {"checkpoint_steps": 0},
        {"picture_steps": -1},
        {"log_steps": 0},
        {"compile": 1},
    ],
)
def test_impossible_ways_to_carry_a_run_out_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        RunOptions(**wrong)
    assert RunOptions(max_minutes=0, checkpoint_minutes=None, picture_minutes=None).workers == 0
