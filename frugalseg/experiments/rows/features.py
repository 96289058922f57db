"""Rows of kind ``features``: a pixel classifier on the features of a backbone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from frugalseg.backbones.builtin import builtin_path
from frugalseg.backbones.registry import family_named
from frugalseg.classifier.protocol import TrainingProtocol, training_protocol
from frugalseg.data.catalogue.names import local_checkpoint
from frugalseg.experiments.rows.base import Context, Method, Row
from frugalseg.experiments.validation import checked
from frugalseg.support import digests
from frugalseg.support.errors import InputError
from frugalseg.support.hub import BUILTIN


class FeatureRow(Row):
    """A `Segmenter` on a backbone's features.

    Attributes:
        backbone: family, or several joined with ``+``.
        checkpoint: as `load_backbone` takes it; ``builtin:toy_ddpm`` is the network shipped with the package. Of
            several families: the checkpoint of the one that needs it, or ``ddpm=PATH,timm=PATH``.
        random_weights: replace the network's weights by random ones, drawn anew for each run.
        options: fields of the family's options, such as ``timesteps`` and ``blocks``.
        segmenter: fields of `frugalseg.segmenter.Settings`; the seed is the run's. ``protocol`` may be a name, or keys
            of `frugalseg.classifier.protocol.TrainingProtocol` that differ from the one named by ``base``.
            ``smoothing`` is 0 where it is not given: methods are compared as the paper compares them.
    """

    takes_channels: ClassVar[bool] = True
    kind: Literal["features"]
    backbone: str = "ddpm"
    checkpoint: str | None = None
    random_weights: bool = False
    options: dict[str, Any] = Field(default_factory=dict)
    segmenter: dict[str, Any] = Field(default_factory=dict)

    def check(self, rows: Sequence[Row]) -> None:
        """See `Row`."""
        self.backbone_options(0)
        self.settings(0)

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
        given = family_named(self.backbone).checkpoints(self.checkpoint)
        found = {name: weights_digest(str(checkpoint)) for name, checkpoint in given.items()}
        return {"weights": digests.values(found) if len(found) > 1 else "".join(found.values())}

    def backbone_options(self, seed: int) -> dict[str, Any]:
        """The options that the row gives, checked. A diffusion model draws its noise with the run's seed."""
        options_class, given = family_named(self.backbone).options_class(), dict(self.options)
        if any(field.name == "noise_seed" for field in fields(options_class)):
            given.setdefault("noise_seed", seed)
        options = checked(options_class, given, "options")
        return {name: getattr(options, name) for name in given}

    def settings(self, seed: int) -> dict[str, Any]:
        """The settings of the segmenter that the row gives, checked, and the seed."""
        from frugalseg.segmenter import Settings

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
    return digests.contents(sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path])
