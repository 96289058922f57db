"""Commands around a model: fit, evaluate, predict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from frugalseg.backbones.registry import FAMILIES, Family, family_named, family_of_checkpoint
from frugalseg.cli.arguments import (
    SMALL_REGION,
    BatchSize,
    Channels,
    Data,
    Device,
    Model,
    Overwrite,
    Percentiles,
    Seed,
    SmallRegions,
)
from frugalseg.cli.families import FamilyOptions, value_of
from frugalseg.cli.options import channel_choice, parse_size, values, within
from frugalseg.cli.output import print_findings, print_metrics, shell_line
from frugalseg.selection.settings import AUTO
from frugalseg.support.ranges import MEMBERS, SHARE
from frugalseg.support.text import count as counted

AT_HAND = (
    "The features are those of EfficientNet-Lite2, which was trained on ImageNet. Features of a larger network are "
    "better: --backbone timm --model vit_small_patch14_reg4_dinov2.lvd142m downloads one. For images unlike "
    "photographs, a network trained on your own images can be better: see frugalseg pretrain --help."
)


def default_family(arguments: Sequence[str]) -> str:
    """The family of a fit that names none: that of its checkpoint."""
    return family_of_checkpoint(value_of("--checkpoint", arguments))


AUTO_FAMILY = Family(AUTO, "", "ChoiceSettings", package="frugalseg.selection")
"""What ``--backbone auto`` has as its options."""


def fit_families() -> list[Family]:
    """What ``--backbone`` may be."""
    return [*FAMILIES.values(), AUTO_FAMILY]


def fit_options(family: Family) -> Any:
    """The dataclass of a family's options; each family or combination has its own way to give it."""
    return family.options_class()


FIT_OPTIONS = FamilyOptions(fit_families, fit_options, default_family, "backbone family", joins=True)


def fit(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the model.")],
    backbone: Annotated[
        str | None,
        typer.Option(
            help="The family of the backbone. Two or three joined with +, such as timm+filters, are used together. "
            "auto compares what is at hand on your images. By default, the family of the checkpoint; without a "
            "checkpoint, timm."
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="The backbone's weights: a folder that pretrain wrote, a published file, or a Hub id. By default, a "
            "network trained on ImageNet that comes with the set-up. If several families of --backbone take a "
            "checkpoint, say whose it is: ddpm=PATH,timm=PATH."
        ),
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
    smoothing: Annotated[
        float | None,
        typer.Option(
            help="How far predictions are moved to the edges of the image, as a share of its shorter side. By default "
            "0.015; 0 with the paper protocol, which turns this off.",
            callback=within(SHARE),
        ),
    ] = None,
    mirrored_views: Annotated[
        bool,
        typer.Option(
            "--mirrored-views",
            help="Predict each image mirrored as well, and average. This takes twice the time. Do not use it if "
            "classes differ between left and right.",
        ),
    ] = False,
    size: Annotated[
        str | None,
        typer.Option(help="Run the network at this size instead of the one that it was trained on.", metavar="HxW"),
    ] = None,
    small_regions: SmallRegions = SMALL_REGION,
    channels: Channels = None,
    percentiles: Percentiles = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Also estimate how good the model is on other images: fit it this many times on a part of the images, "
            "and test it on the others.",
            min=2,
            max=1000,
        ),
    ] = None,
    choose: Annotated[
        bool,
        typer.Option(
            "--choose",
            help="Choose the steps, blocks or layers to read on your images, by cross-validation. What is read without "
            "this option stays unless others are surely better. The ones that you name with the options of the "
            "backbone are the candidates.",
        ),
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    **given: Any,
) -> None:
    """Fit a model on annotated images.

    A fit that was killed continues where it stopped when you run the same command again.
    """
    family = backbone or family_of_checkpoint(checkpoint)
    options = values(
        FIT_OPTIONS.flags(AUTO_FAMILY if family == AUTO else family_named(family)), given
    )  # refuses wrong ones before torch is loaded
    network_size, choice = size and parse_size(size), channel_choice(channels, percentiles)
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
        # Records of earlier versions do not name these, and their fits go on.
        **({} if smoothing is None else {"smoothing": smoothing}),
        **({"mirrored_views": True} if mirrored_views else {}),
    }
    request = FitRequest(data, family, checkpoint, options, settings, choose_device(device), folds, choice, choose)
    at_hand = checkpoint is None and family == "timm" and not given.get("model")
    estimates: list[object] = []

    def planned(estimate: object) -> None:
        typer.echo(f"{AT_HAND}\n{estimate}" if at_hand else str(estimate), err=True)

    with bars() as progress:
        fit_folder(
            request,
            out,
            overwrite=overwrite,
            findings=print_findings,
            planned=planned,
            compared=lambda choice: typer.echo(str(choice), err=True),
            validated=estimates.append,
            progress=progress,
        )
    for estimate in estimates:
        typer.echo(str(estimate))
    typer.echo(f"model in {out}; next: {after_fit(family, out)}")


def after_fit(family: str, model: Path) -> str:
    """What to do with a fitted model: predict, or where its family reads no images, generate."""
    from frugalseg.backbones.base import backbone_class

    if family == AUTO or backbone_class(family).reads_images:
        return shell_line("predict", model, "IMAGES", "-o", "MASKS")
    return shell_line("generate", model, "-n", 1000, "-o", "SET")


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
