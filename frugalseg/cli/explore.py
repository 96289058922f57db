"""The command that looks into features: explore."""

from pathlib import Path
from typing import Annotated, Any

import typer

from frugalseg.backbones.registry import FAMILIES, family_named, family_of_checkpoint
from frugalseg.cli.arguments import SMALL_REGION, Channels, Data, Device, Overwrite, Percentiles, Seed, SmallRegions
from frugalseg.cli.families import FamilyOptions
from frugalseg.cli.model import default_family, fit_options
from frugalseg.cli.options import Flag, accepting, channel_choice, named_folders, parse_size, values
from frugalseg.cli.output import print_findings
from frugalseg.jobs.explore.request import ExploreSettings
from frugalseg.support.options import options_of

EXPLORE_OPTIONS = FamilyOptions(lambda: FAMILIES.values(), fit_options, default_family, "backbone family", joins=True)
EXPLORE_FLAGS = [Flag(option, "What is explored") for option in options_of(ExploreSettings)]


def explore(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the page, its plots and the CSV files.")],
    backbone: Annotated[
        str | None,
        typer.Option(
            help="The family of the backbone, or two or three joined with +. By default, the family of the checkpoint; "
            "without a checkpoint, timm."
        ),
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="The backbone's weights, as for fit: a folder, a published file, or a Hub id.")
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(help="A data folder to test on. Without it, the images of DATA are cross-validated."),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="For source, with --test: another folder of annotated images to learn from, by a name of your choice; "
            "may be given several times.",
            metavar="NAME=FOLDER",
        ),
    ] = None,
    protocol: Annotated[str, typer.Option(help="How to train the classifiers: default, or paper.")] = "default",
    tile: Annotated[
        bool, typer.Option("--tile", help="Slide windows over larger images instead of resizing the images.")
    ] = False,
    size: Annotated[
        str | None,
        typer.Option(help="Run the network at this size instead of the one that it was trained on.", metavar="HxW"),
    ] = None,
    small_regions: SmallRegions = SMALL_REGION,
    channels: Channels = None,
    percentiles: Percentiles = None,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    **given: Any,
) -> None:
    """Find out which features of a network tell your classes apart, and what a model on them needs.

    By default, this measures every tap of the network alone (each step and block of a diffusion network, each block or
    layer of others, or those that you name with the options of the backbone) and draws k-means clusters and principal
    components of some. --what images shows how many annotated images are needed, --what members how many members of the
    ensemble, and --what uncertainty whether the uncertainty finds the mistakes. --what corruptions tests on corrupted
    images, and --what source compares folders to learn from, such as photographs and generated images. The results are
    a page with plots, and CSV files. A run that was interrupted continues when you run the same command again.
    """
    family = family_named(backbone or family_of_checkpoint(checkpoint))
    options = values(EXPLORE_OPTIONS.flags(family), given)
    wanted = ExploreSettings(seed=seed, **values(EXPLORE_FLAGS, given))  # refuses wrong ones before torch is loaded
    sources = named_folders("--source", source or ())
    network_size, choice = size and parse_size(size), channel_choice(channels, percentiles)
    from frugalseg.jobs.explore.folder import explore_folder
    from frugalseg.jobs.explore.request import ExploreRequest
    from frugalseg.jobs.request import FitRequest
    from frugalseg.support.device import choose_device
    from frugalseg.support.progress import bars

    settings = {"protocol": protocol, "tile": tile, "network_size": network_size}
    if small_regions != SMALL_REGION:
        settings["small_region"] = small_regions  # records of earlier versions do not name it, and they go on
    fit = FitRequest(data, family.name, checkpoint, options, settings, choose_device(device), channels=choice)
    with bars() as progress:
        found = explore_folder(
            ExploreRequest(fit, wanted, test, sources),
            out,
            overwrite=overwrite,
            findings=print_findings,
            progress=progress,
        )
    for words in found.summary():
        typer.echo(words)
    typer.echo(f"page: {found.page}")


explore = accepting(EXPLORE_FLAGS, explore)
