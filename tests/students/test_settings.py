import math

import pytest

from frugalseg.students.settings import PROTOCOLS, Schedule, StudentSettings, student_settings
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


def test_few_samples_are_seen_more_often():
    schedule = Schedule.of(StudentSettings(batch_size=8, epochs=20, least_steps=1000, validations=10), 40)
    assert schedule == Schedule(40, 1000, 200, 10)
    ends = [step for step in range(1, 1001) if schedule.round_ended(step)]
    assert ends == [100 * number for number in range(1, 11)]


@pytest.mark.parametrize(("samples", "batch", "epochs", "validations"), [(1, 8, 3, 20), (7, 2, 5, 3), (100, 3, 7, 7)])
def test_rounds_end_with_the_last_step(samples, batch, epochs, validations):
    settings = StudentSettings(batch_size=batch, epochs=epochs, least_steps=0, validations=validations)
    schedule = Schedule.of(settings, samples)
    ends = [schedule.round_ended(step) for step in range(1, schedule.steps + 1)]
    assert [number for number in ends if number] == list(range(1, schedule.rounds + 1))
    assert ends[-1] == schedule.rounds and schedule.round_ended(0) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 1}, "give 2"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": math.inf}, "learning_rate is inf; give a finite number"),
        ({"weight_decay": math.nan}, "weight_decay is nan"),
        ({"dice": math.inf}, "dice is inf"),
        ({"depth": 6}, "3, 4 or 5"),
        ({"size": (0, 4)}, "height and width"),
        ({"precision": "int8"}, "int8"),
        ({"seed": -1}, "seed"),
        ({"epoch": 3}, "epoch"),
    ],
)
def test_settings_out_of_range(given, said):
    with pytest.raises(InputError, match=said):
        student_settings(**given)


def test_an_unknown_protocol():
    with pytest.raises(InputError, match="default or paper"):
        student_settings("fast")
