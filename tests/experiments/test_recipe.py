"""Recipes: what is shipped is valid, and a mistake is named before anything runs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from frugalseg.experiments.data import PHOTOGRAPHS_SEED, ToyData
from frugalseg.experiments.demo import demo_recipe
from frugalseg.experiments.given_checkpoints import replace_checkpoint
from frugalseg.experiments.recipe import load_recipe, parse_recipe, replaced
from frugalseg.experiments.records import folder_name
from frugalseg.experiments.rows import Context, build
from frugalseg.support.errors import InputError

RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))

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


def annotated(**changes: Any) -> dict[str, Any]:
    """A student that learns from the annotated images, with changes."""
    return {"kind": "student", "name": "s", "source": "annotated", **changes}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid_and_say_what_to_expect(path: Path) -> None:
    load_recipe(path)
    opening = path.read_text().partition("\ntitle:")[0]
    assert all(word in opening for word in ("frugalseg benchmark", "Duration:", "Result:"))


def test_the_toy_recipe_is_the_demo() -> None:
    assert load_recipe(Path(__file__).parents[2] / "recipes" / "toy.yaml") == demo_recipe()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("titel", "x", "unknown key 'titel'; known there: title"),
        ("data.trian", 3, "unknown key 'data.trian'; known there: kind, train"),
        (
            "rows.0.timesteps",
            [50],
            "row 'colour': unknown key 'timesteps'; known there: kind, name, published",
        ),
        ("rows.1.steps", 0, "row 'unet': steps: input should be greater than or equal to 1, not 0"),
        ("rows.1.kind", "transformer", "rows.1: no kind 'transformer'; known: 'features', 'unet', 'student'"),
        ("rows.1.kind", None, "the key 'rows.1.kind' is missing"),
        ("rows.1.name", None, "the key 'rows.1.name' is missing"),
        ("rows.1", "unet", "rows.1: "),
        ("runs", "many", "runs: "),
        ("title", None, "the key 'title' is missing"),
        ("rows", [], "rows: "),
        ("rows.1.name", "colour", "two rows are named 'colour'"),
        ("rows.1.name", "Colour!", "two rows are named 'colour' and 'Colour!', and their runs would share a folder"),
        ("runs", True, "runs: true is not a value for it; give a number"),
        ("rows.1.name", "é" * 150 + "u" * 201, "the name is too long; give a shorter one"),
        ("networks", {"mine": {"family": "ddpm", "images": ["a"], "step": 1}}, "unknown key 'networks.mine.step'"),
        ("networks", {"mine": {"family": "ddpm"}, "Mine": {"family": "ddpm"}}, "are one folder on some systems"),
        ("data", {"kind": "folder", "path": "x", "tests": {"test": "y"}}, "'test' is the name of the main test set"),
        ("data", {"kind": "folder", "path": "x", "tests": {"": "y"}}, "data.tests..[key]: "),
        ("data", {"kind": "folder", "path": "x", "percentiles": [2, 98]}, "data: percentiles: only with channels"),
        ("data", {"kind": "toy", "test_seed": 1}, "data: train_seed and test_seed are both 1"),
    ],
)
def test_a_mistake_is_named_in_one_line(path: str, value: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_recipe(changed(path, value))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_rows_in_any_alphabet_have_folders_of_their_own() -> None:
    names = ["модель 1", "сеть 1", "कि", "की", "色", "U-Net (сеть)"]
    folders = [folder_name(name) for name in names]
    assert folders == ["модель-1", "сеть-1", "कि", "की", "色", "u-net"]
    assert folder_name("GAN Inversion, 50 steps") == "gan-inversion-50-steps" and folder_name("!") == "row"
    with pytest.raises(InputError, match="the name is too long"):
        parse_recipe(changed("rows.1.name", "я" * 101))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [", "not YAML"),
        ("- 1", "holds no keys"),
        ("classes: [cat]", "no recipe; it has none of the keys title, data and rows"),
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
        ("rows.0.backbone", "colur", "no backbone family 'colur'"),
        ("rows.0.options", {"timesteps": [1]}, "unknown key 'options.timesteps'; known there: native_size"),
        ("rows.0.options", {"native_size": [16, "wide"]}, "options.native_size.1: input should be a valid integer"),
        ("rows.0.options", {"native_size": [16, 0]}, "native_size is 16, 0"),
        ("rows.0.segmenter", {"membres": 3}, "unknown key 'segmenter.membres'; known there: protocol, members, seed"),
        ("rows.0.segmenter", {"members": "ten"}, "segmenter.members: input should be a valid integer"),
        ("rows.0.segmenter", {"members": True}, "segmenter.members: true is not a value for it"),
        ("rows.0.segmenter", {"members": 0}, "members is 0; give a whole number from 1 to 1000"),
        ("rows.0.segmenter", {"seed": 3}, "segmenter.seed: each run has a seed of its own, 0, 1 and so on; leave"),
        ("rows.0.segmenter", {"protocol": "none"}, "no training protocol 'none'; known: default, paper"),
        ("rows.0.segmenter", {"protocol": 3}, "segmenter.protocol: 3 is neither a name nor keys with values"),
        ("rows.0.segmenter", {"protocol": {"base": "none"}}, "no training protocol 'none'"),
        ("rows.0.segmenter", {"protocol": {"stepz": 3}}, "unknown key 'segmenter.protocol.stepz'; known there: name"),
        ("rows.0.segmenter", {"protocol": {"steps": 0}}, "steps=0 is out of range"),
        ("rows.1.augmentation", {"flipp": True}, "unknown key 'augmentation.flipp'; known there: scale, stretch"),
        ("rows.1.augmentation", {"scale": 2}, "augmentation.scale: input should be a valid tuple"),
        ("rows.1.augmentation", {"shift": 1.5}, "shift is 1.5"),
        ("rows.1.augmentation", {"rotation": -1}, "rotation is -1"),
        ("rows.1.decoder", [8, 8], "decoder has 2 levels; depth is 3"),
        (
            "rows.1",
            {"kind": "features", "name": "two", "backbone": "ddpm+swav", "checkpoint": "a"},
            "several parts of ddpm+swav take a checkpoint; say whose it is: ddpm=PATH,swav=PATH",
        ),
        ("rows.1", {"kind": "student", "name": "s", "student": {"epoch": 3}}, "unknown key 'student.epoch'"),
        ("rows.1", {"kind": "student", "name": "s", "student": {"size": [8]}}, "the value 'student.size.1' is missing"),
        ("rows.1", {"kind": "student", "name": "s", "source": "images", "teacher": "x"}, "teacher 'x' is no row"),
        ("rows.1", {"kind": "student", "name": "s"}, "a colour backbone cannot generate images; give a teacher"),
        ("rows.1", annotated(student={"seed": 0}), "student.seed: each run has a seed of its own"),
        ("rows.1", annotated(generation={"stepz": 3}), "generation: is for source synthetic, not annotated; leave the"),
        ("rows.1", annotated(teacher="nobody"), "teacher: is for source synthetic and images, not annotated"),
        ("rows.1", annotated(images="photos"), "images: is for source images, not annotated; leave the key out"),
        ("rows.1", annotated(source="synthetic", longest_side=9), "longest_side: is for source images, not synthetic"),
    ],
)
def test_options_are_checked_when_the_recipe_is_read(path: str, value: Any, said: str) -> None:
    content = changed(path, value)
    row = content["rows"][int(path.split(".")[1])]["name"]
    with pytest.raises(InputError) as caught:
        parse_recipe(content)
    assert str(caught.value).startswith(f"row {row!r}: ") and said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_options_of_a_generator_are_those_of_the_family() -> None:
    content = changed("rows.0", {"kind": "features", "name": "ddpm", "checkpoint": "builtin:toy_ddpm"})
    content["rows"][1] = {"kind": "student", "name": "s", "generation": {"steps": 3}}
    with pytest.raises(InputError, match=r"row 's': unknown key 'generation.steps'; known there: sampler, sampling"):
        parse_recipe(content)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stepz": 1}, "networks.mine: unknown key 'settings.stepz'; known there: image_size, crop, steps"),
        ({"image_size": 48}, "networks.mine: settings.image_size: input should be a valid tuple"),
        ({"steps": 0}, "networks.mine: steps is 0"),
    ],
)
def test_settings_of_networks_are_checked_when_the_recipe_is_read(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_recipe(changed("networks", {"mine": {"family": "ddpm", "images": ["a"], "settings": settings}}))
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "../../../evil",
        "/tmp/evil",
        "..",
        ".",
        "",
        "a/b",
        "a\\b",
        "c:x",
        "-o",
        "a b",
        "a\n",
        "end.",
        "NUL",
        "con.a",
        "x" * 61,
    ],
)
def test_a_network_whose_name_is_no_folder_below_the_output(name: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_recipe(changed("networks", {"fine": {"family": "ddpm"}, name: {"family": "ddpm"}}))
    assert str(caught.value).startswith("networks: ") and "cannot be the name of a folder; take up" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["street_ddpm", "1", "_a-2.5", "größe", "console", "nul_", "com10", "x" * 60])
def test_a_network_whose_name_is_a_folder(name: str) -> None:
    assert list(parse_recipe(changed("networks", {name: {"family": "ddpm"}})).networks) == [name]


def test_numbers_that_yaml_takes_for_words_are_numbers() -> None:
    """``1e-3`` without a point is a word for YAML."""
    recipe = parse_recipe(changed("rows.0.segmenter", {"protocol": {"learning_rate": "1e-3"}}))
    (row, _) = recipe.rows
    assert row.settings(4)["protocol"].learning_rate == 0.001  # type: ignore[union-attr]
    assert row.settings(4)["seed"] == 4  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("rows.0.random_weights", True, "no weights"),
        ("rows.0", {"kind": "features", "name": "ddpm", "checkpoint": "builtin:nothing"}, "builtin:nothing"),
        ("rows.0", {"kind": "features", "name": "ddpm"}, "needs a checkpoint"),
        ("rows.0", {"kind": "features", "name": "two", "backbone": "ddpm+colour"}, "needs a checkpoint"),
        ("rows.1.encoder", "resnet19", "resnet19"),
    ],
)
def test_what_only_a_method_knows(path: str, value: Any, said: str, tmp_path: Path) -> None:
    recipe = parse_recipe(changed(path, value))
    context = Context(recipe.rows, recipe.data, tmp_path, "")
    with pytest.raises(InputError, match=said) as caught:
        for row in recipe.rows:
            build(row, 0, context)
    assert str(caught.value).startswith("row '")


def test_built_in_photographs_are_in_no_other_set(tmp_path: Path) -> None:
    for data in (ToyData(kind="toy", test_seed=PHOTOGRAPHS_SEED), ToyData(kind="toy", train_seed=PHOTOGRAPHS_SEED)):
        with pytest.raises(InputError, match="the set of the seed 3; give another train_seed and test_seed"):
            data.photographs(None, 1, tmp_path)
    for ask in (ToyData(kind="toy").photographs, lambda name, *rest: ToyData(kind="toy").unlabeled([name], *rest)):
        with pytest.raises(InputError, match="images: built-in data have no such folders; leave the key out"):
            ask("unlabeled", 1, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_recipe_is_described_without_torch() -> None:
    """The command line may read about recipes without the second that torch takes."""
    code = "import sys, frugalseg.experiments.recipe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
    joined = [
        {"backbone": "ddpm+timm", "checkpoint": "a"},
        {"backbone": "ddpm+mae", "checkpoint": "ddpm=a,mae=b"},
        {"backbone": "timm+filters", "checkpoint": None},
    ]
    replace_checkpoint(joined, "ddpm=new")
    assert [row["checkpoint"] for row in joined] == ["ddpm=new", "ddpm=new,mae=b", None]
    rows.append({"backbone": "colour", "checkpoint": "c"})
    with pytest.raises(InputError, match="give colour=x or ddpm=x"):
        replace_checkpoint(rows, "x")


def combined(backbone: str, **changes: Any) -> dict[str, Any]:
    """`GOOD` with a row ``both`` of several families."""
    return changed("rows.0", {"kind": "features", "name": "both", "backbone": backbone, **changes})


@pytest.mark.parametrize(
    ("given", "checkpoint"),
    [
        ("both=C", "ddpm=C,timm=B"),
        ("both=timm=C", "ddpm=A,timm=C"),
        ("both=timm=D,ddpm=C", "ddpm=C,timm=D"),
        ("timm=C", "ddpm=A,timm=C"),
    ],
)
def test_a_checkpoint_for_a_combined_row(given: str, checkpoint: str) -> None:
    recipe = replaced(parse_recipe(combined("ddpm+timm", checkpoint="ddpm=A,timm=B")), checkpoint=[given])
    assert recipe.rows[0].checkpoint == checkpoint  # type: ignore[union-attr]
    assert recipe.inputs() == sorted(map(Path, recipe.rows[0].checkpoints().values()))


@pytest.mark.parametrize("before", [{"needs": "two networks"}, {"checkpoint": "swav=old"}])
def test_checkpoints_for_a_combined_row_come_one_after_the_other(before: dict[str, str]) -> None:
    recipe = parse_recipe(combined("ddpm+swav", **before))
    for given in ("ddpm=A", "swav=B"):
        recipe = replaced(recipe, checkpoint=[given])
    assert recipe.rows[0].checkpoints() == {"ddpm": "A", "swav": "B"}
    with pytest.raises(InputError, match=r"^checkpoint both=C: several parts of ddpm\+swav take a checkpoint"):
        replaced(recipe, checkpoint=["both=C"])
    with pytest.raises(InputError, match="timm=C: no row of this recipe takes it"):
        replaced(recipe, checkpoint=["timm=C"])


def test_a_row_may_combine_families(tmp_path: Path) -> None:
    row = {"kind": "features", "name": "both", "backbone": "filters+colour", "options": {"scales": [1.0]}}
    recipe = parse_recipe(changed("rows.0", row))
    context = Context(recipe.rows, recipe.data, tmp_path, "")
    found: Any = build(recipe.rows[0], 0, context)
    assert [tap.name for tap in found.backbone.taps] == ["filters.scale1", "colour.colour", "colour.position"]
    for wrong, said in (({"options": {"blocks": [1]}}, "unknown key 'options.blocks'"), ({"backbone": "a+b"}, "'a'")):
        with pytest.raises(InputError, match=f"row 'both': .*{said}"):
            parse_recipe(changed("rows.0", {**row, **wrong}))
    with pytest.raises(InputError, match="no weights to draw at random"):
        build(parse_recipe(changed("rows.0", {**row, "random_weights": True})).rows[0], 0, context)
    drawn = {**row, "backbone": "ddpm+colour", "checkpoint": "builtin:toy_ddpm", "random_weights": True, "options": {}}
    one, two = (build(parse_recipe(changed("rows.0", drawn)).rows[0], seed, context) for seed in (0, 1))
    assert one.backbone.each[0].settings.noise_seed == 0 and two.backbone.each[0].settings.noise_seed == 1  # type: ignore[attr-defined]
