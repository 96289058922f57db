"""Commands that use a model as an annotator: generate, distill."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from frugalseg.backbones.registry import (
    FAMILIES,
    Family,
    drawing_with,
    family_in,
    family_told,
    generating,
    trainer_of,
)
from frugalseg.cli.arguments import Device, Overwrite, Seed
from frugalseg.cli.families import FamilyOptions
from frugalseg.cli.options import flags_of, values, within
from frugalseg.cli.output import print_metrics, shell_line
from frugalseg.students.settings import StudentSettings
from frugalseg.support.errors import InputError
from frugalseg.support.ranges import BATCH, COUNT, SHARE, SIDE, WORKERS
from frugalseg.support.text import count as counted

STUDENT_FLAGS = flags_of(StudentSettings, "Student")
OTHER_PATHS = ("-o", "--out", "--images", "--classes", "--npz")
"""Options of `generate` whose values are paths, but not that of the model."""


def drawing_family(arguments: Sequence[str]) -> str:
    """The family that draws where a call names none: that of the model among its arguments, or the first one."""
    able = [family.name for family in generating()]
    models = [each for before, each in pairwise(("", *arguments)) if each[:1] != "-" and before not in OTHER_PATHS]
    found = [drawing_with(name) for name in map(family_told, models) if name in FAMILIES]
    return next((name for name in found if name in able), able[0])


GENERATE_OPTIONS = FamilyOptions(
    generating, Family.generation_class, drawing_family, "backbone family that can draw images"
)


def generate(
    model: Annotated[
        str,
        typer.Argument(
            help="The folder of a model that fit wrote, or its Hub id. With --for-annotation, also a bare checkpoint."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the set.")],
    count: Annotated[
        int | None,
        typer.Option("-n", "--count", help="The number of images to draw and label.", callback=within(COUNT)),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Label the photographs in this folder instead. They need no masks.")
    ] = None,
    longest_side: Annotated[
        int | None,
        typer.Option(
            help="With --images: shrink larger photographs until their longer side has this length.",
            callback=within(SIDE),
        ),
    ] = None,
    for_annotation: Annotated[
        int | None,
        typer.Option(
            help="Draw this many images for annotators, with empty masks. The result is a data folder for fit.",
            callback=within(COUNT),
        ),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="With --for-annotation: a classes.json to use instead of the model's classes.")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="The family of the network, if MODEL is a bare checkpoint. A fitted model has its own."),
    ] = None,
    npz: Annotated[
        Path | None, typer.Option(help="Also write the set to this .npz file, in the published layout.")
    ] = None,
    seed: Seed = 0,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="How many images to draw at once. By default 8, and 64 on a GPU, which labels at most 8 at once.",
            callback=within(BATCH),
        ),
    ] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    **given: Any,
) -> None:
    """Make a set of labeled images with a model.

    The images are drawn by the model's own network, or they are photographs of yours. A set that was interrupted
    continues when you run the same command again. torchrun shares the work among GPUs. A larger -n extends a set.
    """
    family = backbone or drawing_family([model])
    options = values(GENERATE_OPTIONS.flags(FAMILIES[family]), given)  # refuses wrong ones before torch is loaded
    from frugalseg.jobs.generate import GenerateRequest, annotation_folder, generate_folder
    from frugalseg.support.device import choose_device
    from frugalseg.support.progress import bars
    from frugalseg.synthetic.record import SetRecord

    own = family_in(model)
    if backbone is not None and own not in (None, backbone, trainer_of(FAMILIES[backbone]).name):
        raise InputError(f"--backbone {backbone}: the backbone of {model} is of the family {own}; leave the option out")
    request = GenerateRequest(
        model,
        count,
        images,
        for_annotation,
        classes,
        longest_side,
        options=options,
        seed=seed,
        batch_size=batch_size,
        npz=npz,
        family=backbone,
        device=choose_device(device),
    )
    if for_annotation is not None:
        with bars() as progress:
            written = annotation_folder(request, out, overwrite=overwrite, progress=progress)
        there = "" if written == for_annotation else f", which has {for_annotation} or more now"
        typer.echo(
            f"{counted(written, 'image')} written to {out}{there}; see {out / 'README.txt'}; "
            f"next: {shell_line('check', out)}"
        )
        return
    with bars() as progress:
        found = generate_folder(request, out, overwrite=overwrite, progress=progress)
    if found is None:
        typer.echo(f"{out}: this process's share is done; others are still at work")
        return
    typer.echo(f"{counted(len(found), 'labeled image')} in {out}; look at {out / 'index.html'}")
    total = SetRecord.read(out).count
    if missing := total - len(found):
        verb, them = ("is", "it") if missing == 1 else ("are", "them")
        which = f"{missing} of {counted(total, 'photograph')} could not be read and {verb} left out"
        typer.echo(f"{which}; {out / 'generate.log'} names {them}")
    words = ("--validation", "VALIDATION_DATA", "--test", "TEST_DATA", "-o", "STUDENT")
    typer.echo(f"next: {shell_line('distill', out, *words)}")


def distill(
    samples: Annotated[
        Path, typer.Argument(help="The samples: a folder that generate wrote, a published .npz, or a data folder.")
    ],
    validation: Annotated[Path, typer.Option(help="A data folder. The network that does best on its images is kept.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the student.")],
    test: Annotated[Path | None, typer.Option(help="A data folder to evaluate the finished student on, once.")] = None,
    drop: Annotated[
        float,
        typer.Option(
            help="The share of the samples to leave out. The most uncertain ones are left out.", callback=within(SHARE)
        ),
    ] = 0.1,
    protocol: Annotated[
        str,
        typer.Option(
            help="default, or paper: DeepLabV3 with ResNet-101, trained with Adam and without augmentation, as "
            "published."
        ),
    ] = "default",
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Also write student.onnx, and check it with onnxruntime.")
    ] = False,
    device: Device = "auto",
    workers: Annotated[
        int, typer.Option(help="The number of processes that read samples.", callback=within(WORKERS))
    ] = 0,
    overwrite: Overwrite = False,
    **given: Any,
) -> None:
    """Train a fast ordinary network, the student, on labeled samples.

    A training that was killed continues when you run the same command again.
    """
    from frugalseg.students.settings import student_settings

    settings = student_settings(protocol, **values(STUDENT_FLAGS, given))  # refuses wrong ones before torch is loaded
    from frugalseg.jobs.distill import DistillRequest, distill_folder
    from frugalseg.support.device import choose_device
    from frugalseg.support.progress import bars

    request = DistillRequest(
        samples,
        validation,
        test,
        settings,
        drop=drop,
        published_filter=protocol == "paper",
        onnx=onnx,
        device=choose_device(device),
        workers=workers,
    )
    with bars() as progress:
        result = distill_folder(request, out, overwrite=overwrite, progress=progress)
    if result is not None:
        print_metrics(result.metrics())
        typer.echo(f"page: {out / 'index.html'}")
    typer.echo(f"student in {out}; next: {shell_line('predict', out, 'IMAGES', '-o', 'MASKS')}")
