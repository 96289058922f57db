"""Published SwAV files, and the folders that our own pretraining writes, as networks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from frugalseg.backbones import saved
from frugalseg.backbones.swav.network import ResNet
from frugalseg.backbones.swav.shape import LEVELS, ResNetShape
from frugalseg.backbones.weights import foreign, network_with, read_tensors
from frugalseg.support.checked import require_modest
from frugalseg.support.errors import InputError

PREFIX = "module."
DROPPED = ("projection_head.", "prototypes.")
"""Beginnings of the keys of the head, which only training needs; published files have heads of several sizes."""
NEEDED = ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight")
PUBLISHED_SIZE = (256, 256)
"""The paper's networks were trained on crops of 256x256 images; the files do not say so."""


def load_network(checkpoint: str | Path | None) -> tuple[ResNet, tuple[int, int]]:
    """The network of a checkpoint and the (height, width) of the images that it was trained for.

    Args:
        checkpoint: a published file, or a folder that `save_network` wrote, as `frugalseg pretrain swav` does.

    Raises:
        InputError: nothing of that name, a damaged file, or one of another network.
    """
    if checkpoint is None:
        raise InputError("the swav backbone needs a checkpoint: --checkpoint FOLDER or FILE.pth")
    path = Path(checkpoint)
    if path.is_dir():
        return load_folder(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder; give a published SwAV file or a folder of pretrain swav")
    return load_published(path), PUBLISHED_SIZE


def load_published(path: str | Path) -> ResNet:
    """A ResNet with bottleneck or basic blocks of any width and depth, from a file of tensors.

    The published layouts: tensors under ``state_dict`` beside the optimizer's state, or at top level; keys with or
    without ``module.``. The projection head and the prototypes are left out.

    Raises:
        InputError: not such a file; the first keys that are missing or unknown are listed.
    """
    tensors = trunk(read_tensors(path))
    shape = inferred_shape(tensors, path)
    return network_with(lambda: ResNet(shape), tensors, path).eval()


def trunk(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the prefix of their keys and without those of the head."""
    plain = {key.removeprefix(PREFIX): value for key, value in tensors.items()}
    return {key: value for key, value in plain.items() if not key.startswith(DROPPED)}


def inferred_shape(tensors: Mapping[str, Tensor], source: str | Path) -> ResNetShape:
    """Width, depths and blocks of the ResNet with these tensors.

    Raises:
        InputError: they are not those of a ResNet with a 7x7 stem.
    """
    stem = tensors.get("conv1.weight")
    if stem is None or "layer1.0.conv1.weight" not in tensors:
        missing = "conv1.weight" if stem is None else "layer1.0.conv1.weight"
        raise foreign(source, f"not a ResNet (no {missing}), so no SwAV checkpoint", NEEDED, tensors)
    if stem.dim() != 4 or tuple(stem.shape[1:]) != (3, 7, 7):
        raise InputError(
            f"{source}: a stem of shape {tuple(stem.shape)}, for 7x7 convolutions of color images; "
            "if pretrain swav wrote this file, give its folder"
        )
    depths = []
    for number in range(1, LEVELS + 1):
        places = {key.split(".")[1] for key in tensors if key.startswith(f"layer{number}.")}
        depths += [len(places)] if places else []
    block = "bottleneck" if "layer1.0.conv3.weight" in tensors else "basic"
    return ResNetShape(len(stem), tuple(depths), block, stem_stride=4)  # type: ignore[arg-type]


@dataclass(frozen=True)
class SavedResNet:
    """The ``config.json`` of `save_network`: (height, width) of the training images, and fields of `ResNetShape`."""

    image_size: tuple[int, int]
    width: int
    depths: tuple[int, ...]
    block: Literal["basic", "bottleneck"]
    stem_stride: int

    def __post_init__(self) -> None:
        require_modest(asdict(self))
        if min(self.image_size) < 1:
            raise InputError(f"image_size is {self.image_size}; give height and width in pixels")


def save_network(network: ResNet, size: tuple[int, int], folder: Path) -> None:
    """Write a network to `folder`; see `frugalseg.backbones.saved`.

    Args:
        network: of any dtype and memory layout.
        size: (height, width) of the images that it was trained for.
        folder: where to.
    """
    config = {"family": "swav", "image_size": size, **asdict(network.shape)}
    # The header of these files has always been empty, and files that are written anew keep their bytes.
    saved.save_network(network, folder, config, metadata=None)


def load_folder(folder: Path) -> tuple[ResNet, tuple[int, int]]:
    """The inverse of `save_network`, in float32.

    Raises:
        InputError: the folder holds another network, or something else.
    """
    said = saved.read_said(folder, "swav", SavedResNet)
    shape = ResNetShape(said.width, said.depths, said.block, said.stem_stride)
    network = network_with(lambda: ResNet(shape), saved.read_weights(folder), folder / saved.WEIGHTS)
    return network.eval(), said.image_size
