"""The recipes of a folder such as ``recipes/paper``: found, read, and given their checkpoints."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from frugalseg.backbones.registry import FAMILIES
from frugalseg.data.catalogue.benchmarks import BENCHMARKS
from frugalseg.experiments.data import FolderData
from frugalseg.experiments.given_checkpoints import NobodyTakes
from frugalseg.experiments.recipe import Recipe, load_recipe, replaced
from frugalseg.support.errors import InputError
from frugalseg.support.paths import as_path
from frugalseg.support.text import listing, quoted

SUFFIX = ".yaml"


def load_recipes(
    path: str | Path, *, checkpoint: Sequence[str] = (), runs: int | None = None, preset: str | None = None
) -> dict[str, Recipe]:
    """All recipes of a folder, by the names of their files without ``.yaml``.

    Args:
        path: of the folder.
        checkpoint: see `load_recipe`; ``RECIPE/FAMILY=PLACE`` is for one of the recipes, and anything else for all
            that have rows for it.
        runs, preset: see `load_recipe`.

    Returns:
        Those of the paper's benchmarks first, in its order.

    Raises:
        InputError: there is no such folder, or no recipe in it; one is wrong; or none takes a checkpoint.
    """
    folder = existing(path)
    files = sorted(folder.glob(f"*{SUFFIX}"))
    if not files:
        raise InputError(f"{folder}: holds no recipe; give a recipe or a folder of recipes, such as recipes/paper")
    recipes = {file.stem: load_recipe(file, runs=runs, preset=preset) for file in files}
    for each in checkpoint:
        recipes = with_checkpoint(recipes, each)
    places = {name: number for number, name in enumerate(BENCHMARKS)}
    return dict(sorted(recipes.items(), key=lambda found: places.get(data_name(found[1]), len(places))))


def existing(path: str | Path) -> Path:
    """A recipe or a folder of recipes; `InputError` names what is beside a path that is missing."""
    place = as_path(path, "recipe")
    if not place.exists():
        beside = [each.name for each in place.parent.iterdir()] if place.parent.is_dir() else []
        near = get_close_matches(place.name, beside, 1, 0.6)
        meant = f"did you mean {place.with_name(near[0])}?" if near else "give a recipe, such as those in recipes/"
        raise InputError(f"{place}: cannot be read (no such file or folder); {meant}")
    return place


def with_checkpoint(recipes: Mapping[str, Recipe], given: str) -> dict[str, Recipe]:
    """The recipes with a checkpoint in the rows that it is for; see `load_recipes`."""
    name, mine = addressed(given, recipes)
    takers: dict[str, Recipe] = {}
    for stem in recipes if name is None else [name]:
        with suppress(NobodyTakes):
            takers[stem] = replaced(recipes[stem], checkpoint=[mine])
    if not takers:
        raise NobodyTakes(f"checkpoint {given}: no row of {name or 'these recipes'} takes it; leave it out")
    return {**recipes, **takers}


def addressed(given: str, recipes: Mapping[str, Recipe]) -> tuple[str | None, str]:
    """The recipe that a checkpoint is for, None for all of them, and the checkpoint as that recipe takes it."""
    key, equals, _ = given.partition("=")
    name, slash, rest = key.partition("/")
    if not (equals and slash):
        return None, given
    if name in recipes:
        return name, given.removeprefix(f"{name}/")
    if rest in FAMILIES:
        near = get_close_matches(name, recipes, 1, 0.6)
        meant = f"did you mean {near[0]}?" if near else f"known: {listing(list(recipes))}"
        raise InputError(f"checkpoint {given}: no recipe is named {quoted(name)}; {meant}")
    return None, given


def data_name(recipe: Recipe) -> str:
    """The data of a recipe: the name of a benchmark, or the path of a folder."""
    return recipe.data.path if isinstance(recipe.data, FolderData) else ""
