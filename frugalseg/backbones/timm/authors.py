"""The names that authors other than the library's gave to the weights of its networks."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

BLOCK = re.compile(r"_blocks\.(\d+)\.(_\w+)\.(.+)")
OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
# A block that expands its channels has one more convolution and norm than the first ones, which do not.
EXPANDING = {
    **{"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"},
    **{"_project_conv": "conv_pwl", "_bn2": "bn3"},
    **SQUEEZE,
}
PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2", **SQUEEZE}


def is_efficientnet(tensors: Mapping[str, Tensor]) -> bool:
    """Whether tensors have the names of EfficientNet-PyTorch, in which EfficientNet-Lite is published, too."""
    return "_conv_stem.weight" in tensors


def efficientnet_names(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Tensors by the library's names; those of other names keep theirs.

    Args:
        tensors: by the names of EfficientNet-PyTorch, which counts blocks through where the library counts them anew
            in each stage.
        model: the library's network, whole.
    """
    stages: Any = model.blocks
    places = [f"blocks.{stage}.{block}" for stage, blocks in enumerate(stages) for block in range(len(blocks))]
    return {renamed(key, places, tensors.keys()): value for key, value in tensors.items()}


def renamed(key: str, places: list[str], keys: Any) -> str:
    """The library's name of a tensor; `key` itself where it is unknown."""
    found = BLOCK.fullmatch(key)
    if found is None:
        module, _, tensor = key.partition(".")
        return f"{OUTER[module]}.{tensor}" if module in OUTER else key
    number, module, tensor = int(found[1]), found[2], found[3]
    names = EXPANDING if f"_blocks.{number}._expand_conv.weight" in keys else PLAIN
    return f"{places[number]}.{names[module]}.{tensor}" if number < len(places) and module in names else key
