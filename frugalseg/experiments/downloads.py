"""What a recipe needs of the catalogue."""

from pathlib import Path

from frugalseg.data.catalogue.items import benchmark_of, checkpoint_item
from frugalseg.experiments.data import FolderData
from frugalseg.experiments.recipe import Recipe, checkpoints_of
from frugalseg.experiments.rows import checkpoint_of


def names_in(recipe: Recipe) -> list[str]:
    """The names of the catalogue that a recipe has as its data and as checkpoints; paths that exist win over them."""
    places = [recipe.data.path] if isinstance(recipe.data, FolderData) else []
    data = [benchmark_of(place) for place in places if not Path(place).exists()]
    rows = [row for row in recipe.rows if checkpoint_of(row) is not None]
    checkpoints = [each for row in rows for each in checkpoints_of(row.model_dump()).values()]
    named = [item.name for each in checkpoints if (item := checkpoint_item(each)) is not None]
    return list(dict.fromkeys(name for name in (*data, *named) if name))
