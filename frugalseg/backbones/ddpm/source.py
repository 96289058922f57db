"""From whatever names a diffusion model to its UNet and its forward process."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from frugalseg.backbones.ddpm.checkpoint import load_guided_diffusion
from frugalseg.support.errors import InputError
from frugalseg.support.hub import BUILTIN, is_hub_id


def load_network(checkpoint: str | Path | None, **guided: Any) -> tuple[Any, Any]:
    """UNet and scheduler of a diffusion model.

    Args:
        checkpoint: a diffusers pipeline folder (such as `frugalseg pretrain ddpm` writes) or its Hub id;
            ``builtin:toy_ddpm``, the small network that comes with the package; or a file in guided-diffusion's layout
            (the published LSUN and FFHQ-256 ones). The latter carry no noise schedule: theirs is linear, 1000 steps,
            beta 1e-4 to 0.02.
        guided: options of `load_guided_diffusion`.

    Returns:
        A float32 `diffusers.UNet2DModel` in eval mode and a diffusers scheduler.

    Raises:
        InputError: nothing of that name, or something that is not such a model.
    """
    if checkpoint is None:
        raise InputError("the ddpm backbone needs a checkpoint: --checkpoint FOLDER, FILE.pt or a Hub id")
    path = builtin(str(checkpoint)) if str(checkpoint).startswith(BUILTIN) else Path(checkpoint)
    if path.is_file():
        return load_guided_diffusion(path, **guided), new_scheduler()
    if guided:
        raise InputError(f"{', '.join(guided)}: only for published .pt files; {checkpoint} brings its own settings")
    if path.is_dir() and not (path / "unet" / "config.json").is_file():
        raise InputError(f"{path}: not a diffusers pipeline folder (no unet/config.json in it)")
    if not path.is_dir() and not is_hub_id(checkpoint):
        raise InputError(f"{checkpoint}: no such file or folder")
    return load_pipeline(str(path))


def builtin(checkpoint: str) -> Path:
    """The folder of a network that comes with the package, named ``builtin:NAME``."""
    assets = Path(str(files("frugalseg"))) / "assets"
    folder = assets / checkpoint.removeprefix(BUILTIN)
    if folder not in (known := sorted(path for path in assets.iterdir() if path.is_dir())):
        names = ", ".join(BUILTIN + path.name for path in known)
        raise InputError(f"no built-in network {checkpoint}; known: {names}")
    return folder


def load_pipeline(name: str) -> tuple[Any, Any]:
    """UNet and scheduler of a diffusers pipeline, a folder or a Hub id; only safetensors weights are read."""
    from diffusers import DDPMScheduler, UNet2DModel

    try:
        unet = UNet2DModel.from_pretrained(
            name, subfolder="unet", use_safetensors=True, low_cpu_mem_usage=False, torch_dtype=torch.float32
        )
        scheduler = DDPMScheduler.from_pretrained(name, subfolder="scheduler")
    except Exception as error:  # diffusers and the Hub client raise a dozen kinds; each means the same to the user
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise InputError(f"{name}: cannot be read as a diffusers pipeline ({first})") from None
    if unet.config.num_class_embeds is not None or unet.config.class_embed_type is not None:
        raise InputError(f"{name}: a class-conditional network; an unconditional one is needed")
    return unet.eval(), scheduler


def new_scheduler() -> Any:
    """The forward process of the paper's networks."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
