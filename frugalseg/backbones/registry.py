"""The families of backbones, and where the parts of each are found; nothing here imports torch."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from frugalseg.support.errors import InputError
from frugalseg.support.files import read_json
from frugalseg.support.hub import BUILTIN
from frugalseg.support.text import quoted

WITHOUT_CHECKPOINT, OF_OTHER_CHECKPOINTS = "timm", "ddpm"
"""Families where nobody names one: the first has weights that come with the set-up, the second is the paper's own."""

BACKBONE, CONFIG = "backbone.json", "config.json"
"""What says of which family a folder is: that of a saved backbone, and that of a network alone."""


@dataclass(frozen=True)
class Family:
    """The names of a family's classes, in the modules that every family's package has.

    Attributes:
        name: of the family.
        backbone: the `Backbone` in ``backbone.py``.
        options: the dataclass in ``settings.py`` that holds what `load_backbone` takes.
        pretraining: the `PretrainingModule` in ``pretrain.py``, where the family can be trained from scratch.
        pretrain_settings: its `TrainingSettings` in ``settings.py``.
        generation: the dataclass in ``settings.py`` that says how the family draws images, where it can.
        package: absolute name of the package that holds these modules; without it ``frugalseg.backbones.NAME``.
            Families that share one network name the same package. A family may also live outside frugalseg.
        builtin: what may follow ``builtin:`` in the name of a checkpoint: networks that come with the set-up.
    """

    name: str
    backbone: str
    options: str
    pretraining: str | None = None
    pretrain_settings: str | None = None
    generation: str | None = None
    package: str = ""
    builtin: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.pretraining is None) != (self.pretrain_settings is None):
            raise ValueError(f"the family {self.name!r} needs both pretraining and pretrain_settings, or neither")
        if not self.package:
            object.__setattr__(self, "package", f"frugalseg.backbones.{self.name}")

    def load(self, module: str, name: str) -> Any:
        """The object `name` of one of the family's modules."""
        return getattr(import_module(f"{self.package}.{module}"), name)

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


FAMILIES: dict[str, Family] = {}
"""Every family by its name, in the order in which they were registered."""


def register(family: Family) -> Family:
    """Add a family to `FAMILIES`; registering the same one again changes nothing.

    The command line makes its options from the families that are registered when `frugalseg.cli` is imported.

    Raises:
        ValueError: another family has this name.
    """
    there = FAMILIES.setdefault(family.name, family)
    if there != family:
        raise ValueError(
            f"two families are named {family.name!r}, one in {there.package} and one in {family.package}; "
            "choose another name"
        )
    return family


def family_named(name: str) -> Family:
    """A family of the registry; raises `InputError` with the known names for an unknown one."""
    if not isinstance(name, str) or name not in FAMILIES:
        raise InputError(f"no backbone family {quoted(name)}; known: {', '.join(sorted(FAMILIES))}")
    return FAMILIES[name]


def pretrainable() -> list[Family]:
    """The families that can be trained from scratch, in the order of the registry."""
    return [family for family in FAMILIES.values() if family.pretraining is not None]


def generating() -> list[Family]:
    """The families that can draw images, in the order of the registry."""
    return [family for family in FAMILIES.values() if family.generation is not None]


def require_generating(name: str) -> Family:
    """A family that can draw images; raises `InputError` with the names of those that can for another one."""
    family = family_named(name)
    if family.generation is None:
        able = [one.name for one in generating()]
        which = f"{'family' if len(able) == 1 else 'families'} {', '.join(able)}"
        raise InputError(f"a {name} backbone cannot generate images; those of the {which} can")
    return family


register(
    Family(
        "ddpm",
        "DDPMBackbone",
        "DDPMOptions",
        "DDPMPretraining",
        "DDPMPretrainSettings",
        "DDPMGeneration",
        builtin=("toy_ddpm",),
    )
)
register(Family("swav", "SwAVBackbone", "SwAVOptions", "SwAVPretraining", "SwAVPretrainSettings"))
register(Family("mae", "MAEBackbone", "MAEOptions", "MAEPretraining", "MAEPretrainSettings"))
register(Family("timm", "TimmBackbone", "TimmOptions", builtin=("efficientnet_lite0", "efficientnet_lite2")))
register(Family("filters", "FiltersBackbone", "FilterOptions"))
register(Family("colour", "ColourBackbone", "ColourOptions"))


def family_in(folder: str | Path) -> str | None:
    """The family that a folder names, of a network, of a backbone or of a model; None where it names none.

    Raises:
        FileError: the file that should name it is not JSON.
    """
    for path in (Path(folder) / "backbone" / BACKBONE, Path(folder) / BACKBONE, Path(folder) / CONFIG):
        try:
            config = read_json(path) if path.is_file() else None
        except OSError:  # a name that is too long, for example: no folder of ours
            return None
        if isinstance(config, dict) and isinstance(config.get("family"), str):
            return str(config["family"])
    return None


def family_of_checkpoint(checkpoint: str | None) -> str:
    """The family that a checkpoint most likely belongs to, for users who do not name it.

    Args:
        checkpoint: as `load_backbone` takes it. Without one it is the family that has weights at hand.

    Raises:
        FileError: see `family_in`.
    """
    if checkpoint is None:
        return WITHOUT_CHECKPOINT
    name = checkpoint.removeprefix(BUILTIN)
    owner = next((family.name for family in FAMILIES.values() if name != checkpoint and name in family.builtin), None)
    found = owner or family_in(checkpoint)
    if found in FAMILIES:
        return found
    return "timm" if is_timm_folder(Path(checkpoint)) else OF_OTHER_CHECKPOINTS


def is_timm_folder(folder: Path) -> bool:
    """Whether a folder has the ``config.json`` of a network of the timm library."""
    try:
        config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else None
    except OSError:  # as above
        return False
    return isinstance(config, dict) and isinstance(config.get("architecture"), str)
