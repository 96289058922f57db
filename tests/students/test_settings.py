import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from frugalseg.students.settings import PROTOCOLS, Schedule, StudentSettings, one_cycle, student_settings
from frugalseg.support.errors import InputError
from frugalseg.support.options import options_of


def test_the_paper_protocol_is_the_published_one():
    paper = student_settings("paper", seed=3)
    assert (paper.architecture, paper.encoder, paper.batch_size, paper.epochs) == ("deeplabv3", "resnet101", 8, 20)
    assert (paper.learning_rate, paper.weight_decay, paper.one_cycle, paper.dice) == (1e-3, 0, False, 0)
    assert (paper.augment, paper.mirror, paper.precision, paper.seed) == (False, False, "fp32", 3)
    assert Schedule.of(paper, 9000) == Schedule(9000, 20 * 1125, 20, 20)


def test_every_setting_is_an_option():
    assert {option.name for option in options_of(StudentSettings)} == set(vars(PROTOCOLS["default"]))


def test_numbers_of_numpy_become_those_of_json():
    given = StudentSettings(batch_size=np.int64(4), dice=np.float32(0.5), size=list(np.array([32, 48])))
    assert json.loads(json.dumps(asdict(given)))["size"] == [32, 48]
    assert given == StudentSettings(batch_size=4, dice=0.5, size=(32, 48))


def test_few_samples_are_seen_more_often():
    schedule = Schedule.of(StudentSettings(batch_size=8, epochs=20, least_steps=1000, validations=10), 40)
    assert schedule == Schedule(40, 1000, 200, 10)
    ends = [step for step in range(1, 1001) if schedule.round_ended(step)]
    assert ends == [100 * number for number in range(1, 11)]


@pytest.mark.parametrize(("samples", "batch", "epochs", "validations"), [(1, 8, 3, 20), (7, 2, 5, 3), (100, 3, 7, 7)])
def test_rounds_end_with_the_last_step(samples, batch, epochs, validations):
    chosen = StudentSettings(batch_size=batch, epochs=epochs, least_steps=0, validations=validations)
    schedule = Schedule.of(chosen, samples)
    ends = [schedule.round_ended(step) for step in range(1, schedule.steps + 1)]
    assert [number for number in ends if number] == list(range(1, schedule.rounds + 1))
    assert ends[-1] == schedule.rounds and schedule.round_ended(0) is None


small = st.integers(1, 12)


@given(epochs=small, least_steps=st.integers(0, 24), validations=small, batch=st.integers(2, 6), samples=small)
@example(epochs=1, least_steps=9, validations=3, batch=4, samples=8)
@example(epochs=2, least_steps=0, validations=20, batch=2, samples=10)
@settings(deadline=None)
def test_small_trainings_go_through(epochs, least_steps, validations, batch, samples):
    """Every round ends, the last one with the last step, and the learning rate has a value at every step."""
    chosen = StudentSettings(epochs=epochs, least_steps=least_steps, validations=validations, batch_size=batch)
    schedule = Schedule.of(chosen, samples)
    assert schedule.steps >= max(epochs, least_steps) and 1 <= schedule.rounds <= validations
    ends = [schedule.round_ended(step) for step in range(1, schedule.steps + 1)]
    assert [number for number in ends if number] == list(range(1, schedule.rounds + 1)) and ends[-1] == schedule.rounds
    rates = learning_rates(schedule.steps, 1e-3)
    assert all(0 < rate <= 1e-3 for rate in rates) and max(rates) > 0.5e-3


def test_the_usual_cycle_rises_for_a_tenth():
    assert one_cycle(1000) == (1000, 0.1) and one_cycle(11) == (11, 0.1) and one_cycle(1) == (2, 0.1)
    rates = learning_rates(1000, 1e-3)
    assert max(rates) == pytest.approx(1e-3) and rates.index(max(rates)) == 99


def learning_rates(steps, highest):
    """Of each step of a training, as it is set up for Lightning."""
    optimizer = torch.optim.AdamW(torch.nn.Linear(1, 1).parameters(), highest)
    total, rising = one_cycle(steps)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, total_steps=total, pct_start=rising)
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        if len(rates) < total:
            schedule.step()
    return rates


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 1}, "from 2 to"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": math.inf}, "learning_rate is inf; give a number from above 0"),
        ({"weight_decay": math.nan}, "weight_decay is nan"),
        ({"dice": math.inf}, "dice is inf"),
        ({"depth": 6}, "from 3 to 5"),
        ({"size": (0, 4)}, "height and width"),
        ({"precision": "int8"}, "int8"),
        ({"seed": -1}, "seed"),
        ({"epoch": 3}, "epoch"),
    ],
)
def test_settings_out_of_range(changes, said):
    with pytest.raises(InputError, match=said):
        student_settings(**changes)


def test_an_unknown_protocol():
    with pytest.raises(InputError, match="default or paper"):
        student_settings("fast")
