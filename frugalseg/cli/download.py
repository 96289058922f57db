"""The command for published files: download."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frugalseg.support.errors import InputError

if TYPE_CHECKING:
    from frugalseg.data.catalogue.items import Item, Kind
    from frugalseg.data.catalogue.store import Store
    from frugalseg.jobs.download.listing import Entry


def download(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="What to download, such as cat_15 or ddpm/lsun_cat. Without a name, everything is listed."),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option("--for", help="Download all that a recipe names, or all that the recipes of a folder name."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            help="The folder to download to, instead of the cache. To use its contents by name, set FRUGALSEG_CACHE to "
            "it."
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="The address of a mirror, instead of the published addresses.", metavar="URL"),
    ] = None,
) -> None:
    """Download the benchmarks, checkpoints and synthetic sets of the paper, or list them.

    What was downloaded can be used by its name, wherever a command takes a path. A download that was interrupted
    continues when you run the same command again. Files that are here already are compared with their checksums, which
    are recorded at the first download.
    """
    from frugalseg.jobs.download import Request
    from frugalseg.jobs.download import download as download_all
    from frugalseg.support.progress import bars

    wanted = [*(names or ()), *(() if recipe is None else recipe_names(recipe))]
    request = Request(wanted, to, base)
    if not wanted:
        if base is not None:
            raise InputError("--base: nothing to download; give a name, such as cat_15, or --for RECIPE")
        print_catalogue(request.store)
        return
    with bars() as progress:
        download_all(request, lambda item, place: typer.echo(f"{item.name}: {place}{next_step(item, to)}"), progress)


def recipe_names(path: Path) -> list[str]:
    """What a recipe needs, or those of a folder; `InputError` where they need nothing of the catalogue."""
    from frugalseg.experiments.downloads import names_in
    from frugalseg.experiments.folder_of_recipes import existing, load_recipes
    from frugalseg.experiments.recipe import load_recipe

    recipes = load_recipes(path).values() if existing(path).is_dir() else [load_recipe(path)]
    found = [name for recipe in recipes for name in names_in(recipe)]
    if not found:
        raise InputError(f"{path}: names no benchmark and no published file, so there is nothing to download")
    return found


def next_step(item: "Item", to: Path | None) -> str:
    """What to do with an item in the cache."""
    if to is not None:
        return ""
    commands = {
        "benchmark": f"frugalseg fit {item.name} -o MODEL",
        "checkpoint": f"frugalseg fit DATA --checkpoint {item.name} -o MODEL",
        "set": f"frugalseg distill {item.name} --validation {item.benchmark} -o STUDENT",
    }
    return f"; next: {commands[item.kind]}"


def print_catalogue(store: "Store") -> None:
    """A table for each kind of thing."""
    from rich.console import Console

    from frugalseg.jobs.download.listing import HEADINGS, entries

    console = Console(highlight=False)
    for kind, found in entries(store).items():
        console.print(HEADINGS[kind], style="bold")
        console.print(table_of(kind, found))
    console.print(
        "The licenses are those of the images, or of the code that a checkpoint was published and trained with. They "
        f"are hints: read the authors' terms before you use a file. The folder of the downloads: {store.root}",
        soft_wrap=True,
        markup=False,
    )


def table_of(kind: "Kind", found: "list[Entry]") -> object:
    """The lines of a kind."""
    from rich.table import Table
    from rich.text import Text

    table = Table("name", "what it is", "size", "license", "here", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for number, entry in enumerate(found):
        item = entry.item
        # The archive of the benchmarks is downloaded once.
        size = item.remote.size if kind != "benchmark" or number == 0 else '"'
        table.add_row(*map(Text, (item.name, item.what, size or "unknown", item.license, entry.here)))
    return table
