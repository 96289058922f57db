"""Huge and odd numbers are refused by every command: one line, code 2, before anything is read or allocated.

The folders that the commands name do not exist, so a line about the option shows that it was looked at first.
"""

import pytest

from frugalseg.backbones.registry import FAMILIES, generating, pretrainable
from frugalseg.cli.options import NUMBERS, SIZE, bare
from frugalseg.students.settings import StudentSettings
from frugalseg.support.options import options_of
from tests.cli.helpers import mistake

GIANT, FIT, DISTILL = str(10**30), ("fit", "x", "-o", "y"), ("distill", "x", "--validation", "x", "-o", "y")
GENERATE, PRETRAIN = ("generate", "x", "-o", "y"), ("pretrain", "ddpm", "x", "-o", "y")
BAD = [
    (FIT, "--members", ["1000000000", "0", "-1", GIANT, "9" * 5000]),
    (FIT, "--overlap", ["nan", "inf", "-0.1", "1", "1e400"]),
    (FIT, "--size", ["99999999x8", "8x99999999", "50000x50000", "0x8", "9" * 5000 + "x8", "8", "-8x8"]),
    (FIT, "--small-regions", ["-1", GIANT]),
    (FIT, "--seed", ["-1", str(2**70), GIANT]),
    (FIT, "--device", ["meta", "cuda:99", "cuda:-1", "nothing", "", "privateuseone", "hpu", "cuda:" + "9" * 40]),
    (("check", "x"), "--small-regions", ["-1", GIANT]),
    (("evaluate", "x", "x"), "--batch-size", ["0", str(10**12)]),
    (("predict", "x", "x", "-o", "y"), "--batch-size", ["0", str(10**12), GIANT]),
    (("toy", "-o", "y"), "--count", [GIANT, "0"]),
    (("toy", "-o", "y"), "--seed", ["-1", str(2**70)]),
    (("toy", "-o", "y"), "--first", ["-1", GIANT]),
    (("demo", "-o", "y"), "--seeds", ["0", GIANT]),
    (("benchmark", "x", "-o", "y"), "--runs", ["0", GIANT]),
    (GENERATE, "-n", ["0", GIANT]),
    (GENERATE, "--for-annotation", [GIANT]),
    (GENERATE, "--batch-size", ["0", str(10**12)]),
    (GENERATE, "--longest-side", ["0", GIANT]),
    (GENERATE, "--seed", ["-1", str(2**70)]),
    (DISTILL, "--drop", ["nan", "1", "-0.5", "inf"]),
    (DISTILL, "--workers", ["-1", "1000000"]),
    (PRETRAIN, "--devices", ["0", GIANT]),
    (PRETRAIN, "--nodes", ["0", GIANT]),
    (PRETRAIN, "--workers", ["-1", "1000000"]),
    (PRETRAIN, "--max-minutes", ["nan", "-1", "inf"]),
    (PRETRAIN, "--checkpoint-minutes", ["nan", "-1"]),
    (PRETRAIN, "--picture-minutes", ["nan", "inf"]),
    (("convert", "x", "-o", "y"), "--image-size", ["0", GIANT]),
    (("convert", "x", "-o", "y"), "--head-channels", ["0", GIANT]),
]


@pytest.mark.parametrize(("command", "option", "values"), BAD, ids=lambda value: str(value)[:30])
def test_options_of_commands(command, option, values, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value in values:
        line = mistake(*command, option, value, capsys=capsys)
        assert option in line or option.lstrip("-") in line, line
        assert len(line) < 400
    assert not list(tmp_path.iterdir())


def bad_values(kind):
    """Values that no option of a type takes."""
    if kind == SIZE:
        return ["99999999x8", "0x8"]
    if kind == NUMBERS:
        return ["-1", GIANT]
    return ["nan", "-1", "1e300"] if kind is float else ["-1", GIANT]


FAMILY_COMMANDS = [
    *((("fit", "x", "-o", "y", "--backbone", f.name), f.options_class()) for f in FAMILIES.values()),
    *((("pretrain", f.pretrain_name, "x", "-o", "y"), f.settings_class()) for f in pretrainable()),
    *((("generate", "x", "-o", "y", "--backbone", f.name), f.generation_class()) for f in generating()),
    (DISTILL, StudentSettings),
]


@pytest.mark.parametrize(
    ("command", "settings"),
    FAMILY_COMMANDS,
    ids=lambda value: " ".join(value[:5:4]) if isinstance(value, tuple) else "",
)
def test_options_of_families(command, settings, capsys, tmp_path, monkeypatch):
    """Each number among them has a range, which the command line and Python look at."""
    monkeypatch.chdir(tmp_path)
    for each in options_of(settings):
        kind = bare(each.type)
        if kind not in (int, float, SIZE, NUMBERS):
            continue
        assert each.within is not None, f"{settings.__name__}.{each.name} has no range"
        assert each.default is None or each.within.holds(each.default)
        bad = bad_values(kind)
        value = bad[len(each.name) % len(bad)]  # one of them for each option: calls take their time
        line = mistake(*command, each.flag or "--" + each.name.replace("_", "-"), value, capsys=capsys)
        assert ("size" if kind == SIZE else each.name.replace("_", "-")) in line and len(line) < 400
    assert not list(tmp_path.iterdir())
