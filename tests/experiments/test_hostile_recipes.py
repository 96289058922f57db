"""Recipes that are broken, hostile or merely odd: one short line each, before anything is built of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from frugalseg.experiments.recipe import load_recipe, parse_recipe
from frugalseg.support.errors import InputError

GOOD = """title: t
data: {kind: toy, train: 4, test: 2}
runs: 1
rows:
  - {kind: features, name: c, backbone: colour, segmenter: {members: 1}}
"""


def refusal(tmp_path: Path, content: str | bytes) -> str:
    path = tmp_path / "r.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        load_recipe(path)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 900 and "r.yaml" in line
    return line


def multiplied(levels: int, times: int) -> str:
    """Lines in which each stands for several of the one before."""
    lines = ["  l0: &l0 [x, x]"]
    lines += [f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * times)}]" for n in range(1, levels)]
    return GOOD + "networks:\n" + "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[" * 20_000, "nested more than 20 deep"),
        ("{a: " * 5_000, "nested more than 20 deep"),
        ("- " * 5_000, "nested more than 20 deep"),
        (multiplied(10, 10), "more than 10000 values"),
        (multiplied(3, 1) + "\n  x: &x [*x]", "stands within what it stands for"),
        (GOOD.replace("title: t", "title: &t {<<: *t}"), "stands within"),
        (GOOD + "note: *nowhere", "not YAML"),
        (GOOD.replace("title: t", "title: 2001-99-99"), "put it in quotes"),
        (GOOD.replace("title: t", "title: 2001-01-01"), "title: "),
        (GOOD.replace("runs: 1", "runs: " + "9" * 5000), "put it in quotes"),
        (GOOD.replace("runs: 1", "runs: 0x" + "f" * 5000), "runs: "),
        (GOOD.replace("runs: 1", "runs: 1" + ":59" * 3000), "runs: "),
        (GOOD.replace("runs: 1", "runs: 1_000_000_000_000"), "runs: "),
        (GOOD.replace("members: 1", "members: 0x" + "f" * 5000), "members is a giant int"),
        (GOOD.replace("members: 1", "members: 1000000000"), "members is 1000000000"),
        (GOOD.replace("members: 1", "members: .nan"), "segmenter.members"),
        (GOOD.replace("members: 1", "overlap: .nan"), "segmenter.overlap"),
        (GOOD.replace("members: 1", "overlap: .inf"), "segmenter.overlap"),
        (GOOD.replace("members: 1", "protocol: {learning_rate: .inf}"), "learning_rate"),
        (GOOD.replace("members: 1", "protocol: {steps: 100000000000}"), "steps"),
        (GOOD.replace("title: t", "title: !!int many"), "put it in quotes"),
        (GOOD.replace("title: t", "title: !!float many"), "put it in quotes"),
        (GOOD.replace("title: t", "title: !!binary a"), "not YAML"),
        (GOOD.replace("title: t", "title: !!timestamp no"), "put it in quotes"),
        (GOOD.replace("title: t", "title: !!python/name:os.system"), "not YAML"),
        (GOOD.replace("title: t", "? [a, [b]]\n: t"), "not YAML"),
        (GOOD.replace("name: c", "name: [c]"), "name: "),
        (GOOD + "runs: 2\nruns: 3\n", "the key 'runs' stands there again at line "),
        (GOOD.replace("name: c", "name: c, name: d"), "the key 'name' stands there again"),
        (GOOD.replace("kind: features", "kind: " + "x" * 50_000), "no kind 'xxx"),
        (GOOD + f"? {'k' * 50_000}\n: 1", "unknown key"),
        (GOOD + f"note: {'n' * 300_000}", "larger than 256 KiB"),
        (GOOD.replace("title: t", "1: t"), ""),
        (GOOD.encode("utf-16"), "not YAML in UTF-8"),
        (b"\xff\xfe\x00", "not YAML in UTF-8"),
        ("title: \x00", "not YAML"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_one_line(content: str | bytes, said: str, tmp_path: Path) -> None:
    assert said in refusal(tmp_path, content)


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_recipe(tmp_path / "r.yaml").title == "t"


ODD: list[Any] = [None, True, -1, 10**30, 2.5, float("nan"), float("inf"), "x", "", [], {}, [[1]], {"a": {"b": 1}}]


def test_odd_values_anywhere(tmp_path: Path) -> None:
    """Each key of a recipe of all kinds of rows, with each odd value."""
    content = yaml.safe_load(GOOD)
    content["rows"] += [
        {"kind": "unet", "name": "u", "depth": 3, "decoder": [8, 8, 8], "size": [16, 16], "steps": 2, "batch": 2},
        {"kind": "student", "name": "s", "source": "annotated", "count": 2, "student": {"epochs": 1, "size": [16, 16]}},
    ]
    content["rows"][1] |= {"learning_rate": 0.1, "augmentation": {"scale": [0.5, 1.0], "rotation": 3}}
    rng = np.random.default_rng(1)
    places = [place for place in paths(content) if place]
    for place in places:
        for value in rng.permutation(np.array(ODD, dtype=object))[:4]:
            changed = yaml.safe_load(yaml.safe_dump(content))
            parent = changed
            for key in place[:-1]:
                parent = parent[key]
            parent[place[-1]] = value
            try:
                parse_recipe(changed)
            except InputError as error:
                assert "\n" not in str(error) and len(str(error)) < 900


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all values in nested lists and dictionaries."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [before, *(place for key, part in items for place in paths(part, (*before, key)))]
