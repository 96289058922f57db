"""Commands for data folders: toy, check."""

from pathlib import Path
from typing import Annotated

import typer

from frugalseg.cli.arguments import SMALL_REGION, Channels, Data, Percentiles, Seed, SmallRegions
from frugalseg.cli.options import channel_choice, within
from frugalseg.cli.output import print_findings
from frugalseg.support.ranges import AMOUNT, COUNT
from frugalseg.support.text import count as counted


def toy(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write the images to.")],
    count: Annotated[int, typer.Option("--count", "-n", help="The number of images.", callback=within(COUNT))] = 20,
    seed: Seed = 1,
    first: Annotated[
        int,
        typer.Option(
            help="The number of the first image. The same number always gives the same image.", callback=within(AMOUNT)
        ),
    ] = 0,
    masks: Annotated[
        bool, typer.Option(help="Write a data folder with masks, or a plain folder with the images alone.")
    ] = True,
) -> None:
    """Write built-in images to try things out with.

    The images show animals whose parts are labeled. Only shape and context tell the parts apart.
    """
    from frugalseg.data.toy.dataset import write_toy_folder

    write_toy_folder(out, count, seed, masks=masks, first=first)
    typer.echo(f"{counted(count, 'image')} in {out}")


def check(
    data: Data,
    test: Annotated[
        Path | None, typer.Option(help="A second data folder. check looks for its images in the first one.")
    ] = None,
    small_regions: SmallRegions = SMALL_REGION,
    channels: Channels = None,
    percentiles: Percentiles = None,
) -> None:
    """Say what is wrong with a data folder, and how to fix it.

    The exit code is 2 if fit would refuse the folder.
    """
    from frugalseg.data.check import check_folder

    choice = channel_choice(channels, percentiles)
    findings = check_folder(data, test, small_regions=small_regions, channels=choice)
    print_findings(findings, result=True)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(2)
    typer.echo("no errors: fit takes this folder")
