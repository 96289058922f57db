"""The lower bounds of pyproject.toml are what is tested: each is pinned in constraints-oldest.txt."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TESTED = ("onnx", "dev")


def direct():
    """{name: requirement} of what the package itself asks for, its tested extras included."""
    texts = [*PROJECT["dependencies"], *(text for extra in TESTED for text in PROJECT["optional-dependencies"][extra])]
    found = [Requirement(text) for text in texts]
    return {normal(each.name): each for each in found if normal(each.name) != "frugalseg"}


def normal(name):
    return name.lower().replace("_", "-")


def pinned(file):
    """{name: version} of a file of constraints."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    pairs = [line.split("==") for line in lines if line]
    return {normal(name): Version(version) for name, version in pairs}


@pytest.mark.parametrize("name", direct())
def test_a_lower_bound_is_the_oldest_version_that_is_tested(name):
    bounds = [Version(each.version) for each in direct()[name].specifier if each.operator == ">="]
    assert [pinned("constraints-oldest.txt").get(name)] == bounds


@pytest.mark.parametrize("name", direct())
def test_the_usual_version_is_allowed(name):
    assert pinned("constraints.txt")[name] in direct()[name].specifier
