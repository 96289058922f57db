"""The command line: one function a command, which parses, calls and prints."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from frugalseg.backbones.registry import FAMILIES, Family, generating, pretrainable
from frugalseg.cli.options import accepting, flags_of, merged_flags, parse_size, values
from frugalseg.cli.output import print_findings, print_metrics
from frugalseg.students.settings import StudentSettings
from frugalseg.support.device import NO_MEMORY, choose_device, out_of_memory
from frugalseg.support.options import options_of

app = typer.Typer(
    name="frugalseg",
    help="Semantic segmentation from a handful of annotated images. Start with: frugalseg demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
pretrain_app = typer.Typer(help="Train a backbone from scratch on a folder of unlabelled images.", no_args_is_help=True)
app.add_typer(pretrain_app, name="pretrain")


INTERRUPTED = 130
"""The shell's exit code of what Ctrl-C ended."""

Data = Annotated[Path, typer.Argument(help="A data folder: images/ and masks/, or an export of labelme, COCO or VOC.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, ... Without it the GPU if there is one.")]
Seed = Annotated[int, typer.Option(help="One seed, one result.")]
Batch = Annotated[int, typer.Option(help="Images at once; more than 1 pays on a GPU only.", min=1)]
SmallRegions = Annotated[int, typer.Option(help="A class with fewer pixels in an image is ignored there.", min=0)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an output folder that is not empty.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page and its figures.")] = Path("demo"),
    seeds: Annotated[int, typer.Option(help="Runs of each method, for mean and spread.", min=1)] = 3,
    device: Device = "auto",
) -> None:
    """Fit, evaluate and compare on built-in images: 20 annotated ones, 100 to test on. Minutes on two CPU cores."""
    from frugalseg.experiments.demo import run_demo
    from frugalseg.support.progress import bars

    with bars() as progress:
        result = run_demo(out, seeds=seeds, device=choose_device(device), progress=progress)
    typer.echo(result.summary())
    typer.echo(f"\nThe page with all pictures: {result.page}")


@app.command()
def benchmark(
    recipe: Annotated[Path, typer.Argument(help="A YAML file such as recipes/street_fashion.yaml.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for results and the page.")],
    data: Annotated[Path | None, typer.Option(help="Data folder, instead of the recipe's.")] = None,
    checkpoint: Annotated[
        list[str] | None, typer.Option(help="Checkpoint of the rows that have one: ddpm=FOLDER, swav=FOLDER, ...")
    ] = None,
    runs: Annotated[int | None, typer.Option(help="Runs of each method, instead of the recipe's.", min=1)] = None,
    device: Device = "auto",
) -> None:
    """Compare methods as a recipe says: a table with mean and spread over runs, and a page. Resumes run by run.

    Networks that the recipe says how to train are trained first, unless --checkpoint gives them.
    """
    from frugalseg.experiments.comparison import run_comparison
    from frugalseg.experiments.networks import with_networks
    from frugalseg.experiments.recipe import load_recipe
    from frugalseg.support.progress import bars

    checked = load_recipe(recipe, data=data, checkpoint=checkpoint or (), runs=runs)
    ready = with_networks(checked, out, device=choose_device(device), bar=True)
    with bars() as progress:
        result = run_comparison(ready, out, device=choose_device(device), progress=progress)
    typer.echo(result.summary())
    typer.echo(f"\npage: {result.page}")


@app.command()
def toy(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    count: Annotated[int, typer.Option("--count", "-n", help="Number of images.", min=1)] = 20,
    seed: Seed = 1,
    first: Annotated[int, typer.Option(help="Number of the first image; the same number is the same image.")] = 0,
    masks: Annotated[bool, typer.Option(help="A data folder with masks, or a flat folder of images alone.")] = True,
) -> None:
    """Write built-in images: part-labelled animals that only shape and context tell apart, for trying things out."""
    from frugalseg.data.toy.dataset import write_toy_folder

    write_toy_folder(out, count, seed, masks=masks, first=first)
    typer.echo(f"{count} images in {out}")


@app.command()
def check(
    data: Data,
    test: Annotated[Path | None, typer.Option(help="A second folder: looks for its images in the first.")] = None,
    small_regions: SmallRegions = 20,
) -> None:
    """Say what is wrong with a data folder, each finding with its mend. Exit code 2 if fit would refuse it."""
    from frugalseg.data.check import check_folder

    findings = check_folder(data, test, small_regions=small_regions)
    print_findings(findings)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(2)


def pretrain_command(family: Family) -> Callable[..., None]:
    """The command that trains a family from scratch; its options are the fields of the family's settings."""
    flags = flags_of(options_of(family.settings_class()), "Training")

    @accepting(flags)
    def command(
        images: Annotated[list[Path], typer.Argument(help="A folder of unlabelled images, or several.")],
        out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; becomes a checkpoint for fit.")],
        device: Device = "auto",
        devices: Annotated[int, typer.Option(help="Processes that share each batch (DDP), one a GPU.", min=1)] = 1,
        workers: Annotated[int, typer.Option(help="Processes that prepare batches, for each device.", min=0)] = 0,
        max_minutes: Annotated[float | None, typer.Option(help="Stop after this long, to be continued later.")] = None,
        checkpoint_minutes: Annotated[float, typer.Option(help="How often everything is saved.")] = 10.0,
        picture_minutes: Annotated[float, typer.Option(help="How often pictures are drawn.")] = 20.0,
        compile: Annotated[bool, typer.Option("--compile", help="Compile the network; pays on GPUs.")] = False,
        **given: Any,
    ) -> None:
        from frugalseg.jobs.pretrain import pretrain, stored_settings
        from frugalseg.pretraining.settings import RunOptions

        settings = stored_settings(family.name, out, **values(flags, given))
        options = RunOptions(
            device=choose_device(device),
            devices=devices,
            workers=workers,
            max_minutes=max_minutes,
            checkpoint_minutes=checkpoint_minutes,
            picture_minutes=picture_minutes,
            compile=compile,
        )
        finished = pretrain(family.name, images, out, settings, options)
        after = f"finished; next: frugalseg fit DATA --backbone {family.name} --checkpoint {out} -o MODEL"
        if os.environ.get("LOCAL_RANK", "0") == "0":  # with several devices each process comes here
            typer.echo(f"{out}: {after if finished else 'time is up; run the same command to go on'}")

    return command


for family in pretrainable():
    pretrain_app.command(
        family.name,
        help=f"Train a {family.name} backbone. Killed or out of time, it goes on when the same command is run again, "
        "with the same result.",
    )(pretrain_command(family))

GENERATION_FLAGS = merged_flags(
    {family.name: options_of(family.generation_class()) for family in generating()}, "Drawing images, by family"
)
STUDENT_FLAGS = flags_of(options_of(StudentSettings), "Student")
BACKBONE_FLAGS = merged_flags(
    {name: options_of(family.options_class()) for name, family in FAMILIES.items()}, "Backbone, by family"
)


@app.command()
@accepting(BACKBONE_FLAGS)
def fit(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model.")],
    backbone: Annotated[str, typer.Option(help=f"Family of the backbone: {', '.join(FAMILIES)}.")] = "ddpm",
    checkpoint: Annotated[str | None, typer.Option(help="What pretrain wrote, a published file, or a Hub id.")] = None,
    protocol: Annotated[str, typer.Option(help="Training of the classifier: default, or paper (slow).")] = "default",
    members: Annotated[int, typer.Option(help="MLPs in the ensemble.", min=1)] = 10,
    tile: Annotated[bool, typer.Option("--tile", help="Slide over larger images rather than resizing them.")] = False,
    overlap: Annotated[float, typer.Option(help="With --tile: share of a window's side its neighbour shares.")] = 0.25,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Train on mirrored images too; not for classes that tell left from right.")
    ] = False,
    size: Annotated[str | None, typer.Option(help="Network size HxW instead of the one it was trained on.")] = None,
    small_regions: SmallRegions = 20,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    **given: Any,
) -> None:
    """Fit a model on annotated images. A killed fit goes on where it stopped: run the same command again."""
    from frugalseg.jobs.fit import FitRequest, fit_folder
    from frugalseg.support.progress import bars

    settings = {
        "protocol": protocol,
        "members": members,
        "seed": seed,
        "tile": tile,
        "overlap": overlap,
        "mirror": mirror,
        "network_size": size and parse_size(size),
        "small_region": small_regions,
    }
    options = values(BACKBONE_FLAGS, given)
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


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="What fit wrote, or a Hub id.")],
    data: Data,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for metrics.json and index.html.")] = None,
    device: Device = "auto",
    batch_size: Batch = 1,
    overwrite: Overwrite = False,
) -> None:
    """Compare a model with annotated images: a table, metrics.json and a page with pictures."""
    from frugalseg.jobs.evaluate import evaluate_folder
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


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="What fit wrote, or a Hub id.")],
    images: Annotated[Path, typer.Argument(help="A folder of images, or one image.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the masks.")],
    overlays: Annotated[bool, typer.Option("--overlays", help="Write the masks over the images, too.")] = False,
    uncertainty: Annotated[bool, typer.Option("--uncertainty", help="Write uncertainty maps, too.")] = False,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Write .npy probabilities, too.")] = False,
    device: Device = "auto",
    batch_size: Batch = 1,
    overwrite: Overwrite = False,
) -> None:
    """Write an indexed PNG mask for each image, at the image's own size.

    A killed run goes on when run again; of a finished one, only images that have changed since are done again.
    """
    from frugalseg.jobs.predict import Extras, predict_folder
    from frugalseg.support.progress import bars

    with bars() as progress:
        count = predict_folder(
            Path(model),
            images,
            out,
            extras=Extras(overlays, uncertainty, probabilities),
            device=choose_device(device),
            batch_size=batch_size,
            overwrite=overwrite,
            progress=progress,
        )
    typer.echo(f"{count} masks written to {out}")


@app.command()
@accepting(GENERATION_FLAGS)
def generate(
    model: Annotated[str, typer.Argument(help="What fit wrote, or a Hub id; for annotators also a bare checkpoint.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the set.")],
    count: Annotated[int | None, typer.Option("-n", "--count", help="How many images to draw.", min=1)] = None,
    images: Annotated[
        Path | None, typer.Option(help="A folder of photographs to label instead; they need no masks.")
    ] = None,
    longest_side: Annotated[
        int | None, typer.Option(help="Of photographs: make larger ones smaller, to so many pixels.", min=1)
    ] = None,
    for_annotation: Annotated[
        int | None,
        typer.Option(help="Draw so many images for annotators, with empty masks: a data folder for fit.", min=1),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="With --for-annotation: a classes.json, instead of the model's.")
    ] = None,
    npz: Annotated[Path | None, typer.Option(help="Also write this .npz, in the published layout.")] = None,
    seed: Seed = 0,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Images at once; a GPU draws them so, and labels 8 at most. Default: 8, on a GPU 64.", min=1),
    ] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    **given: Any,
) -> None:
    """Make thousands of labelled images from a model: drawn by its own network, or from photographs.

    Killed, it goes on when run again; torchrun shares the work among GPUs; a larger -n extends a set.
    """
    from frugalseg.jobs.generate import GenerateRequest, annotation_folder, generate_folder
    from frugalseg.support.progress import bars

    request = GenerateRequest(
        model,
        count,
        images,
        for_annotation,
        classes,
        longest_side,
        options=values(GENERATION_FLAGS, given),
        seed=seed,
        batch_size=batch_size,
        npz=npz,
        device=choose_device(device),
    )
    if for_annotation is not None:
        with bars() as progress:
            written = annotation_folder(request, out, overwrite=overwrite, progress=progress)
        typer.echo(f"{written} images written to {out}; see {out / 'README.txt'}; next: frugalseg check {out}")
        return
    with bars() as progress:
        found = generate_folder(request, out, overwrite=overwrite, progress=progress)
    if found is None:
        typer.echo(f"{out}: this process's share is done; others are still at work")
        return
    typer.echo(f"{len(found)} labelled images in {out}; look at {out / 'index.html'}")
    typer.echo(f"next: frugalseg distill {out} --validation DATA --test DATA -o STUDENT")


@app.command()
@accepting(STUDENT_FLAGS)
def distill(
    samples: Annotated[Path, typer.Argument(help="What generate wrote, a published .npz, or a data folder.")],
    validation: Annotated[Path, typer.Option(help="Data folder whose images choose the best round.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the student.")],
    test: Annotated[Path | None, typer.Option(help="Data folder to evaluate the finished student on, once.")] = None,
    drop: Annotated[float, typer.Option(help="Share of the samples to leave out: the most uncertain.")] = 0.1,
    protocol: Annotated[
        str, typer.Option(help="default, or paper: DeepLabV3 with ResNet-101, Adam, no augmentation, as published.")
    ] = "default",
    onnx: Annotated[bool, typer.Option("--onnx", help="Write student.onnx, too, checked with onnxruntime.")] = False,
    device: Device = "auto",
    workers: Annotated[int, typer.Option(help="Processes that read samples.", min=0)] = 0,
    overwrite: Overwrite = False,
    **given: Any,
) -> None:
    """Train a fast ordinary network on labelled samples. Killed, it goes on when the same command is run again."""
    from frugalseg.jobs.distill import DistillRequest, distill_folder
    from frugalseg.students.settings import student_settings
    from frugalseg.support.progress import bars

    request = DistillRequest(
        samples,
        validation,
        test,
        student_settings(protocol, **values(STUDENT_FLAGS, given)),
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
    typer.echo(f"student in {out}; next: frugalseg predict {out} IMAGES -o MASKS")


@app.command()
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A published guided-diffusion .pt file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    image_size: Annotated[int, typer.Option(help="Side of the images that it was trained on.")] = 256,
    head_channels: Annotated[int, typer.Option(help="Channels of an attention head.")] = 64,
    overwrite: Overwrite = False,
) -> None:
    """Turn a published diffusion checkpoint into a diffusers pipeline folder."""
    from frugalseg.backbones.ddpm.convert import convert_checkpoint
    from frugalseg.support.folders import require_new

    require_new(out, overwrite)
    convert_checkpoint(checkpoint, out, image_size=image_size, head_channels=head_channels)
    typer.echo(f"diffusers folder: {out}")


def main() -> None:
    """Run a command: exit code 0 when it is done, 1 when the work failed, 2 when the input is wrong."""
    from frugalseg.support.errors import InputError, WorkError

    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        place = error.filename or "the output folder"
        print(f"error: {place}: the disk is full; make room and run the same command again", file=sys.stderr)
        sys.exit(1)
    except WorkError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except out_of_memory():
        print(f"error: {NO_MEMORY}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer's answer to Ctrl-C
            print("stopped; run the same command again to go on", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
