"""What a call of ``fit`` asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugalseg.backbones import load_backbone
from frugalseg.backbones.registry import Checkpoint, family_named
from frugalseg.data.catalogue.names import local_checkpoint
from frugalseg.data.channels import ChannelChoice
from frugalseg.segmenter import Segmenter
from frugalseg.selection.settings import AUTO
from frugalseg.support.text import assigned


@dataclass(frozen=True)
class FitRequest:
    """A call of `fit`.

    Attributes:
        data: the data folder.
        family: a backbone family, or ``auto``: see `frugalseg.jobs.choose`.
        checkpoint: of the backbone, as its family defines; of several families, see `Family.checkpoints`.
        backbone: options of the backbone; with ``auto`` those of `frugalseg.selection.settings.ChoiceSettings`.
        settings: fields of `frugalseg.segmenter.Settings`.
        device: where to run.
        folds: also estimate by cross-validation how good the model is, in so many folds; None does not.
        channels: which channels of the images the model sees; None reads them as RGB.
        choose: choose the places at which the backbone is read, see `frugalseg.selection.forward`.
    """

    data: Path
    family: str
    checkpoint: str | None
    backbone: Mapping[str, Any]
    settings: Mapping[str, Any]
    device: str = "cpu"
    folds: int | None = None
    channels: ChannelChoice | None = None
    choose: bool = False

    def __str__(self) -> str:
        """What a log says of it: the network, the images, and the options that were given."""
        network = self.family + (f" ({self.checkpoint})" if self.checkpoint is not None else "")
        further = {"folds": self.folds, "channels": self.channels, "choose": self.choose or None}
        return f"{network} on {self.data}, {self.device}; {assigned({**self.backbone, **self.settings, **further})}"

    @property
    def places(self) -> list[Path]:
        """The files and folders of the checkpoints that are on this machine."""
        given: dict[str, Checkpoint] = {AUTO: self.checkpoint} if self.checkpoint is not None else {}
        if self.family != AUTO:
            given = family_named(self.family).checkpoints(self.checkpoint)
        return [place for each in given.values() if (place := Path(local_checkpoint(each))).exists()]


def new_segmenter(request: FitRequest) -> Segmenter:
    """The model of a request, not fitted yet."""
    backbone = load_backbone(request.family, request.checkpoint, **request.backbone)
    if request.channels is not None:
        backbone = backbone.seeing(len(request.channels.channels))
    return Segmenter(backbone, device=request.device, **request.settings)
