"""The table of several recipes: methods by data sets, our figures beside the published ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frugalseg.experiments.comparison import run_comparison
from frugalseg.experiments.plan import Plan
from frugalseg.experiments.published import PublishedFigure
from frugalseg.experiments.recipe import Recipe
from frugalseg.experiments.results import Comparison, spare_others, text_table
from frugalseg.support.errors import InputError
from frugalseg.support.files import write_json
from frugalseg.support.folders import require_writable, spare_inputs
from frugalseg.support.progress import Progress, line, silent
from frugalseg.support.runs import alone

PUBLISHED, DIFFERENCE = "  published", "  difference, SD"
NOTHING = "–"


@dataclass(frozen=True, eq=False)
class Table:
    """What the recipes of a folder have found.

    Attributes:
        published: the published figures of each recipe, by the name of its file and the row.
        titles: of the recipes.
        found: the comparisons that were run.
        left_out: recipes that were not run, and why.
        page: the HTML page.
    """

    published: dict[str, dict[str, PublishedFigure]]
    titles: dict[str, str]
    found: dict[str, Comparison]
    page: Path
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def methods(self) -> list[str]:
        """All methods that have a figure, in the order of the longest recipe, then of the others."""
        every = [
            [*self.published[name], *(self.found[name].runs if name in self.found else ())] for name in self.titles
        ]
        return list(dict.fromkeys(method for methods in sorted(every, key=len, reverse=True) for method in methods))

    def lines(self) -> list[list[str]]:
        """The cells of the table: three lines a method, a heading first."""
        cells = [[self.cells(method, name) for name in self.titles] for method in self.methods]
        rows = [["mIoU as the paper counts, %", *self.titles.values()]]
        for method, found in zip(self.methods, cells, strict=True):
            names = (method, PUBLISHED, DIFFERENCE)
            rows += [[label, *(each[number] for each in found)] for number, label in enumerate(names)]
        return rows

    def cells(self, method: str, name: str) -> tuple[str, str, str]:
        """Our figure of a method on the data of a recipe, the published one, and the difference."""
        from frugalseg.report.page import mean_std

        result, figure = self.found.get(name), self.published[name].get(method)
        ran = result is not None and method in result.runs
        ours = mean_std(result.values(method, "miou_paper")) if result is not None and ran else NOTHING
        if figure is None:
            return ours, NOTHING, NOTHING
        deviations = figure.deviations(result.mean(method)) if result is not None and ran else None
        return ours, str(figure), NOTHING if deviations is None else f"{deviations:+.1f}"

    def summary(self) -> str:
        """The table as text, and what was not run."""
        out = [f"not run: {self.titles[name]}: {why}" for name, why in self.left_out.items()]
        for name, result in self.found.items():
            out += [f"not run: {self.titles[name]}: {row}: {why}" for row, why in result.left_out.items()]
        return "\n\n".join(filter(None, (text_table(self.lines()), "\n".join(out))))

    def to_json(self) -> dict[str, Any]:
        """Every comparison, and what was not run."""
        return {"recipes": {name: each.to_json() for name, each in self.found.items()}, "left_out": self.left_out}


def run_table(
    recipes: Mapping[str, Recipe], folder: str | Path, *, device: str = "cpu", progress: Progress = silent
) -> Table:
    """Run what can be run of several recipes, and write ``results.json`` and ``index.html``.

    Args:
        recipes: by name, from `load_recipes`.
        folder: gets a folder for each recipe, see `run_comparison`, and then the table.
        device: where everything runs.
        progress: told of each method, preceded by the recipe.

    Raises:
        InputError: nothing can be run; the page or the results in `folder` are of something else; or something is
            wrong: a name or a path, which is found before the first run, or what is in a file, before the first run
            of its recipe.
    """
    folder = Path(folder)
    require_writable(folder)
    spare_others(folder)
    left_out = reasons({name: Plan.of(recipe) for name, recipe in recipes.items()})
    for name, recipe in recipes.items():
        if name not in left_out:
            spare_inputs(folder / name, *recipe.inputs(), holding=True)
    with alone(folder):
        found = {}
        for name, recipe in recipes.items():
            if name in left_out:
                line(progress, f"not run: {recipe.title}: {left_out[name]}")
                continue
            found[name] = run_comparison(recipe, folder / name, device=device, progress=named(progress, recipe.title))
        published = {name: recipe.published() for name, recipe in recipes.items()}
        titles = {name: recipe.title for name, recipe in recipes.items()}
        table = Table(published, titles, found, folder / "index.html", left_out)
        write_table(table, folder)
    return table


def reasons(plans: Mapping[str, Plan]) -> dict[str, str]:
    """Why recipes cannot be run at all; `InputError` where none can, or where something is at no such place."""
    found = {name: why for name, plan in plans.items() if (why := reason(plan)) is not None}
    if len(found) == len(plans):
        first = next(iter(found.values()))
        raise InputError(f"none of these recipes can be run: {first}; add --dry-run to see all that is missing")
    return found


def reason(plan: Plan) -> str | None:
    """Why a recipe cannot be run at all."""
    if plan.data is not None:
        if not plan.data.left_out:
            raise InputError(f"{plan.recipe.title}: {plan.data.words}; correct data.path in the recipe")
        return plan.data.words
    for row, found in plan.rows.items():
        if found is not None and not found.left_out:
            raise InputError(f"{plan.recipe.title}: row {row!r}: {found.words}")
    return None if len(plan.left_out) < len(plan.rows) else "no row can be run"


def named(progress: Progress, title: str) -> Progress:
    """A progress that says before each stage of which recipe it is."""

    def show(stage: str, done: int, total: int) -> None:
        progress(f"{title}: {stage}", done, total)

    return show


def write_table(table: Table, folder: Path) -> None:
    """Write ``results.json`` and the page."""
    from frugalseg.experiments.table_page import table_page

    write_json(folder / "results.json", table.to_json())
    table_page(table).save(table.page)
