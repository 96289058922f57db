"""A published guided-diffusion file as a diffusers pipeline folder."""

from pathlib import Path

from frugalseg.backbones.ddpm.checkpoint import load_guided_diffusion
from frugalseg.backbones.ddpm.source import new_scheduler
from frugalseg.support.files import usual_permissions


def convert_checkpoint(checkpoint: Path, out: Path, *, image_size: int = 256, head_channels: int = 64) -> None:
    """Write the network of a published ``.pt`` file to `out`; arguments as in `load_guided_diffusion`."""
    from diffusers import DDPMPipeline

    unet = load_guided_diffusion(checkpoint, image_size=image_size, head_channels=head_channels)
    DDPMPipeline(unet=unet, scheduler=new_scheduler()).save_pretrained(out)
    usual_permissions(out)
