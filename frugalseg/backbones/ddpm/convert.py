"""A published guided-diffusion file as a diffusers pipeline folder."""

from pathlib import Path

from frugalseg.backbones.ddpm.checkpoint import load_guided_diffusion
from frugalseg.backbones.ddpm.source import new_scheduler
from frugalseg.support.folders import whole_folder
from frugalseg.support.marks import RECORD
from frugalseg.support.records import Record


def convert_checkpoint(checkpoint: Path, out: Path, *, image_size: int = 256, head_channels: int = 64) -> None:
    """Write the network of a published ``.pt`` file to `out`; arguments as in `load_guided_diffusion`.

    The folder appears whole or not at all; an output of frugalseg that is there is replaced.

    Raises:
        FileError: the file is not such a checkpoint.
        InputError: the folder cannot be written, or holds something else.
    """
    from diffusers import DDPMPipeline

    unet = load_guided_diffusion(checkpoint, image_size=image_size, head_channels=head_channels)
    with whole_folder(out) as partial_folder:
        DDPMPipeline(unet=unet, scheduler=new_scheduler()).save_pretrained(partial_folder)
        # So that it is known for one that may be made anew, unlike other pipelines.
        Record(partial_folder / RECORD).write({"command": "convert", "checkpoint": checkpoint.name})
