"""Commands that make backbones: pretrain, with a command for each family, and convert."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from frugalseg.backbones.registry import Family, pretrainable
from frugalseg.cli.arguments import Device, Overwrite
from frugalseg.cli.families import built, named
from frugalseg.cli.options import accepting, flags_of, values, within
from frugalseg.cli.output import shell_line
from frugalseg.support.ranges import DEVICES, MINUTES, SIDE, WIDTH, WORKERS


class PretrainGroup(TyperGroup):
    """One command for each family that can be trained from scratch, as the registry lists them at the call."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the families' trainings."""
        return [family.pretrain_name for family in pretrainable()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a family; raises `InputError` for an unknown one."""
        known = {family.pretrain_name: family for family in pretrainable()}
        family = named(cmd_name, known, "backbone family that can be trained from scratch")
        text = (
            f"Train {family.pretrain_name} from scratch on unlabeled images.\n\nA run that was killed or "
            "ran out of time continues when you run the same command again. The result is the same as without the "
            "interruption."
        )
        return built(pretrain_command(family), family.pretrain_name, help=text)


pretrain_app = typer.Typer(
    cls=PretrainGroup, help="Train a backbone from scratch on a folder of unlabeled images.", no_args_is_help=False
)


def pretrain_command(family: Family) -> Callable[..., None]:
    """The command that trains a family from scratch; its options are the fields of the family's settings."""
    flags = flags_of(family.settings_class(), "Training")

    def command(
        images: Annotated[list[Path], typer.Argument(help="One folder of unlabeled images, or several.")],
        out: Annotated[
            Path,
            typer.Option("--out", "-o", help="The folder of the run. It becomes a checkpoint that fit can use."),
        ],
        device: Device = "auto",
        devices: Annotated[
            int,
            typer.Option(
                help="The number of processes that share each batch (DDP), one per GPU.", callback=within(DEVICES)
            ),
        ] = 1,
        nodes: Annotated[
            int,
            typer.Option(
                help="The number of machines that share each batch. Start the command on each.",
                callback=within(DEVICES),
            ),
        ] = 1,
        workers: Annotated[
            int,
            typer.Option(
                help="The number of processes that prepare batches, for each device.", callback=within(WORKERS)
            ),
        ] = 0,
        max_minutes: Annotated[
            float | None,
            typer.Option(
                help="Stop after this many minutes. The same command continues the run later.", callback=within(MINUTES)
            ),
        ] = None,
        checkpoint_minutes: Annotated[
            float,
            typer.Option(help="The time between two saves of the whole state, in minutes.", callback=within(MINUTES)),
        ] = 10.0,
        picture_minutes: Annotated[
            float, typer.Option(help="The time between two sets of pictures, in minutes.", callback=within(MINUTES))
        ] = 20.0,
        compile: Annotated[
            bool, typer.Option("--compile", help="Compile the network. This is worthwhile on GPUs.")
        ] = False,
        **given: Any,
    ) -> None:
        chosen = values(flags, given)  # refuses wrong ones before torch is loaded
        from frugalseg.jobs.pretrain import pretrain, stored_settings
        from frugalseg.pretraining.settings import RunOptions
        from frugalseg.support.device import choose_device
        from frugalseg.support.progress import bars
        from frugalseg.training.hardware import is_first_process

        settings = stored_settings(family.name, out, **chosen)
        options = RunOptions(
            device=choose_device(device),
            devices=devices,
            nodes=nodes,
            workers=workers,
            max_minutes=max_minutes,
            checkpoint_minutes=checkpoint_minutes,
            picture_minutes=picture_minutes,
            compile=compile,
        )
        with bars() as progress:
            finished = pretrain(family.name, images, out, settings, options, progress)
        after = f"finished; next: {next_command(family, out)}"
        if is_first_process():  # with several devices each process comes here
            typer.echo(f"{out}: {after if finished else 'time is up; run the same command again to go on'}")

    return accepting(flags, command)


def next_command(family: Family, run: Path) -> str:
    """What to do with a network that has been trained: fit a model, or draw the images to annotate for one."""
    if family.load("backbone", family.backbone).reads_images:
        return shell_line("fit", "DATA", "--backbone", family.name, "--checkpoint", run, "-o", "MODEL")
    return shell_line("generate", run, "--for-annotation", 40, "-o", "TO_ANNOTATE")


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A published guided-diffusion .pt file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    image_size: Annotated[
        int, typer.Option(help="The side length of the training images, in pixels.", callback=within(SIDE))
    ] = 256,
    head_channels: Annotated[
        int, typer.Option(help="The number of channels of an attention head.", callback=within(WIDTH))
    ] = 64,
    overwrite: Overwrite = False,
) -> None:
    """Turn a published diffusion checkpoint into a diffusers pipeline folder."""
    from frugalseg.backbones.base import in_cache
    from frugalseg.backbones.ddpm.convert import convert_checkpoint, may_be_unmarked
    from frugalseg.support.folders import require_new, spare_inputs

    checkpoint = Path(in_cache("ddpm", checkpoint))
    spare_inputs(out, checkpoint)
    if not (overwrite and may_be_unmarked(out)):  # else its weights tell
        require_new(out, overwrite)
    convert_checkpoint(checkpoint, out, image_size=image_size, head_channels=head_channels)
    typer.echo(f"diffusers folder: {out}")
