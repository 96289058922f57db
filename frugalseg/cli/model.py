"""Commands around a model: fit, evaluate, predict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from frugalseg.backbones.registry import FAMILIES, Family
from frugalseg.cli.arguments import BatchSize, Data, Device, Model, Overwrite, Seed, SmallRegions
from frugalseg.cli.families import FamilyOptions
from frugalseg.cli.options import parse_size, values, within
from frugalseg.cli.output import print_findings, print_metrics
from frugalseg.support.ranges import MEMBERS, SHARE
from frugalseg.support.text import count as counted

DEFAULT_FAMILY = "ddpm"


def default_family(arguments: Sequence[str]) -> str:
    """The family of a fit that names none."""
    return DEFAULT_FAMILY


FIT_OPTIONS = FamilyOptions(lambda: list(FAMILIES.values()), Family.options_class, default_family, "backbone family")


def fit(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the model.")],
    backbone: Annotated[str, typer.Option(help="The family of the backbone.")] = DEFAULT_FAMILY,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="The backbone's weights: a folder that pretrain wrote, a published file, or a Hub id."),
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="How to train the classifier: default, or paper, which is slow.")
    ] = "default",
    members: Annotated[int, typer.Option(help="The number of MLPs in the ensemble.", callback=within(MEMBERS))] = 10,
    tile: Annotated[
        bool, typer.Option("--tile", help="Slide windows over larger images instead of resizing the images.")
    ] = False,
    overlap: Annotated[
        float,
        typer.Option(
            help="With --tile: the share of a window's side that overlaps the next window.", callback=within(SHARE)
        ),
    ] = 0.25,
    mirror: Annotated[
        bool,
        typer.Option(
            "--mirror", help="Train on mirrored images too. Do not use this if classes differ between left and right."
        ),
    ] = False,
    size: Annotated[
        str | None,
        typer.Option(help="Run the network at this size instead of the one that it was trained on.", metavar="HxW"),
    ] = None,
    small_regions: SmallRegions = 20,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    **given: Any,
) -> None:
    """Fit a model on annotated images.

    A fit that was killed continues where it stopped when you run the same command again.
    """
    options = values(FIT_OPTIONS.flags(FAMILIES[backbone]), given)  # refuses wrong ones before torch is loaded
    network_size = size and parse_size(size)
    from frugalseg.jobs.fit import FitRequest, fit_folder
    from frugalseg.support.device import choose_device
    from frugalseg.support.progress import bars

    settings = {
        "protocol": protocol,
        "members": members,
        "seed": seed,
        "tile": tile,
        "overlap": overlap,
        "mirror": mirror,
        "network_size": network_size,
        "small_region": small_regions,
    }
    request = FitRequest(data, backbone, checkpoint, options, settings, choose_device(device))
    with bars() as progress:
        fit_folder(
            request,
            out,
            overwrite=overwrite,
            findings=print_findings,
            planned=lambda estimate: typer.echo(str(estimate), err=True),
            progress=progress,
        )
    typer.echo(f"model in {out}; next: frugalseg predict {out} IMAGES -o MASKS")


def evaluate(
    model: Model,
    data: Data,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The folder for metrics.json and index.html.")] = None,
    device: Device = "auto",
    batch_size: BatchSize = 1,
    overwrite: Overwrite = False,
) -> None:
    """Compare the predictions of a model with annotated images.

    This prints a table. With --out, it also writes metrics.json and a page with pictures.
    """
    from frugalseg.jobs.evaluate import evaluate_folder
    from frugalseg.support.device import choose_device
    from frugalseg.support.progress import bars

    with bars() as progress:
        result = evaluate_folder(
            Path(model),
            data,
            out,
            device=choose_device(device),
            batch_size=batch_size,
            overwrite=overwrite,
            progress=progress,
        )
    print_metrics(result.metrics())
    if out is not None:
        typer.echo(f"page: {out / 'index.html'}")


def predict(
    model: Model,
    images: Annotated[Path, typer.Argument(help="A folder of images, or a single image.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the masks.")],
    overlays: Annotated[bool, typer.Option("--overlays", help="Also draw each mask over its image.")] = False,
    uncertainty: Annotated[bool, typer.Option("--uncertainty", help="Also write maps of the uncertainty.")] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write the class probabilities as .npy files.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first image that cannot be read, instead of going on.")
    ] = False,
    device: Device = "auto",
    batch_size: BatchSize = 1,
    overwrite: Overwrite = False,
) -> None:
    """Predict an indexed PNG mask for each image, at the image's own size.

    If a run was killed, run the same command again to continue it. After a finished run, the same command only
    predicts the images that have changed since. Images that cannot be read are left out and listed in failures.txt;
    the same command tries them again.
    """
    from frugalseg.jobs.predict import Extras, predict_folder
    from frugalseg.support.device import choose_device
    from frugalseg.support.progress import bars

    with bars() as progress:
        number = predict_folder(
            Path(model),
            images,
            out,
            extras=Extras(overlays, uncertainty, probabilities),
            device=choose_device(device),
            batch_size=batch_size,
            strict=strict,
            overwrite=overwrite,
            progress=progress,
        )
    typer.echo(f"{counted(number, 'mask')} written to {out}")
