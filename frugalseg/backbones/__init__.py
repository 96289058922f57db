"""Backbones: images in, feature maps out. One folder a family; `base` holds the contract and the registry."""

from frugalseg.backbones.base import FAMILIES, Backbone, Tap, load_backbone, load_saved_backbone

__all__ = ["FAMILIES", "Backbone", "Tap", "load_backbone", "load_saved_backbone"]
