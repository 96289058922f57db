"""Recipes: one YAML file an experiment, validated before anything runs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from frugalseg.backbones.ddpm.settings import PRESETS
from frugalseg.experiments.data import DATA_KINDS, Data
from frugalseg.experiments.given_checkpoints import replace_checkpoint
from frugalseg.experiments.plain_yaml import read_yaml
from frugalseg.experiments.published import PublishedFigure
from frugalseg.experiments.records import folder_name
from frugalseg.experiments.rows import KINDS, AnyRow, FeatureRow
from frugalseg.experiments.validation import Positive, Runs, Strict, Whole, checked, explain
from frugalseg.pretraining.settings import CommonSettings
from frugalseg.support.errors import InputError
from frugalseg.support.paths import as_path
from frugalseg.support.text import listed, quoted

NETWORK_NAME = re.compile(r"(?!(con|prn|aux|nul|com\d|lpt\d)(\.|$))\w([\w.-]{0,58}[\w-])?", re.IGNORECASE)
"""What a network may be called. Its folder is named after it, and no system may take the name for anything else.

Windows takes ``nul`` and its like for devices, and leaves out a point at the end.
"""


class NetworkRecipe(Strict):
    """A network to pretrain before the comparison, which rows name as their checkpoint.

    Attributes:
        family: of backbones that can be pretrained.
        images: folders of unlabelled images, relative to the data folder; for recipes with a data folder.
        count: how many images; for recipes of built-in images.
        settings: fields of the family's settings, see ``frugalseg pretrain FAMILY --help``. Where a field names a
            network that must have been trained before, another network of the recipe may be named.
    """

    family: str
    images: tuple[str, ...] = ()
    count: Positive = 1000
    settings: dict[str, Any] = Field(default_factory=dict)

    def training_settings(self, name: str) -> CommonSettings:
        """The settings, checked; `name` is that of the network, for messages.

        Raises:
            InputError: the family cannot be pretrained, or a setting is unknown, ill-typed or out of range.
        """
        from frugalseg.jobs.pretrain import pretrainable_family

        try:
            settings_class = pretrainable_family(self.family).settings_class()
            settings: CommonSettings = checked(settings_class, self.settings, "settings")
        except InputError as error:
            raise InputError(f"networks.{name}: {error}") from None
        return settings

    def needed(self, name: str) -> dict[str, str]:
        """The settings that are checkpoints, such as the generator of an encoder, and these checkpoints.

        `name` and errors are those of `training_settings`.
        """
        return self.training_settings(name).checkpoints()


class Recipe(Strict):
    """Methods to compare on one data set.

    Attributes:
        title: heading of the page.
        data: what is trained and tested on.
        rows: the methods, in the order of the table.
        runs: each method's runs; their seeds are 0, 1, ...
        pictures: test images that the page shows: the first ones, not chosen by anybody.
        note: what a reader should know before comparing, shown below the table.
        networks: networks to pretrain first, by the names that rows give as checkpoint; see `NETWORK_NAME`.
        preset: which of the paper's features rows of the family ddpm read, where they do not say it themselves, and
            which of the published figures of all rows are compared with.
    """

    title: str
    data: Data
    rows: Annotated[tuple[AnyRow, ...], Field(min_length=1)]
    runs: Runs = 5
    pictures: Annotated[Whole, Field(ge=0, le=10_000)] = 8
    note: str = ""
    networks: dict[str, NetworkRecipe] = Field(default_factory=dict)
    preset: Literal["current", "first-release"] = "current"

    @field_validator("networks")
    @classmethod
    def _networks_name_folders(cls, networks: dict[str, NetworkRecipe]) -> dict[str, NetworkRecipe]:
        wrong = next((name for name in networks if not NETWORK_NAME.fullmatch(name)), None)
        if wrong is not None:
            raise ValueError(
                f"{quoted(wrong)} cannot be the name of a folder; take up to 60 letters, digits, _, - and . that begin "
                "with a letter or a digit, such as street_ddpm"
            )
        alike = {name.casefold(): name for name in networks}
        twice = next((name for name in networks if alike[name.casefold()] != name), None)
        if twice is not None:
            raise ValueError(f"{quoted(twice)} and {quoted(alike[twice.casefold()])} are one folder on some systems")
        return networks

    def inputs(self) -> list[Path]:
        """The user's folders and files that are read: data, photographs, checkpoints and finished sets."""
        networks = {image for network in self.networks.values() for image in network.images}
        photographs = {images for row in self.rows if (images := getattr(row, "images", None))}
        samples = {place for row in self.rows if (place := getattr(row, "samples", None))}
        named = {place for row in self.rows for place in row.checkpoints().values() if place}
        places = sorted((named - set(self.networks)) | samples)
        return [*self.data.inputs(sorted(networks | photographs)), *map(Path, places)]

    def trained_first(self) -> list[str]:
        """The networks that rows name as a checkpoint, and those that these need: by name, in the order of training."""
        named = [place for row in self.rows for place in row.checkpoints().values()]
        return training_order(named, self.networks)

    def published(self) -> dict[str, PublishedFigure]:
        """The published figure of each row that has one for the preset."""
        found = {row.name: (row.published or {}).get(self.preset) for row in self.rows}
        return {name: figure for name, figure in found.items() if figure is not None}


LONGEST_NAME = 200
"""Bytes of the folder of a row, which is named after it; file systems take 255."""
REQUIRED = [name for name, field in Recipe.model_fields.items() if field.is_required()]
"""Keys that every recipe has."""


def load_recipe(
    path: str | Path,
    *,
    data: str | Path | None = None,
    checkpoint: Sequence[str] = (),
    runs: int | None = None,
    preset: str | None = None,
) -> Recipe:
    """Read and check a recipe.

    Args:
        path: a YAML file.
        data: replaces ``data.path``.
        checkpoint: replaces the checkpoint of every row that takes one, or of some: see `replace_checkpoint`. Several
            in a sequence.
        runs: replaces ``runs``.
        preset: replaces ``preset``.

    Raises:
        InputError: no such file, not YAML, an unknown key or a value that does not fit; the key is named.
    """
    path = as_path(path, "recipe")
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no keys; expected {', '.join(Recipe.model_fields)}")
    if not content.keys() & REQUIRED:
        raise InputError(f"{path}: this is no recipe; it has none of the keys {listed(REQUIRED)}")
    try:
        recipe = parse_recipe(content if preset is None else {**content, "preset": known_preset(preset)})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return replaced(recipe, data=data, checkpoint=checkpoint, runs=runs)


def parse_recipe(content: dict[str, Any]) -> Recipe:
    """A recipe from plain values; `InputError` names the first key that is wrong, and the row."""
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise InputError(explained(error.errors()[0], content)) from None
    require_different_names([row.name for row in recipe.rows])
    for row in recipe.rows:
        with row.named_in_errors():
            row.check(recipe.rows)
    for name, network in recipe.networks.items():
        network.training_settings(name)
    training_order(recipe.networks, recipe.networks)
    return with_preset(recipe)


def known_preset(name: str) -> str:
    """The name of a preset; `InputError` for any other."""
    if name not in PRESETS:
        raise InputError(f"no preset {quoted(name)}; known: {', '.join(PRESETS)}")
    return name


def with_preset(recipe: Recipe) -> Recipe:
    """The recipe with its preset among the options of the rows that have such an option and do not give it."""
    if recipe.preset == Recipe.model_fields["preset"].default:
        return recipe
    rows = tuple(
        row.model_copy(update={"options": {"preset": recipe.preset, **row.options}})
        if isinstance(row, FeatureRow) and row.takes_option("preset")
        else row
        for row in recipe.rows
    )
    return recipe.model_copy(update={"rows": rows})


def training_order(
    wanted: Iterable[str], networks: Mapping[str, NetworkRecipe], within: Sequence[str] = ()
) -> list[str]:
    """Networks of a recipe and those that they need, each once and after the ones that it needs.

    Args:
        wanted: their names; others, such as folders, are left out.
        networks: of the recipe.
        within: those that need the wanted ones.

    Raises:
        InputError: networks need each other.
    """
    order: dict[str, None] = {}
    for name in wanted:
        if name in within:
            raise InputError(f"networks.{name}: needs itself, by way of {' -> '.join([*within, name])}")
        if name in networks:
            order |= dict.fromkeys(
                [*training_order(networks[name].needed(name).values(), networks, [*within, name]), name]
            )
    return list(order)


def require_different_names(names: Sequence[str]) -> None:
    """`InputError` where two rows would share a place in the table or the folder of their runs, or have none."""
    folders: dict[str, str] = {}
    for name in names:
        if len(folder_name(name).encode()) > LONGEST_NAME:
            raise InputError(f"row {quoted(name)}: the name is too long; give a shorter one")
        other = folders.get(folder_name(name))
        if other is not None:
            same = f"{name!r}" if other == name else f"{other!r} and {name!r}, and their runs would share a folder"
            raise InputError(f"two rows are named {same}; give each a name of its own")
        folders[folder_name(name)] = name


def explained(problem: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """One line for an error of pydantic in a recipe: the row, the key, what is wrong, what is known."""
    place, model, row = list(problem["loc"]), Recipe.model_fields, ""
    if place[:1] == ["rows"] and len(place) > 2:
        model, name = KINDS[place[2]].model_fields, content["rows"][place[1]].get("name")
        # A row is known by its name; without one, by its number.
        row, place = (f"row {name!r}: ", place[3:]) if isinstance(name, str) else ("", [*place[:2], *place[3:]])
    elif place[:1] == ["data"] and len(place) > 1:
        model = DATA_KINDS[place.pop(1)].model_fields
    elif place[:1] == ["networks"] and len(place) > 2:
        model = NetworkRecipe.model_fields
    return row + explain(problem, place, model)


def replaced(
    recipe: Recipe,
    *,
    data: str | Path | None = None,
    checkpoint: Sequence[str] = (),
    runs: int | None = None,
) -> Recipe:
    """The recipe with another data folder, checkpoints (see `load_recipe`) or number of runs; None keeps what it has.

    Raises:
        InputError: `data` is given for a recipe of built-in images, `runs` is below 1, or a checkpoint has no row.
    """
    content = recipe.model_dump()
    if data is not None:
        if content["data"]["kind"] != "folder":
            raise InputError("this recipe draws its own images: leave the data folder out")
        content["data"]["path"] = str(data)
    for given in checkpoint:
        replace_checkpoint(content["rows"], given)
    if runs is not None:
        content["runs"] = runs
    return parse_recipe(content)
