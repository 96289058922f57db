"""A published guided-diffusion file as a diffusers pipeline folder."""

from pathlib import Path

from frugalseg.backbones.ddpm.checkpoint import load_guided_diffusion
from frugalseg.backbones.ddpm.source import new_scheduler
from frugalseg.support.folders import whole_folder


def convert_checkpoint(checkpoint: Path, out: Path, *, image_size: int = 256, head_channels: int = 64) -> None:
    """Write the network of a published ``.pt`` file to `out`; arguments as in `load_guided_diffusion`.

    The folder appears whole or not at all; one that exists is replaced.
    """
    from diffusers import DDPMPipeline

    unet = load_guided_diffusion(checkpoint, image_size=image_size, head_channels=head_channels)
    with whole_folder(out) as partial_folder:
        DDPMPipeline(unet=unet, scheduler=new_scheduler()).save_pretrained(partial_folder)
