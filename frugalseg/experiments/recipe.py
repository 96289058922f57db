"""Recipes: one YAML file an experiment, validated before anything runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from frugalseg.backbones.registry import FAMILIES
from frugalseg.support.errors import InputError

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Size = tuple[Positive, Positive]


class Strict(BaseModel):
    """Unknown keys are refused, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ToyData(Strict):
    """Built-in images, written below the run's folder.

    Attributes:
        train, test: numbers of annotated images.
        train_seed, test_seed: of the sets that they are taken from.
        size: sides in pixels.
    """

    kind: Literal["toy"]
    train: Positive = 20
    test: Positive = 100
    train_seed: int = 1
    test_seed: int = 2
    size: Annotated[int, Field(ge=16)] = 48


class FolderData(Strict):
    """One's own images.

    Attributes:
        path: a folder that holds the two below; relative to where the command is run.
        train, test: data folders in it.
    """

    kind: Literal["folder"]
    path: str
    train: str = "train"
    test: str = "test"


class FeatureRow(Strict):
    """A `Segmenter` on a backbone's features.

    Attributes:
        name: of the row.
        backbone: family.
        checkpoint: as `load_backbone` takes it; ``builtin:toy_ddpm`` is the network shipped with the package.
        random_weights: replace the network's weights by random ones, another draw each run.
        options: the family's own, such as ``timesteps`` and ``blocks``.
        segmenter: fields of `frugalseg.segmenter.Settings`; the seed is the run's. ``protocol`` may be a name, or keys
            of `frugalseg.classifier.protocol.TrainingProtocol` that differ from the one named by ``base``.
    """

    kind: Literal["features"]
    name: str
    backbone: str = "ddpm"
    checkpoint: str | None = None
    random_weights: bool = False
    options: dict[str, Any] = {}
    segmenter: dict[str, Any] = {}


class AugmentationRecipe(Strict):
    """See `frugalseg.students.augmentation.Augmentation`."""

    scale: tuple[float, float] = (0.7, 1.5)
    stretch: Share = 0.15
    rotation: Annotated[float, Field(ge=0, le=180)] = 15.0
    shift: Share = 0.12
    flip: bool = True
    color: Share = 0.3


class UNetRow(Strict):
    """A U-Net trained from scratch; see `frugalseg.experiments.unet_baseline.UNetSettings`."""

    kind: Literal["unet"]
    name: str
    encoder: str = "resnet18"
    depth: Annotated[int, Field(ge=3, le=5)] = 3
    decoder: tuple[Positive, ...] = (64, 32, 16)
    size: Size | None = None
    steps: Positive = 400
    batch: Annotated[int, Field(ge=2)] = 5
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    dice: Annotated[float, Field(ge=0)] = 1.0
    augmentation: AugmentationRecipe = AugmentationRecipe()


class StudentRow(Strict):
    """A student trained on samples: see `frugalseg.students.settings.StudentSettings`.

    The annotated training images choose the best round, as published.

    Attributes:
        name: of the row.
        source: of the samples. ``synthetic``: images that the teacher's own network generates, once for all runs,
            labelled by the teacher;
            ``images``: photographs that nobody annotated, labelled by the teacher; ``annotated``: the training images.
        teacher: name of the row of features that labels, fitted with the run's seed; not needed where there is but one.
        count: images to generate; of recipes of built-in images also how many stand for photographs.
        generation: options of the generator, such as ``sampler`` and ``sampling_steps``; see ``frugalseg generate``.
        images: folder of photographs, in the data folder.
        longest_side: larger photographs are made smaller before they are labelled.
        drop: share of the samples, the most uncertain, to leave out.
        protocol: ``default`` or ``paper``.
        student: settings that differ from those of the protocol; the seed is the run's.
    """

    kind: Literal["student"]
    name: str
    source: Literal["synthetic", "images", "annotated"] = "synthetic"
    teacher: str | None = None
    count: Positive = 1000
    generation: dict[str, Any] = {}
    images: str | None = None
    longest_side: Positive | None = None
    drop: Share = 0.1
    protocol: Literal["default", "paper"] = "default"
    student: dict[str, Any] = {}


class NetworkRecipe(Strict):
    """A network to pretrain before the comparison, which rows name as their checkpoint.

    Attributes:
        family: of backbones that can be pretrained.
        images: folders of unlabelled images, relative to the data folder.
        settings: fields of the family's settings, see ``frugalseg pretrain FAMILY --help``.
    """

    family: str
    images: Annotated[tuple[str, ...], Field(min_length=1)]
    settings: dict[str, Any] = {}


Row = Annotated[FeatureRow | UNetRow | StudentRow, Field(discriminator="kind")]
Data = Annotated[ToyData | FolderData, Field(discriminator="kind")]


class Recipe(Strict):
    """Methods to compare on one data set.

    Attributes:
        title: heading of the page.
        data: what is trained and tested on.
        rows: the methods, in the order of the table.
        runs: each method's runs; their seeds are 0, 1, ...
        pictures: test images that the page shows: the first ones, not chosen by anybody.
        note: what a reader should know before comparing, shown below the table.
        networks: networks to pretrain first, by the names that rows give as checkpoint.
    """

    title: str
    data: Data
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    runs: Positive = 5
    pictures: Annotated[int, Field(ge=0)] = 8
    note: str = ""
    networks: dict[str, NetworkRecipe] = {}


TAGS: dict[str, type[Strict]] = {
    "toy": ToyData,
    "folder": FolderData,
    "features": FeatureRow,
    "unet": UNetRow,
    "student": StudentRow,
    "augmentation": AugmentationRecipe,
    "networks": NetworkRecipe,
}


def load_recipe(
    path: str | Path, *, data: str | Path | None = None, checkpoint: Sequence[str] = (), runs: int | None = None
) -> Recipe:
    """Read and check a recipe.

    Args:
        path: a YAML file.
        data: replaces ``data.path``.
        checkpoint: replaces the checkpoint of every row that names one, or, given as ``FAMILY=PLACE``, of the rows of
            that family; several in a sequence.
        runs: replaces ``runs``.

    Raises:
        InputError: no such file, not YAML, an unknown key or a value that does not fit; the key is named.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give a recipe, such as those in recipes/"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise InputError(f"{path}: not YAML in UTF-8{where}; compare it with the recipes in recipes/") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no keys; expected {', '.join(Recipe.model_fields)}")
    try:
        recipe = parse_recipe(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return replaced(recipe, data=data, checkpoint=checkpoint, runs=runs)


def parse_recipe(content: dict[str, Any]) -> Recipe:
    """A recipe from plain values; `InputError` names the first key that is wrong."""
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise InputError(explain(error.errors()[0])) from None
    names = [row.name for row in recipe.rows]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two rows are named {name!r}; give each a name of its own")
    return recipe


def explain(problem: Any) -> str:
    """One line for a pydantic error: the key, what is wrong, what is known."""
    place: Sequence[str | int] = problem["loc"]
    key = ".".join(str(part) for part in place if part not in ("toy", "folder", "features", "unet", "student"))
    if problem["type"] == "extra_forbidden":
        model = next((TAGS[part] for part in reversed(place[:-1]) if part in TAGS), Recipe)
        return f"unknown key {key!r}; known there: {', '.join(model.model_fields)}"
    if problem["type"] == "missing":
        return f"the key {key!r} is missing"
    return f"{key or 'the recipe'}: {problem['msg'].lower()}"


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


def replace_checkpoint(rows: Sequence[dict[str, Any]], given: str) -> None:
    """Put ``FAMILY=PLACE`` or ``PLACE`` into the rows that it is for; raises `InputError` where there are none."""
    family, equals, place = given.partition("=")
    mine = [row for row in rows if row.get("checkpoint") is not None]
    if equals and family in FAMILIES:
        mine = [row for row in mine if row["backbone"] == family]
    else:
        place = given
        families = sorted({row["backbone"] for row in mine})
        if len(families) > 1:
            raise InputError(
                f"checkpoint {given}: for which rows? give {' or '.join(f'{f}={given}' for f in families)}"
            )
    if not mine:
        raise InputError(f"checkpoint {given}: no row of this recipe takes it; leave it out")
    for row in mine:
        row["checkpoint"] = place
