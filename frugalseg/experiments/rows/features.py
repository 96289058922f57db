"""Rows of kind ``features``: a pixel classifier on the features of a backbone."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from frugalseg.backbones.builtin import builtin_path
from frugalseg.backbones.registry import Family, families_in, family_named
from frugalseg.classifier.protocol import TrainingProtocol, training_protocol
from frugalseg.classifier.settings import Settings
from frugalseg.data.catalogue.names import local_checkpoint
from frugalseg.experiments.obstacles import Obstacle, checkpoint_obstacle, unnamed_obstacle
from frugalseg.experiments.rows.base import Context, Method, Row
from frugalseg.experiments.validation import checked, refuse_seed
from frugalseg.support import digests
from frugalseg.support.errors import InputError
from frugalseg.support.hub import BUILTIN


class FeatureRow(Row):
    """A `Segmenter` on a backbone's features.

    Attributes:
        backbone: family, or several joined with ``+``.
        checkpoint: as `load_backbone` takes it; ``builtin:toy_ddpm`` is the network shipped with the package. Of
            several families: the checkpoint of the one that needs it, or ``ddpm=PATH,timm=PATH``.
        needs: which network the row needs, in words, where it names no checkpoint. The row is left out until the
            command line gives one.
        random_weights: replace the network's weights by random ones, drawn anew for each run.
        options: fields of the family's options, such as ``timesteps`` and ``blocks``.
        segmenter: fields of `frugalseg.classifier.settings.Settings`; the seed is the run's. ``protocol`` may be a
            name, or keys of `frugalseg.classifier.protocol.TrainingProtocol` that differ from the one that ``base``
            names.
            ``smoothing`` is 0 where it is not given: methods are compared as the paper compares them.
    """

    takes_channels: ClassVar[bool] = True
    kind: Literal["features"]
    backbone: str = "ddpm"
    checkpoint: str | None = None
    needs: str = ""
    random_weights: bool = False
    options: dict[str, Any] = Field(default_factory=dict)
    segmenter: dict[str, Any] = Field(default_factory=dict)

    def check(self, rows: Sequence[Row]) -> None:
        """See `Row`."""
        self.backbone_options(0)
        self.settings(0)
        self.checkpoints()
        if self.needs and self.checkpoint is None and self.without_checkpoint() is None:
            raise InputError(f"needs: a {self.backbone} backbone needs no checkpoint; leave the key out")

    def checkpoints(self) -> dict[str, str]:
        """See `Row`."""
        given = family_named(self.backbone).checkpoints(self.checkpoint)
        return {name: str(checkpoint) for name, checkpoint in given.items()}

    def without_checkpoint(self) -> Family | None:
        """The family of the row that needs a checkpoint and has none."""
        given = self.checkpoints()
        parts = families_in(family_named(self.backbone))
        return next((each for each in parts if each.checkpoint == "needed" and each.name not in given), None)

    def obstacle(self, rows: Sequence[Row], networks: Container[str]) -> Obstacle | None:
        """See `Row`."""
        lacking = self.without_checkpoint()
        if lacking is not None and not self.needs:
            raise InputError(
                f"the {lacking.name} backbone needs a checkpoint: name one, or say which with the key needs, and give "
                f"it with --checkpoint {lacking.name}=PLACE"
            )
        if lacking is not None:
            return unnamed_obstacle(lacking, self.needs)
        found = (checkpoint_obstacle(place, name, networks) for name, place in self.checkpoints().items())
        return next((each for each in found if each is not None), None)

    def method(self, seed: int, context: Context) -> Method:
        """A `Segmenter` with a backbone of its own."""
        from frugalseg.backbones import load_backbone
        from frugalseg.segmenter import Segmenter

        backbone = load_backbone(self.backbone, self.checkpoint, **self.backbone_options(seed))
        chosen = context.data.choice()
        if chosen is not None:
            backbone = backbone.seeing(len(chosen.channels))
        if self.random_weights:
            backbone = backbone.reinitialised(seed)
        return Segmenter(backbone, device=context.device, **self.settings(seed))

    def dependencies(self, context: Context) -> dict[str, Any]:
        """See `Row`."""
        found = {name: weights_digest(checkpoint) for name, checkpoint in self.checkpoints().items()}
        return {"weights": digests.values(found) if len(found) > 1 else "".join(found.values())}

    def takes_option(self, name: str) -> bool:
        """Whether the family has an option of this name."""
        return any(field.name == name for field in fields(family_named(self.backbone).options_class()))

    @property
    def passes(self) -> int:
        """How often an image goes through the network; the filter bank and raw colors count as one."""
        options: Any = family_named(self.backbone).options_class()(**self.backbone_options(0))
        return int(getattr(options, "passes", 1))

    def backbone_options(self, seed: int) -> dict[str, Any]:
        """The options that the row gives, checked. A diffusion model draws its noise with the run's seed."""
        options_class, given = family_named(self.backbone).options_class(), dict(self.options)
        if self.takes_option("noise_seed"):
            given.setdefault("noise_seed", seed)
        options = checked(options_class, given, "options")
        return {name: getattr(options, name) for name in given}

    def settings(self, seed: int) -> dict[str, Any]:
        """The settings of the segmenter that the row gives, checked, and the seed."""
        refuse_seed(self.segmenter, "segmenter")
        given = {"seed": seed, "smoothing": 0.0, **self.segmenter}
        if "protocol" in given:
            given["protocol"] = protocol_of(given["protocol"])
        settings = checked(Settings, given, "segmenter")
        return {name: getattr(settings, name) for name in given}


def protocol_of(value: Any) -> TrainingProtocol:
    """The protocol with a name, or a protocol with some values changed: keys, and ``base`` for the others."""
    if isinstance(value, str):
        return training_protocol(value)
    if not isinstance(value, Mapping):
        raise InputError(f"segmenter.protocol: {value!r} is neither a name nor keys with values")
    own = {key: changed for key, changed in value.items() if key != "base"}
    base = asdict(training_protocol(str(value.get("base", "default"))))
    return checked(TrainingProtocol, {**base, "name": "varied", **own}, "segmenter.protocol")


def weights_digest(checkpoint: str) -> str:
    """The digest of a checkpoint's files, or its name if it is not on this machine (a Hub id)."""
    path = builtin_path(checkpoint) if checkpoint.startswith(BUILTIN) else Path(local_checkpoint(checkpoint))
    if not path.exists():
        return checkpoint
    return digests.folder(path)
