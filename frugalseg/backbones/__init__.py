"""Backbones: images in, feature maps out. One folder a family; `base` holds the contract, `registry` the families."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frugalseg.backbones.base import Backbone, load_backbone, load_saved_backbone

__all__ = ["Backbone", "load_backbone", "load_saved_backbone"]


# Resolved at first use: the settings of a family are read by the command line, which must not wait for torch.
def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'frugalseg.backbones' has no attribute {name!r}")
    return getattr(import_module("frugalseg.backbones.base"), name)
