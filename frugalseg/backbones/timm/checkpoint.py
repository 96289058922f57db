"""Weights on disk for the library's networks: the library's own files and folders, and what others train."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from frugalseg.backbones.builtin import builtin_path
from frugalseg.backbones.registry import CONFIG
from frugalseg.backbones.saved import WEIGHTS
from frugalseg.backbones.timm.authors import efficientnet_names, is_efficientnet
from frugalseg.backbones.timm.network import ON_HUB, Design, check_registered, design_named, first_line
from frugalseg.backbones.weights import read_tensors, require_names
from frugalseg.support.errors import InputError
from frugalseg.support.files import read_json
from frugalseg.support.hub import BUILTIN, is_hub_id

BUILTIN_ARCHITECTURES = {"efficientnet_lite0": "tf_efficientnet_lite0", "efficientnet_lite2": "tf_efficientnet_lite2"}
DEFAULT = f"{BUILTIN}efficientnet_lite2"
"""The checkpoint where neither a checkpoint nor a model is named."""
WEIGHT_FILES = (WEIGHTS, "pytorch_model.bin")
PREFIXES = ("module.", "model.", "backbone.")
"""Put before every key by distributed training, by training frameworks and by self-supervised ones."""
HEADS = ("head", "head_dist", "fc", "classifier", "fc_norm", "norm")
"""First parts of the keys of classifiers and the norms before them, which features do without."""


def find(checkpoint: str | Path | None, model: str | None) -> tuple[Design, Path | None]:
    """Which network is meant, and the file of its weights where they are on this machine.

    Args:
        checkpoint: a file of weights, or a folder with ``config.json`` and weights as the library saves them and as
            Hub repositories of its models hold them; or the id of such a repository, ``owner/name``; or
            ``builtin:NAME`` with a key of `BUILTIN_ARCHITECTURES`.
        model: name of the network; needed for a file, and where there is no checkpoint.

    Raises:
        InputError: no model is named, or the checkpoint is not there.
    """
    if str(checkpoint).startswith(BUILTIN):
        return find_builtin(str(checkpoint), model)
    path = Path(checkpoint) if checkpoint is not None else None
    if path is not None and path.is_dir():
        design, file = read_folder(path)
        return design_named(model) if model else design, file
    if path is not None and not path.is_file():
        if is_hub_id(str(checkpoint)) and not model:
            return design_named(f"{ON_HUB}{checkpoint}"), None
        raise InputError(f"{path}: no such checkpoint file or folder; without one, the published weights are fetched")
    if not model:
        raise InputError("the timm backbone needs model=NAME (--model), such as vit_small_patch14_reg4_dinov2")
    return design_named(model), path


def find_builtin(checkpoint: str, model: str | None) -> tuple[Design, Path]:
    """The design and the weights of ``builtin:NAME``; `InputError` where `model` names another network."""
    path = builtin_path(checkpoint, "timm")
    architecture = BUILTIN_ARCHITECTURES[checkpoint.removeprefix(BUILTIN)]
    if model not in (None, architecture):
        raise InputError(f"{checkpoint} is {architecture}, not {model}; leave one of them out")
    return design_named(architecture), path


def read_folder(folder: Path) -> tuple[Design, Path]:
    """The design and the weights of a folder of the library's layout."""
    file = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if file is None or not (folder / CONFIG).is_file():
        raise InputError(f"{folder}: not a folder of a timm model ({CONFIG} and {WEIGHTS} are expected in it)")
    content = read_json(folder / CONFIG)
    architecture = content.get("architecture") if isinstance(content, dict) else None
    if not isinstance(architecture, str):
        raise InputError(f"{folder / CONFIG}: names no architecture of timm; give the weights' file and model=NAME")
    check_registered(architecture)
    try:
        config = content.get("pretrained_cfg", content)
        return Design.from_json(architecture, content.get("model_args") or {}, config), file
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{folder / CONFIG}: not a timm model's ({first_line(error)})") from None


def tensors_for(model: nn.Module, design: Design, file: Path) -> dict[str, Tensor]:
    """The tensors of a file by the names of `model`, without those of a classifier of whatever size.

    Files of the networks' authors are translated as the library does it, with position embeddings made for another
    image size interpolated.

    Raises:
        InputError: a damaged file, or keys that the network does not know.
    """
    tensors = without_prefixes(read_tensors(file), model)
    if is_efficientnet(tensors) and hasattr(model, "blocks"):
        tensors = efficientnet_names(tensors, model)
    try:
        tensors = dict(translation(design)(dict(tensors), model))
    except Exception as error:  # the library expects its own checkpoints and fails in many ways over others
        raise InputError(f"{file}: not a checkpoint of {design.architecture} ({first_line(error)})") from None
    heads = {*HEADS, *first_parts(design.config.get("classifier"))}
    known = model.state_dict().keys()
    if any(key not in known and key.partition(".")[0] not in heads for key in tensors):
        wanted, found = ([key for key in keys if key.partition(".")[0] not in heads] for keys in (known, tensors))
        require_names(wanted, found, file)
    return tensors


def first_parts(classifier: str | tuple[str, ...] | None) -> list[str]:
    """``head`` of ``head.fc``, for one name, several or none."""
    names = [classifier] if isinstance(classifier, str) else classifier or ()
    return [name.partition(".")[0] for name in names]


def without_prefixes(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """`tensors` with `PREFIXES` taken off wherever they stand and are not the network's own."""
    own = {f"{name}." for name, _ in model.named_children()}
    stripped = dict(tensors)
    for prefix in PREFIXES:
        if prefix not in own:
            stripped = {key.removeprefix(prefix): value for key, value in stripped.items()}
    return stripped


def translation(design: Design) -> Any:
    """What the library does to a checkpoint before it loads it: by its convention a function beside the network."""
    from timm.models import model_entrypoint

    module = import_module(model_entrypoint(design.architecture).__module__)
    return getattr(module, "checkpoint_filter_fn", lambda tensors, model: tensors)
