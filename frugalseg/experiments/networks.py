"""The networks of a recipe: how they are trained before the comparison, and what their training took."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from frugalseg.backbones.registry import FAMILIES
from frugalseg.experiments.given_checkpoints import written
from frugalseg.experiments.recipe import Recipe, parse_recipe
from frugalseg.jobs.pretrain import images_of, pretrain
from frugalseg.pretraining.settings import CommonSettings, RunOptions
from frugalseg.support.damage import refused_where_damaged
from frugalseg.support.errors import InputError
from frugalseg.support.folders import require_writable
from frugalseg.support.progress import Progress, silent
from frugalseg.support.ranges import SIZE, check_range
from frugalseg.training.run_folder import AFRESH, RunFolder


def with_networks(recipe: Recipe, folder: str | Path, *, device: str = "cpu", progress: Progress = silent) -> Recipe:
    """Train the networks that rows of a recipe name as their checkpoint; finished ones are left alone.

    Args:
        recipe: its rows may name entries of ``networks``, and these may need others, which are trained before them.
            Entries that no row needs are not trained.
        folder: of the comparison. The networks go to ``networks/NAME`` below it, where a killed training continues.
        device: where to train.
        progress: told of each image that is read and of each step.

    Returns:
        The recipe with the folders of the networks in place of their names.

    Raises:
        InputError: a family, a setting or a folder of images is wrong, or `folder` cannot be written; found before the
            first training.
    """
    require_writable(Path(folder))
    wanted = recipe.trained_first()
    if not wanted:
        return recipe
    places = {name: str(Path(folder) / "networks" / name) for name in wanted}
    ready = with_places(recipe, places)
    settings = {name: ready.networks[name].training_settings(name) for name in wanted}
    images = {name: folders_of(recipe, name, Path(folder)) for name in wanted}
    for name in wanted:
        images_of(images[name])
    for name in wanted:
        options = RunOptions(device=device)
        pretrain(recipe.networks[name].family, images[name], places[name], settings[name], options, progress)
    return ready


def with_places(recipe: Recipe, places: Mapping[str, str]) -> Recipe:
    """The recipe with folders in place of the names of networks, in its rows and in the networks that need others."""
    content = recipe.model_dump()
    for row, values in zip(recipe.rows, content["rows"], strict=True):
        given = row.checkpoints()
        if any(each in places for each in given.values()):
            found = {family: places.get(each, each) for family, each in given.items()}
            values["checkpoint"] = written(values["backbone"], found)
    for name, network in recipe.networks.items():
        needed = {field: places[place] for field, place in network.needed(name).items() if place in places}
        content["networks"][name]["settings"] |= needed
    return parse_recipe(content)


def folders_of(recipe: Recipe, name: str, folder: Path) -> list[str]:
    """The folders of images that a network is trained on; built-in images are written below `folder`."""
    network = recipe.networks[name]
    try:
        return [str(path) for path in recipe.data.unlabeled(network.images, network.count, folder)]
    except InputError as error:
        raise InputError(f"networks.{name}: {error}") from None


@dataclass(frozen=True)
class TrainingFacts:
    """What the training of a checkpoint took.

    Attributes:
        place: its folder.
        family: of the network.
        size: (height, width) of the training images.
        images: how many images it has seen, repetitions counted.
        weights: how many numbers its files hold.
        flops: operations of the whole training, see `frugalseg.training.compute.FlopCount`; None if not counted.
        seconds: duration of the training, on the machine that did it.
        needed: the folders of the networks that had to be trained before.
    """

    place: str
    family: str
    size: tuple[int, int]
    images: int
    weights: int
    flops: int | None
    seconds: float
    needed: tuple[str, ...] = ()

    @classmethod
    def of(cls, checkpoint: str | None) -> Self | None:
        """The facts of a folder that pretraining wrote; None for any other checkpoint.

        Raises:
            DamagedError: a file in the folder was damaged or changed.
        """
        run = RunFolder(Path(checkpoint)) if checkpoint is not None else None
        if run is None or not run.progress.is_file():
            return None
        stored, progress = run.stored_settings(), run.last_progress()
        with refused_where_damaged(run.settings, "run", AFRESH):
            family, needed = str(stored["family"]), needed_by(stored)
            check_range("image_size is", size := tuple(stored["image_size"]), SIZE)
        flops = progress.get("step_flops")
        return cls(
            place=run.path.name,
            family=family,
            size=size,
            images=progress["images"],
            weights=sum(weights_in(path) for path in sorted(run.path.rglob("*.safetensors"))),
            flops=None if flops is None else flops * progress["step"],
            seconds=progress["seconds"],
            needed=needed,
        )


def weights_in(path: Path) -> int:
    """Numbers in a safetensors file, from its header; raises `DamagedError` where it has none."""
    from frugalseg.backbones.weights import header_of

    with refused_where_damaged(path, "network", AFRESH):
        return sum(math.prod(shape) for shape in header_of(path).values())


def needed_by(stored: dict[str, Any]) -> tuple[str, ...]:
    """The checkpoints that a training with such settings needed; none where its family is not known here."""
    family = FAMILIES.get(stored["family"])
    if family is None or family.pretraining is None:
        return ()
    settings: CommonSettings = family.settings_class().from_json(stored)
    return tuple(settings.checkpoints().values())


def training_facts(recipe: Recipe) -> list[TrainingFacts]:
    """The facts of every checkpoint of a recipe that pretraining wrote, and of those that it needed, each once.

    They come in the order of the rows, and the needed ones first.
    """
    found: dict[str, TrainingFacts | None] = {}
    for row in recipe.rows:
        for checkpoint in row.checkpoints().values():
            add_facts(checkpoint, found)
    return [facts for facts in found.values() if facts is not None]


def add_facts(checkpoint: str, found: dict[str, TrainingFacts | None]) -> None:
    """Add the facts of a checkpoint to those that are `found`, after those of the networks that it needed."""
    if checkpoint in found:
        return
    # Before the needed ones, for a changed file may say that a network needs itself.
    facts = found[checkpoint] = TrainingFacts.of(checkpoint)
    for each in () if facts is None else facts.needed:
        add_facts(each, found)
    found[checkpoint] = found.pop(checkpoint)  # behind the needed ones
