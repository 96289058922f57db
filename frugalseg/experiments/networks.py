"""The networks of a recipe: how they are trained before the comparison, and what their training took."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from frugalseg.experiments.data import FolderData
from frugalseg.experiments.recipe import Recipe, parse_recipe
from frugalseg.experiments.rows import checkpoint_of
from frugalseg.jobs.pretrain import images_of, pretrain
from frugalseg.pretraining.settings import RunOptions
from frugalseg.support.errors import InputError
from frugalseg.support.files import read_json
from frugalseg.support.folders import require_writable
from frugalseg.support.progress import Progress, silent
from frugalseg.training.run_folder import RunFolder


def with_networks(recipe: Recipe, folder: str | Path, *, device: str = "cpu", progress: Progress = silent) -> Recipe:
    """Train the networks that rows of a recipe name as their checkpoint; finished ones are left alone.

    Args:
        recipe: its rows may name entries of ``networks``. Entries that no row names are not trained.
        folder: of the comparison. The networks go to ``networks/NAME`` below it, where a killed training continues.
        device: where to train.
        progress: told of each image that is read and of each step.

    Returns:
        The recipe with the folders of the networks as checkpoints.

    Raises:
        InputError: a family, a setting or a folder of images is wrong, or `folder` cannot be written; found before the
            first training.
    """
    require_writable(Path(folder))
    wanted = [name for name in recipe.networks if any(name == checkpoint_of(row) for row in recipe.rows)]
    if not wanted:
        return recipe
    settings = {name: recipe.networks[name].training_settings(name) for name in wanted}
    images = {name: [str(path) for path in folders_of(recipe, name)] for name in wanted}
    for name in wanted:
        images_of(images[name])
    content = recipe.model_dump()
    for name in wanted:
        place = Path(folder) / "networks" / name
        options = RunOptions(device=device)
        pretrain(recipe.networks[name].family, images[name], place, settings[name], options, progress)
        for row in content["rows"]:
            if row.get("checkpoint") == name:
                row["checkpoint"] = str(place)
    return parse_recipe(content)


def folders_of(recipe: Recipe, name: str) -> list[Path]:
    """The folders of images that a network is trained on."""
    if not isinstance(recipe.data, FolderData):
        raise InputError(f"networks.{name}: recipes of built-in images cannot train a network; give its checkpoint")
    return [recipe.data.root / part for part in recipe.networks[name].images]


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
