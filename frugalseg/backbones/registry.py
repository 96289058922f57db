"""The families of backbones, and where the parts of each are found; nothing here imports torch."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from frugalseg.data.catalogue.items import checkpoint_item
from frugalseg.support.errors import InputError
from frugalseg.support.files import read_json
from frugalseg.support.hub import BUILTIN
from frugalseg.support.text import quoted

WITHOUT_CHECKPOINT, OF_OTHER_CHECKPOINTS = "timm", "ddpm"
"""Families where nobody names one: the first has weights that come with the set-up, the second is the paper's own."""

BACKBONE, CONFIG = "backbone.json", "config.json"
"""What says of which family a folder is: that of a saved backbone, and that of a network alone."""


JOIN = "+"
"""Between the families of a combination."""
MOST_PARTS = 3
"""Families of a combination."""

Checkpoint = str | Path
"""A file, a folder, a Hub id or ``builtin:NAME``."""


@dataclass(frozen=True)
class Family:
    """The names of a family's classes, in the modules that every family's package has.

    Attributes:
        name: of the family.
        backbone: the `Backbone` in ``backbone.py``.
        options: the dataclass in ``settings.py`` that holds what `load_backbone` takes.
        pretraining: the `PretrainingModule` in ``pretrain.py``, where the family can be trained from scratch.
        pretrain_settings: its `CommonSettings` in ``settings.py``.
        generation: the dataclass in ``settings.py`` that says how the family draws images, where it can.
        pretrain_name: what ``frugalseg pretrain`` calls the training; without it the name of the family.
        trained_by: the family whose training makes the networks of this one, too; without it the family itself.
        package: absolute name of the package that holds these modules; without it ``frugalseg.backbones.NAME``.
            Families that share one network name the same package. A family may also live outside frugalseg.
        builtin: what may follow ``builtin:`` in the name of a checkpoint: networks that come with the set-up.
        checkpoint: whether the family takes a checkpoint, and whether it can do without.
        files: patterns of the names that only published files of this family have, such as ``*.pkl``.
        known_by: names of tensors; a file that has one of them looks like a checkpoint of this family.
    """

    name: str
    backbone: str
    options: str
    pretraining: str | None = None
    pretrain_settings: str | None = None
    generation: str | None = None
    pretrain_name: str = ""
    trained_by: str = ""
    package: str = ""
    builtin: tuple[str, ...] = ()
    checkpoint: Literal["needed", "possible", "none"] = "possible"
    files: tuple[str, ...] = ()
    known_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.pretraining is None) != (self.pretrain_settings is None):
            raise ValueError(f"the family {self.name!r} needs both pretraining and pretrain_settings, or neither")
        if not self.package:
            object.__setattr__(self, "package", f"frugalseg.backbones.{self.name}")
        if not self.pretrain_name:
            object.__setattr__(self, "pretrain_name", self.name)

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

    def checkpoints(self, given: Checkpoint | Mapping[str, Checkpoint] | None) -> dict[str, Checkpoint]:
        """The checkpoint of each family that a user gives one, as `load_backbone` and the command line take it.

        Raises:
            InputError: it names other families, or does not say to which of several it belongs.
        """
        if isinstance(given, Mapping):
            others = ", ".join(map(quoted, set(given) - {self.name}))
            if others:
                raise InputError(f"a checkpoint for {others}, but the backbone is {self.name}")
            return dict(given)
        return {} if given is None else {self.name: given}


@dataclass(frozen=True)
class Combination(Family):
    """Several families whose maps are put together.

    Attributes:
        parts: at least two, all different.
    """

    parts: tuple[Family, ...] = ()

    def options_class(self) -> Any:
        """The options of all parts, as one dataclass."""
        return self.load("settings", self.options)(self.parts)

    def checkpoints(self, given: Checkpoint | Mapping[str, Checkpoint] | None) -> dict[str, Checkpoint]:
        """See `Family.checkpoints`; a text may be ``FAMILY=CHECKPOINT,FAMILY=CHECKPOINT``."""
        found: dict[str, Checkpoint] = self.load("checkpoints", "checkpoints_of")(self.parts, given)
        return found


FAMILIES: dict[str, Family] = {}
"""Every family by its name, in the order in which they were registered."""


def register(family: Family) -> Family:
    """Add a family to `FAMILIES`; registering the same one again changes nothing.

    The command line makes its options from the families that are registered when `frugalseg.cli` is imported.

    Raises:
        ValueError: another family has this name, or it cannot be part of a combination.
    """
    if JOIN in family.name:
        raise ValueError(f"a family cannot be named {family.name!r}: {JOIN} joins the families of a combination")
    there = FAMILIES.setdefault(family.name, family)
    if there != family:
        raise ValueError(
            f"two families are named {family.name!r}, one in {there.package} and one in {family.package}; "
            "choose another name"
        )
    return family


def family_named(name: str) -> Family:
    """A family of the registry, or several that ``+`` joins.

    Raises:
        InputError: an unknown name, with those that are known; or too many families, or one of them twice.
    """
    if isinstance(name, str) and JOIN in name:
        return combination(name.split(JOIN))
    if not isinstance(name, str) or name not in FAMILIES:
        raise InputError(f"no backbone family {quoted(name)}; known: {', '.join(sorted(FAMILIES))}")
    return FAMILIES[name]


def combination(names: Sequence[str]) -> Combination:
    """Some families of the registry as one; see `family_named`."""
    whole = JOIN.join(names)
    parts = tuple(family_named(name) for name in names)
    twice = next((name for name in names if list(names).count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{quoted(whole)} has {twice} twice; name each family once")
    if not 2 <= len(parts) <= MOST_PARTS:
        raise InputError(f"{quoted(whole)} joins {len(parts)} families; join 2 to {MOST_PARTS}")
    package = f"{__package__}.combined"
    return Combination(whole, "CombinedBackbone", "combined_options", package=package, parts=parts)


def families_in(family: Family) -> tuple[Family, ...]:
    """The families of a combination; a family alone is its only one."""
    return family.parts if isinstance(family, Combination) else (family,)


def pretrainable() -> list[Family]:
    """The families that can be trained from scratch, in the order of the registry."""
    return [family for family in FAMILIES.values() if family.pretraining is not None]


def family_with(tensors: Collection[str]) -> str | None:
    """The family whose checkpoints have tensors of these names, for messages; None where none is known by them."""
    return next((each.name for each in FAMILIES.values() if any(name in tensors for name in each.known_by)), None)


def trainer_of(family: Family) -> Family:
    """The family whose training makes the networks of a family: mostly its own."""
    return FAMILIES[family.trained_by or family.name]


def training_of(name: str) -> str:
    """What ``frugalseg pretrain`` calls the training of a family, by the family's name; also of an unknown one."""
    return trainer_of(FAMILIES[name]).pretrain_name if name in FAMILIES else name


def generating() -> list[Family]:
    """The families that can draw images, in the order of the registry."""
    return [family for family in FAMILIES.values() if family.generation is not None]


def drawing_with(name: str) -> str:
    """The family that draws with the networks of a family: itself, or the first that can and has the same networks."""
    if name not in FAMILIES:  # a combination
        return name
    trainer = trainer_of(FAMILIES[name])
    return next((each.name for each in generating() if name == each.name or trainer_of(each) == trainer), name)


def require_generating(name: str) -> Family:
    """A family that can draw images; raises `InputError` with the names of those that can for another one."""
    family = family_named(name)
    if family.generation is None and drawing_with(name) != name:
        raise InputError(
            f"a {name} backbone cannot generate images; {drawing_with(name)}, which has the same networks, can"
        )
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
        checkpoint="needed",
        known_by=("input_blocks.0.0.weight", "time_embedding.linear_1.weight"),
    )
)
register(
    Family(
        "swav",
        "SwAVBackbone",
        "SwAVOptions",
        "SwAVPretraining",
        "SwAVPretrainSettings",
        checkpoint="needed",
        known_by=("module.projection_head.0.weight", "projection_head.0.weight"),
    )
)
register(
    Family(
        "mae",
        "MAEBackbone",
        "MAEOptions",
        "MAEPretraining",
        "MAEPretrainSettings",
        checkpoint="needed",
        known_by=("decoder_pos_embed",),
    )
)
register(
    Family(
        "stylegan2",
        "StyleGAN2Backbone",
        "StyleGAN2Options",
        "StyleGAN2Pretraining",
        "StyleGAN2PretrainSettings",
        "StyleGAN2Generation",
        checkpoint="needed",
        known_by=("synthesis.b4.const", "conv1.conv.modulation.weight"),
        files=("*.pkl",),
    )
)
register(
    Family(
        "gan_encoder",
        "GANEncoderBackbone",
        "GANEncoderOptions",
        "E4EPretraining",
        "E4EPretrainSettings",
        pretrain_name="e4e",
        package="frugalseg.backbones.stylegan2.encoder",
        checkpoint="needed",
        known_by=("encoder.input_layer.0.weight",),
    )
)
register(
    Family(
        "gan_inversion",
        "GANInversionBackbone",
        "GANInversionOptions",
        generation="GANInversionGeneration",
        trained_by="gan_encoder",
        package="frugalseg.backbones.stylegan2.inversion",
        checkpoint="needed",
    )
)
register(
    Family(
        "alae",
        "ALAEBackbone",
        "ALAEOptions",
        "ALAEPretraining",
        "ALAEPretrainSettings",
        "ALAEGeneration",
        checkpoint="needed",
        known_by=("mapping_fl.map_blocks.0.fc.weight",),
    )
)
register(
    Family(
        "vdvae",
        "VDVAEBackbone",
        "VDVAEOptions",
        "VDVAEPretraining",
        "VDVAEPretrainSettings",
        "VDVAEGeneration",
        checkpoint="needed",
        known_by=("decoder.dec_blocks.0.z_proj.weight", "module.decoder.dec_blocks.0.z_proj.weight"),
    )
)
register(Family("timm", "TimmBackbone", "TimmOptions", builtin=("efficientnet_lite0", "efficientnet_lite2")))
register(Family("filters", "FiltersBackbone", "FilterOptions", checkpoint="none"))
register(Family("colour", "ColourBackbone", "ColourOptions", checkpoint="none"))


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
        InputError: see `family_in`; or it holds a combination of several.
    """
    if checkpoint is None:
        return WITHOUT_CHECKPOINT
    found = family_told(checkpoint)
    if found in FAMILIES:
        return found
    if found is not None and JOIN in found:
        raise InputError(f"{checkpoint}: holds a combination, {found}; a checkpoint is a network of one family")
    return "timm" if is_timm_folder(Path(checkpoint)) else OF_OTHER_CHECKPOINTS


def family_told(checkpoint: str) -> str | None:
    """The family that a checkpoint itself tells: by its folder, as a built-in one or by the name of its file.

    Raises:
        FileError: see `family_in`.
    """
    published, name = checkpoint_item(checkpoint), checkpoint.removeprefix(BUILTIN)
    if published is not None:
        return published.family
    if name != checkpoint:
        return next((family.name for family in FAMILIES.values() if name in family.builtin), None)
    of_files = (family.name for family in FAMILIES.values() for each in family.files if fnmatch(Path(name).name, each))
    return next(of_files, None) or family_in(checkpoint)


def is_timm_folder(folder: Path) -> bool:
    """Whether a folder has the ``config.json`` of a network of the timm library."""
    try:
        config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else None
    except OSError:  # as above
        return False
    return isinstance(config, dict) and isinstance(config.get("architecture"), str)
