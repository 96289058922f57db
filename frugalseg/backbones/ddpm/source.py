"""From whatever names a diffusion model to its UNet and its forward process."""

import inspect
import logging
import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from frugalseg.backbones.builtin import builtin_path
from frugalseg.backbones.ddpm.checkpoint import load_guided_diffusion
from frugalseg.backbones.limits import at_most
from frugalseg.backbones.weights import header_of, names, network_with, read_tensors
from frugalseg.support.checked import require_modest
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from frugalseg.support.hub import BUILTIN, is_hub_id
from frugalseg.support.text import brief, kind_and_reason, listing

log = logging.getLogger(__name__)

COPY = "copy or download it again"


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
    path = builtin_path(str(checkpoint), "ddpm") if str(checkpoint).startswith(BUILTIN) else Path(checkpoint)
    if path.is_file():
        return of_rgb(load_guided_diffusion(path, **guided), path), new_scheduler()
    if guided:
        raise InputError(f"{', '.join(guided)}: only for published .pt files; {checkpoint} brings its own settings")
    if path.is_dir() and not (path / "unet" / "config.json").is_file():
        raise InputError(
            f"{path}: not a diffusers pipeline folder (no unet/config.json in it); give the folder of a trained "
            "diffusion model, or name another family with --backbone"
        )
    if not path.is_dir() and not is_hub_id(checkpoint):
        raise InputError(f"{checkpoint}: no such file or folder, and no Hub id; check the path")
    return load_pipeline(str(path))


def load_pipeline(name: str) -> tuple[Any, Any]:
    """UNet and scheduler of a diffusers pipeline, a folder or a Hub id; only safetensors weights are read."""
    from diffusers import DDPMScheduler

    try:
        with quiet_diffusers():
            scheduler = DDPMScheduler.from_config(modest_config(DDPMScheduler, name, "scheduler"))
            unet = load_unet(name)
    except FileError:
        raise
    except InputError as error:
        raise FileError(name, f"cannot be read as a diffusers pipeline ({brief(error)})", COPY) from None
    except Exception as error:  # diffusers and the Hub client raise a dozen kinds; each means the same to the user
        raise FileError(name, f"cannot be read as a diffusers pipeline ({kind_and_reason(error)})", COPY) from None
    if unet.config.num_class_embeds is not None or unet.config.class_embed_type is not None:
        raise InputError(f"{name}: a class-conditional network; an unconditional one is needed")
    return of_rgb(unet.eval(), name), scheduler


def of_rgb(unet: Any, source: str | Path) -> Any:
    """The UNet itself; `InputError` for one of gray images, of latents or of pairs of images."""
    channels = unet.config.in_channels
    if channels != 3:
        raise InputError(f"{source}: a network of images with {channels} channels; one of RGB images, of 3, is needed")
    return unet


@contextmanager
def quiet_diffusers() -> Iterator[None]:
    """Within the block diffusers says nothing beside the exceptions that it raises."""
    from diffusers.utils import logging as diffusers_logging

    before = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        diffusers_logging.set_verbosity(before)


def load_unet(name: str) -> Any:
    """The UNet of a diffusers pipeline; all of its weights must be there, and none besides."""
    from diffusers import UNet2DModel
    from diffusers.utils import SAFETENSORS_WEIGHTS_NAME

    config, folder = modest_config(UNet2DModel, name, "unet"), Path(name) / "unet"
    shapes, file = weights_in(folder), folder / SAFETENSORS_WEIGHTS_NAME
    if len(shapes) == 1 and file in shapes and not has_old_names(shapes[file]):
        # Half of diffusers' way in memory, which holds the network and the file at once.
        return network_with(lambda: UNet2DModel.from_config(config), read_tensors(file), file, copied=False)
    sizes = [shape for each in shapes.values() for shape in each.values()]
    # Twice, for a few tensors are put into a module more than once.
    limit = at_most(2 * len(sizes), 2 * sum(map(math.prod, sizes))) if sizes else at_most()
    with limit:
        unet, found = UNet2DModel.from_pretrained(
            name,
            subfolder="unet",
            use_safetensors=True,
            low_cpu_mem_usage=False,
            torch_dtype=torch.float32,
            output_loading_info=True,
        )
    lacking, unknown = found["missing_keys"], found["unexpected_keys"]
    if lacking or unknown:  # diffusers would go on with random weights
        raise InputError(f"its weights lack {names(sorted(lacking))} and have unknown {names(sorted(unknown))}")
    return unet


def has_old_names(shapes: Iterable[str]) -> bool:
    """Whether tensors have the names that early versions of diffusers gave to attention, which it alone translates."""
    return any(name.rpartition(".")[0].endswith((".query", ".key", ".value", ".proj_attn")) for name in shapes)


def modest_config(cls: Any, name: str, part: str) -> dict[str, Any]:
    """The config of a part of a pipeline; `InputError` where it is none, or asks for sizes that no network has."""
    config = cls.load_config(name, subfolder=part)
    if not isinstance(config, dict):  # diffusers would take it for the name of a repository, and ask the Hub for it
        raise InputError(f"the config of the {part} is no object in braces")
    require_modest(config)
    known = inspect.signature(cls.__init__).parameters
    unknown = [brief(key, 40) for key in config if key not in known and not key.startswith("_")]
    if unknown:
        log.warning("%s: left out of the config of the %s, for they are unknown: %s", name, part, listing(unknown))
    return {key: value for key, value in config.items() if key in known or key.startswith("_")}


def weights_in(folder: Path) -> dict[Path, dict[str, tuple[int, ...]]]:
    """The tensors' shapes in each file of a local folder; none where it is the part of a pipeline on the Hub."""
    return {file: header_of(file) for file in sorted(folder.glob("*.safetensors"))}


def new_scheduler() -> Any:
    """The forward process of the paper's networks."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
