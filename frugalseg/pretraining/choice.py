"""What was chosen for the machine, in one line that names the options with which to choose otherwise."""

from typing import Any

from frugalseg.pretraining.machine import Machine
from frugalseg.pretraining.settings import CommonSettings
from frugalseg.support.options import Option, options_of

SLOW = (
    "this CPU has no instructions for bf16, so a training in bf16 is several times slower than in fp32 here; "
    "a run keeps the format that it was begun with, and a new one in a new folder takes --precision fp32"
)


def choice(given: CommonSettings, chosen: CommonSettings, machine: Machine) -> str | None:
    """The options that were chosen for a machine, as the command line takes them; None where all were given.

    Args:
        given: the settings, some of them left None.
        chosen: the same settings once they are complete.
        machine: what they were chosen for.
    """
    options = [each for each in options_of(type(given)) if each.name in given.by_machine]
    open_ones = [each for each in options if getattr(given, each.name) is None]
    told = [each for each in open_ones if getattr(chosen, each.name) is not None]  # others have no effect here
    if not told:
        return None
    words = " ".join(spelled(each, getattr(chosen, each.name)) for each in told)
    compared = "larger than for a CPU" if machine.gpu else "smaller than for a GPU"
    return f"chosen for this {machine.name} ({compared}; give these options to change it): {words}"


def spelled(option: Option, value: Any) -> str:
    """An option with its value, as the command line takes it."""
    if isinstance(value, tuple):
        value = ("x" if option.type == tuple[int, int] | None else ",").join(map(str, value))
    return f"{option.flag or '--' + option.name.replace('_', '-')} {value}"
