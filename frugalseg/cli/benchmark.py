"""Commands that compare methods: demo, benchmark."""

from pathlib import Path
from typing import Annotated

import typer

from frugalseg.cli.arguments import Device
from frugalseg.cli.options import within
from frugalseg.support.ranges import RUNS


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
    recipe: Annotated[Path, typer.Argument(help="A recipe: a YAML file such as recipes/street_fashion.yaml.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the results and the page.")],
    data: Annotated[Path | None, typer.Option(help="The data folder to use instead of the recipe's.")] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            help="The checkpoint for all rows of one family, such as ddpm=FOLDER. Give the option once per family."
        ),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(help="The number of runs of each method, instead of the recipe's.", callback=within(RUNS)),
    ] = None,
    device: Device = "auto",
) -> None:
    """Compare methods as a recipe describes, and write a table and a page.

    The table shows the mean and the spread over the runs. If the recipe says how to train a network, the network is
    trained first, unless --checkpoint gives it. An interrupted comparison continues where it stopped if you run the
    same command again.
    """
    from frugalseg.experiments.comparison import run_comparison
    from frugalseg.experiments.recipe import load_recipe
    from frugalseg.support.device import choose_device
    from frugalseg.support.progress import bars

    checked = load_recipe(recipe, data=data, checkpoint=checkpoint or (), runs=runs)
    with bars() as progress:
        result = run_comparison(checked, out, device=choose_device(device), progress=progress)
    typer.echo(result.summary())
    typer.echo(f"\npage: {result.page}")
