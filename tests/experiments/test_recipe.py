"""Recipes: what is shipped is valid, and a mistake is named before anything runs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from frugalseg.experiments.demo import demo_recipe
from frugalseg.experiments.recipe import load_recipe, parse_recipe, replace_checkpoint, replaced
from frugalseg.experiments.rows import build
from frugalseg.support.errors import InputError

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))

GOOD: dict[str, Any] = {
    "title": "a test",
    "data": {"kind": "toy", "train": 3, "test": 2},
    "rows": [
        {"kind": "features", "name": "colour", "backbone": "colour", "options": {"native_size": [16, 16]}},
        {"kind": "unet", "name": "unet", "steps": 2},
    ],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """`GOOD` with the value at a dotted path set; None removes the key."""
    content: Any = yaml.safe_load(yaml.safe_dump(GOOD))
    *parents, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    place = content
    for part in parents:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    result: dict[str, Any] = content
    return result


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid_and_say_what_to_expect(path: Path) -> None:
    load_recipe(path)
    opening = path.read_text().partition("\ntitle:")[0]
    assert all(word in opening for word in ("frugalseg benchmark", "Duration:", "Result:"))


def test_the_toy_recipe_is_the_demo() -> None:
    assert load_recipe(RECIPES[0].with_name("toy.yaml")) == demo_recipe()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("titel", "x", "unknown key 'titel'; known there: title"),
        ("data.trian", 3, "unknown key 'data.trian'; known there: kind, train"),
        ("rows.0.timesteps", [50], "unknown key 'rows.0.timesteps'; known there: kind, name, backbone"),
        ("rows.1.augmentation", {"flipp": True}, "unknown key 'rows.1.augmentation.flipp'"),
        ("rows.1.steps", 0, "rows.1.steps: "),
        ("rows.1.kind", "transformer", "rows.1: "),
        ("runs", "many", "runs: "),
        ("title", None, "the key 'title' is missing"),
        ("rows", [], "rows: "),
        ("rows.1.name", "colour", "two rows are named 'colour'"),
    ],
)
def test_a_mistake_is_named_in_one_line(path: str, value: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_recipe(changed(path, value))
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [", "not YAML"),
        ("- 1", "holds no keys"),
        ("", "holds no keys"),
        ("!!python/object:os.system {}", "not YAML"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        load_recipe(path)
    assert "recipe.yaml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read"):
        load_recipe(tmp_path / "none.yaml")


def test_command_line_values_replace_the_recipe() -> None:
    own = parse_recipe(changed("data", {"kind": "folder", "path": "somewhere"}))
    with_network = {"kind": "features", "name": "ddpm", "checkpoint": "old"}
    recipe = replaced(parse_recipe(changed("rows.1", with_network)), checkpoint=["new"], runs=2)
    assert replaced(own, data="photos").data.path == "photos"  # type: ignore[union-attr]
    assert [getattr(row, "checkpoint", None) for row in recipe.rows] == [None, "new"] and recipe.runs == 2
    with pytest.raises(InputError, match="draws its own images"):
        replaced(recipe, data="photos")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("rows.0.backbone", "colur", "colur"),
        ("rows.0.options", {"timesteps": [1]}, "timesteps"),
        ("rows.0.segmenter", {"membres": 3}, "membres"),
        ("rows.0.segmenter", {"protocol": "none"}, "none"),
        ("rows.0.random_weights", True, "no weights"),
        ("rows.0", {"kind": "features", "name": "ddpm", "checkpoint": "builtin:nothing"}, "builtin:nothing"),
        ("rows.0", {"kind": "features", "name": "ddpm"}, "needs a checkpoint"),
        ("rows.1.encoder", "resnet19", "resnet19"),
        ("rows.1.decoder", [8, 8], "depth is 3"),
    ],
)
def test_options_that_only_a_method_knows(path: str, value: Any, said: str) -> None:
    recipe = parse_recipe(changed(path, value))
    with pytest.raises(InputError, match=said) as caught:
        for row in recipe.rows:
            build(row, seed=0)
    assert str(caught.value).startswith("row '")


def test_checkpoints_go_to_the_rows_of_their_family() -> None:
    rows = [
        {"backbone": "ddpm", "checkpoint": "a"},
        {"backbone": "colour", "checkpoint": None},
        {"backbone": "ddpm", "checkpoint": "a=b"},
    ]
    replace_checkpoint(rows, "ddpm=new=er")
    assert [row["checkpoint"] for row in rows] == ["new=er", None, "new=er"]
    replace_checkpoint(rows, "place=with")
    assert [row["checkpoint"] for row in rows] == ["place=with", None, "place=with"]
    with pytest.raises(InputError, match="colour=x: no row"):
        replace_checkpoint(rows, "colour=x")
    rows.append({"backbone": "colour", "checkpoint": "c"})
    with pytest.raises(InputError, match="give colour=x or ddpm=x"):
        replace_checkpoint(rows, "x")
