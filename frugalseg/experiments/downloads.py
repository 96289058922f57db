"""What a recipe needs of the catalogue."""

from pathlib import Path

from frugalseg.data.catalogue.items import ITEMS, benchmark_of, checkpoint_item
from frugalseg.experiments.data import FolderData
from frugalseg.experiments.recipe import Recipe
from frugalseg.experiments.rows import StudentRow


def names_in(recipe: Recipe) -> list[str]:
    """The names of the catalogue that a recipe has: its data, checkpoints and sets; paths that exist win over them."""
    places = [recipe.data.path] if isinstance(recipe.data, FolderData) else []
    data = [benchmark_of(place) for place in places if not Path(place).exists()]
    checkpoints = [each for row in recipe.rows for each in row.checkpoints().values()]
    named = [item.name for each in checkpoints if (item := checkpoint_item(each)) is not None]
    sets = [row.samples for row in recipe.rows if isinstance(row, StudentRow) and row.samples in ITEMS]
    return list(dict.fromkeys(name for name in (*data, *named, *sets) if name))
