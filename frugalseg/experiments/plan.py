"""What of a recipe can be run now, and what stands in the way of the rest; no network is loaded for it."""

from dataclasses import dataclass

from frugalseg.data.catalogue.items import ITEMS, benchmark_of
from frugalseg.experiments.data import FolderData, ToyData
from frugalseg.experiments.obstacles import PATH, Obstacle, item_obstacle
from frugalseg.experiments.recipe import Recipe
from frugalseg.support.errors import InputError
from frugalseg.support.paths import as_path
from frugalseg.support.text import listing


@dataclass(frozen=True)
class Plan:
    """A recipe, and what stands in its way.

    Attributes:
        recipe: of which all is said.
        data: what stands in the way of the data; None where they are here.
        rows: what stands in the way of each row beside the data, by its name.
    """

    recipe: Recipe
    data: Obstacle | None
    rows: dict[str, Obstacle | None]

    @classmethod
    def of(cls, recipe: Recipe) -> "Plan":
        """The plan of a recipe.

        Raises:
            InputError: what is needed is here, but damaged or half there; a name is misspelled; or a row names no
                checkpoint and does not say which one it needs.
        """
        rows = {}
        for row in recipe.rows:
            with row.named_in_errors():
                rows[row.name] = row.obstacle(recipe.rows, recipe.networks)
        return cls(recipe, data_obstacle(recipe.data), rows)

    @property
    def ready(self) -> list[str]:
        """The rows that can be run now."""
        return [] if self.data is not None else [name for name, found in self.rows.items() if found is None]

    @property
    def left_out(self) -> dict[str, Obstacle]:
        """The rows that a comparison goes on without."""
        return {name: found for name, found in self.rows.items() if found is not None and found.left_out}

    @property
    def to_download(self) -> list[str]:
        """Names of the catalogue that are not in the cache."""
        found = [*([self.data] if self.data else []), *(each for each in self.rows.values() if each is not None)]
        return list(dict.fromkeys(name for each in found for name in each.items))

    def runnable(self) -> Recipe:
        """The recipe without the rows that are left out.

        Raises:
            InputError: no row is left.
        """
        out = self.left_out
        kept = tuple(row for row in self.recipe.rows if row.name not in out)
        if not kept:
            reasons = listing([f"{name}: {found.words}" for name, found in out.items()], 2)
            raise InputError(
                f"{self.recipe.title}: no row can be run: {reasons}; add --dry-run to see all that is missing"
            )
        return self.recipe.model_copy(update={"rows": kept})


def data_obstacle(data: ToyData | FolderData) -> Obstacle | None:
    """What stands in the way of the data of a recipe; raises what `Plan.of` does."""
    if isinstance(data, ToyData):
        return None
    benchmark = benchmark_of(data.path)
    if benchmark and not as_path(data.path, "data folder").exists():
        return item_obstacle(ITEMS[benchmark])
    if not data.root.is_dir():
        return Obstacle(PATH, f"there is no {data.path}; give another place with --data")
    missing = [place for place in data.inputs([]) if not place.is_dir()]
    return Obstacle(PATH, f"there is no {missing[0]}; add that folder, or correct the recipe") if missing else None
