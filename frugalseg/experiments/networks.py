"""The networks of a recipe: trained before the comparison, and what their training took."""

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from frugalseg.experiments.recipe import FeatureRow, FolderData, NetworkRecipe, Recipe, parse_recipe
from frugalseg.jobs.pretrain import images_of, pretrain, pretrainable_family
from frugalseg.pretraining.settings import RunOptions, TrainingSettings
from frugalseg.support.errors import InputError
from frugalseg.support.files import read_json
from frugalseg.support.folders import require_writable
from frugalseg.training.run_folder import RunFolder


def with_networks(recipe: Recipe, folder: str | Path, *, device: str = "cpu", bar: bool = False) -> Recipe:
    """Train the networks that rows of a recipe name as their checkpoint; finished ones are left alone.

    Args:
        recipe: its rows may name entries of ``networks``; entries that no row names any more are not trained.
        folder: of the comparison; the networks go to ``networks/NAME`` below it, and are taken up there when killed.
        device: where to train.
        bar: draw progress bars.

    Returns:
        The recipe with the places of the networks as checkpoints.

    Raises:
        InputError: a family, a setting or a folder of images is wrong, or `folder` cannot be written; found before the
            first training.
    """
    require_writable(Path(folder))
    wanted = [name for name in recipe.networks if any(name == checkpoint_of(row) for row in recipe.rows)]
    settings = {name: settings_of(recipe.networks[name], name) for name in wanted}
    images = {name: [str(path) for path in folders_of(recipe, name)] for name in wanted}
    for name in wanted:
        images_of(images[name])
    content = recipe.model_dump()
    for name in wanted:
        place = Path(folder) / "networks" / name
        pretrain(recipe.networks[name].family, images[name], place, settings[name], RunOptions(device=device, bar=bar))
        for row in content["rows"]:
            if row.get("checkpoint") == name:
                row["checkpoint"] = str(place)
    return parse_recipe(content)


def checkpoint_of(row: Any) -> str | None:
    """What a row names as its checkpoint, if it is of a kind that has one."""
    return row.checkpoint if isinstance(row, FeatureRow) else None


def settings_of(network: NetworkRecipe, name: str) -> TrainingSettings:
    """The settings of a network's family; raises `InputError` for unknown ones and for values out of range."""
    cls = pretrainable_family(network.family).settings_class()
    known = [field.name for field in fields(cls)]
    unknown = [key for key in network.settings if key not in known]
    if unknown:
        raise InputError(f"networks.{name}: {network.family} has no setting {unknown[0]!r}; known: {', '.join(known)}")
    settings: TrainingSettings = cls.from_json(network.settings)
    return settings


def folders_of(recipe: Recipe, name: str) -> list[Path]:
    """The folders of images that a network is trained on."""
    if not isinstance(recipe.data, FolderData):
        raise InputError(f"networks.{name}: recipes of built-in images cannot train a network; give its checkpoint")
    return [Path(recipe.data.path) / part for part in recipe.networks[name].images]


@dataclass(frozen=True)
class TrainingFacts:
    """What the training of a checkpoint took.

    Attributes:
        place: its folder.
        family: of the network.
        size: (height, width) of the training images.
        images: how many were seen, counting repetitions.
        weights: numbers in its files.
        flops: operations in all, see `frugalseg.training.compute.FlopCount`; None where they were not counted.
        seconds: of training, on whatever machine it was.
    """

    place: str
    family: str
    size: tuple[int, int]
    images: int
    weights: int
    flops: int | None
    seconds: float

    @classmethod
    def of(cls, checkpoint: str | None) -> Self | None:
        """The facts of a folder that pretraining wrote; None for any other checkpoint."""
        run = RunFolder(Path(checkpoint)) if checkpoint is not None else None
        if run is None or not run.progress.is_file():
            return None
        settings, progress = read_json(run.settings), run.last_progress()
        flops = progress.get("step_flops")
        return cls(
            place=run.path.name,
            family=settings["family"],
            size=(settings["image_size"][0], settings["image_size"][1]),
            images=progress["images"],
            weights=sum(weights_in(path) for path in sorted(run.path.rglob("*.safetensors"))),
            flops=None if flops is None else flops * progress["step"],
            seconds=progress["seconds"],
        )


def weights_in(path: Path) -> int:
    """Numbers in a safetensors file, from its header."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names = file.keys()
        return sum(math.prod(file.get_slice(name).get_shape()) for name in names)


def training_facts(recipe: Recipe) -> list[TrainingFacts]:
    """The facts of every checkpoint of a recipe that pretraining wrote, each once, in the order of the rows."""
    checkpoints = dict.fromkeys(checkpoint_of(row) for row in recipe.rows)
    return [facts for checkpoint in checkpoints if (facts := TrainingFacts.of(checkpoint)) is not None]
