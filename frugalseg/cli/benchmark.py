"""Commands that compare methods: demo, benchmark."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frugalseg.cli.arguments import Device
from frugalseg.cli.options import within
from frugalseg.support.ranges import RUNS

if TYPE_CHECKING:
    from frugalseg.experiments.recipe import Recipe


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the page and its figures.")] = Path("demo"),
    seeds: Annotated[int, typer.Option(help="The number of runs of each method.", callback=within(RUNS))] = 3,
    device: Device = "auto",
) -> None:
    """Fit, evaluate and compare methods on built-in images.

    The methods learn from 20 annotated images and are tested on 100. This takes minutes on two CPU cores.
    """
    from frugalseg.experiments.demo import run_demo
    from frugalseg.support.device import choose_device
    from frugalseg.support.progress import bars

    with bars() as progress:
        result = run_demo(out, seeds=seeds, device=choose_device(device), progress=progress)
    typer.echo(result.summary())
    typer.echo(f"\nThe page with all pictures: {result.page}")


def benchmark(
    recipe: Annotated[
        Path,
        typer.Argument(help="A recipe: a YAML file such as recipes/street_fashion.yaml. Or a folder of recipes."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The folder for the results and the page. Needed unless it is a dry run."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The data folder to use instead of the recipe's.")] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            help="A checkpoint to use instead of the recipe's: FAMILY=PLACE for all rows of a family, such as "
            "ddpm=FOLDER, or ROW=PLACE for the row of this name, or ROW=FAMILY=PLACE if the row joins several "
            "families. A path alone is for all rows that take a checkpoint, if they are of one family. For one recipe "
            "of a folder: cat_15/ddpm=FOLDER. May be given several times."
        ),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(help="The number of runs of each method, instead of the recipe's.", callback=within(RUNS)),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Which of the paper's diffusion features to read and which of its figures to compare with: current, "
            "or first-release."
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only say what would run, what is missing and how to get it, and what it all takes."
        ),
    ] = False,
    device: Device = "auto",
) -> None:
    """Compare methods as a recipe describes, and write a table and a page.

    The table shows the mean and the spread over the runs, beside published figures if the recipe has some. If the
    recipe says how to train a network, the network is trained first, unless --checkpoint gives it. Methods whose
    network or samples are not here are left out, and the table says why. An interrupted comparison continues where it
    stopped if you run the same command again.

    A folder of recipes, such as recipes/paper, gives a table of methods by benchmarks.
    """
    from frugalseg.experiments.folder_of_recipes import existing, load_recipes
    from frugalseg.experiments.recipe import load_recipe
    from frugalseg.support.errors import InputError

    if existing(recipe).is_dir():
        if data is not None:
            raise InputError(f"--data: {recipe} holds several recipes; give it with one of them")
        recipes = load_recipes(recipe, checkpoint=checkpoint or (), runs=runs, preset=preset)
    else:
        loaded = load_recipe(recipe, data=data, checkpoint=checkpoint or (), runs=runs, preset=preset)
        recipes = {recipe.stem: loaded}
    if dry_run:
        show_plan(recipes, recipe, out)
        return
    if out is None:
        raise InputError("--out: give a folder for the results, such as -o runs; or add --dry-run")
    run_recipes(recipes, recipe, out, device)


def show_plan(recipes: "dict[str, Recipe]", place: Path, out: Path | None) -> None:
    """Say what a run of the recipes would do."""
    from frugalseg.experiments.dry_run import dry_run
    from frugalseg.experiments.plan import Plan

    typer.echo(dry_run({name: Plan.of(each) for name, each in recipes.items()}, place, out))


def run_recipes(recipes: "dict[str, Recipe]", place: Path, out: Path, device: str) -> None:
    """Run a recipe, or those of a folder, and show the table."""
    from frugalseg.experiments.comparison import run_comparison
    from frugalseg.experiments.results import Comparison
    from frugalseg.experiments.table import Table, run_table
    from frugalseg.support.device import choose_device
    from frugalseg.support.progress import bars

    result: Comparison | Table
    with bars() as progress:
        if place.is_dir():
            result = run_table(recipes, out, device=choose_device(device), progress=progress)
        else:
            (recipe,) = recipes.values()
            result = run_comparison(recipe, out, device=choose_device(device), progress=progress)
    typer.echo(result.summary())
    typer.echo(f"\npage: {result.page}")
