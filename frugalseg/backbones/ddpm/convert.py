"""A published guided-diffusion file as a diffusers pipeline folder."""

from pathlib import Path

import torch
from torch import nn

from frugalseg.backbones.ddpm.checkpoint import load_guided_diffusion
from frugalseg.backbones.ddpm.source import new_scheduler
from frugalseg.backbones.weights import read_tensors
from frugalseg.support.errors import InputError
from frugalseg.support.folders import whole_folder
from frugalseg.support.marks import RECORD
from frugalseg.support.records import Record

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
UNMARKED = {"model_index.json", "scheduler/scheduler_config.json", "unet/config.json", WEIGHTS}
"""All that version 0.1.0 wrote, and any other program that saves such a pipeline."""


def convert_checkpoint(checkpoint: Path, out: Path, *, image_size: int = 256, head_channels: int = 64) -> None:
    """Write the network of a published ``.pt`` file to `out`; arguments as in `load_guided_diffusion`.

    The folder appears whole or not at all; an output of frugalseg that is there is replaced. So is what version 0.1.0
    has made of the same file, which carries no mark: nothing is lost with it, for it holds the same weights.

    Raises:
        FileError: the file is not such a checkpoint.
        InputError: the folder cannot be written, or holds something else.
    """
    from diffusers import DDPMPipeline

    unet = load_guided_diffusion(checkpoint, image_size=image_size, head_channels=head_channels)
    command = {"command": "convert", "checkpoint": checkpoint.name}
    if may_be_unmarked(out) and _same_weights(out, unet):
        Record(out / RECORD).write(command)
    with whole_folder(out) as partial_folder:
        DDPMPipeline(unet=unet, scheduler=new_scheduler()).save_pretrained(partial_folder)
        # So that it is known for one that may be made anew, unlike other pipelines.
        Record(partial_folder / RECORD).write(command)


def may_be_unmarked(out: Path) -> bool:
    """Whether a folder holds the files that version 0.1.0 wrote, and nothing else."""
    if not out.is_dir():
        return False
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()} == UNMARKED


def _same_weights(folder: Path, unet: nn.Module) -> bool:
    """Whether a pipeline's folder holds the weights of a network; a damaged file holds none."""
    try:
        found = read_tensors(folder / WEIGHTS)
    except InputError:
        return False
    own = unet.state_dict()
    return found.keys() == own.keys() and all(torch.equal(value, own[name]) for name, value in found.items())
