"""Stopped at any operation on a file, a command that is run again ends with what an undisturbed run leaves.

The default tests stop the cheaper commands at some operations, chosen by chance from a fixed seed, the slow ones all
commands at some more, and those marked ``exhaustive``, which take hours, at every one.
"""

import random
from collections.abc import Callable, Iterator

import pytest

from tests.jobs.kills.commands import COMMANDS
from tests.jobs.kills.trial import Life, Trial

SAMPLES = {"predict": 3}
"""How many operations the default tests choose for a command; of the costlier ones, 1."""
MORE = 4
"""How many the slow tests choose."""
FEWER = {"fit auto": 1}
"""So many of a command that runs several networks on all images."""

ENDS = {"SIGINT": (130, "stopped; run the same command again"), "full": (1, "error: ")}
"""How a command ends that can still say why, and with which words."""

Trials = Callable[[str], Trial]


def chosen(name: str, how: str, trial: Trial, count: int | None = None) -> list[int]:
    """Some operations, the last two always among them, where a command that is nearly done may take itself for done."""
    wanted = min(count or SAMPLES.get(name, 1), trial.operations - 2)
    numbers = random.Random(f"{name} {how} {count or ''}").sample(range(1, trial.operations - 1), wanted)
    return [*sorted(numbers), *((trial.operations - 1, trial.operations) if how == "kill" else ())]


def lives(trial: Trial, how: str) -> Iterator[tuple[int, Life]]:
    """The command stopped at every operation, until it ends by itself."""
    at = 1
    while (life := trial.stopped(at, how)).stopped:
        yield at, life
        at += 1


def faults(trial: Trial, how: str, points: list[int] | None = None) -> list[str]:
    """What goes wrong after a stop at some operations, or at every one."""
    every = lives(trial, how) if points is None else ((at, trial.stopped(at, how)) for at in points)
    ended = ((at, life) for at, life in every if life.stopped)
    return [fault for at, life in ended for fault in [*said_wrongly(life, how), *trial.faults(life, how, at)]]


def said_wrongly(life: Life, how: str) -> list[str]:
    """What is wrong with the end of a command that could still say something."""
    if how not in ENDS or (how == "full" and life.code == 0):  # behind the last write a full disk is in nobody's way
        return []
    code, word = ENDS[how]
    good = life.code == code and word in life.text.splitlines()[-1] and "Traceback" not in life.text
    return [] if good else [f"{how} at {life.at}: code {life.code}: {life.text[-1500:]}"]


@pytest.mark.parametrize("name", ["fit", "predict", "convert", "pretrain"])
def test_killed_at_some_operations(name: str, trial: Trials) -> None:
    each = trial(name)
    assert not [fault for how in ("kill", "torn") for fault in faults(each, how, chosen(name, how, each))]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "torn", "SIGINT", "SIGTERM", "full"])
@pytest.mark.parametrize("name", COMMANDS)
def test_stopped_at_more_operations(name: str, how: str, trial: Trials) -> None:
    each = trial(name)
    assert not faults(each, how, chosen(name, how, each, FEWER.get(name, MORE)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("how", ["kill", "torn"])
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_every_operation(name: str, how: str, trial: Trials) -> None:
    assert not faults(trial(name), how)


@pytest.mark.parametrize("how", ["SIGINT", "full"])
def test_stopped_at_some_operations(how: str, trial: Trials) -> None:
    each = trial("predict")
    assert not faults(each, how, chosen("predict", how, each))


@pytest.mark.exhaustive
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "full"])
@pytest.mark.parametrize("name", COMMANDS)
def test_stopped_at_every_operation(name: str, how: str, trial: Trials) -> None:
    """By Ctrl-C, by a system that shuts down, by a disk that is full from here on."""
    assert not faults(trial(name), how)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_again_and_again(name: str, trial: Trials) -> None:
    """Each rerun is killed, too, at an operation chosen by chance."""
    each, generator = trial(name), random.Random(name)
    each.place()
    for _ in range(2 * FEWER.get(name, MORE)):
        at, how = generator.randint(1, each.operations), generator.choice(["kill", "torn"])
        life = each.warm.life(each.arguments, each.folder / "here", at, how)
        if not life.stopped:
            break
    if life.stopped:
        life = each.warm.life(each.arguments, each.folder / "here")
    assert life.code == 0 and each.undisturbed(), life.text


@pytest.mark.parametrize("name", ["predict", pytest.param("fit", marks=pytest.mark.slow)])
def test_two_at_once(name: str, trial: Trials) -> None:
    """One of them does the work; the other is told so, or comes so late that it finds all done."""
    each = trial(name)
    order = {"command": each.arguments, "cwd": each.place()}
    ends = each.warm.together(order, order)
    assert {life.code for life in ends} <= {0, 2} and 0 in {life.code for life in ends}, ends
    assert all("another run is at work" in life.text or "not empty" in life.text for life in ends if life.code)
    assert each.undisturbed()
