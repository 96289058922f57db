"""The families of backbones, and where the parts of each are found; nothing here imports torch."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from frugalseg.support.errors import InputError


@dataclass(frozen=True)
class Family:
    """The names of a family's classes, in the modules that every family's folder has.

    Attributes:
        name: of the folder below ``frugalseg/backbones``, and of the family.
        backbone: the `Backbone` in ``backbone.py``.
        options: the dataclass in ``settings.py`` that holds what `load_backbone` takes.
        pretraining: the `PretrainingModule` in ``pretrain.py``, where the family can be trained from scratch.
        pretrain_settings: its `TrainingSettings` in ``settings.py``.
        generation: the dataclass in ``settings.py`` that says how the family draws images, where it can.
    """

    name: str
    backbone: str
    options: str
    pretraining: str | None = None
    pretrain_settings: str | None = None
    generation: str | None = None

    def load(self, module: str, name: str) -> Any:
        """The object `name` of one of the family's modules."""
        return getattr(import_module(f"frugalseg.backbones.{self.name}.{module}"), name)

    def options_class(self) -> Any:
        """The dataclass of the backbone's options; light to import."""
        return self.load("settings", self.options)

    def settings_class(self) -> Any:
        """The dataclass of the pretraining's settings; light to import. For families that can be pretrained."""
        assert self.pretrain_settings is not None
        return self.load("settings", self.pretrain_settings)

    def generation_class(self) -> Any:
        """The dataclass of how images are drawn; light to import. For families that generate."""
        assert self.generation is not None
        return self.load("settings", self.generation)


FAMILIES = {
    "ddpm": Family("ddpm", "DDPMBackbone", "DDPMOptions", "DDPMPretraining", "DDPMPretrainSettings", "DDPMGeneration"),
    "swav": Family("swav", "SwAVBackbone", "SwAVOptions", "SwAVPretraining", "SwAVPretrainSettings"),
    "mae": Family("mae", "MAEBackbone", "MAEOptions", "MAEPretraining", "MAEPretrainSettings"),
    "timm": Family("timm", "TimmBackbone", "TimmOptions"),
    "colour": Family("colour", "ColourBackbone", "ColourOptions"),
}


def family_named(name: str) -> Family:
    """A family of the registry; raises `InputError` with the known names for an unknown one."""
    if name not in FAMILIES:
        raise InputError(f"no backbone family {name!r}; known: {', '.join(sorted(FAMILIES))}")
    return FAMILIES[name]


def pretrainable() -> list[Family]:
    """The families that can be trained from scratch, in the order of the registry."""
    return [family for family in FAMILIES.values() if family.pretraining is not None]


def generating() -> list[Family]:
    """The families that can draw images, in the order of the registry."""
    return [family for family in FAMILIES.values() if family.generation is not None]
