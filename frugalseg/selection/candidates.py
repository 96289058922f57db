"""What can be compared for a data folder: the features at hand, and how large the network sees the images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from frugalseg.backbones import load_backbone
from frugalseg.backbones.registry import JOIN, WITHOUT_CHECKPOINT
from frugalseg.data.channels import Channels
from frugalseg.features.sizes import Size
from frugalseg.segmenter import Segmenter

LARGER = 1.5
"""Times the side length at which the network at hand sees images by default."""


@dataclass(frozen=True)
class Candidate:
    """A backbone and how images meet it.

    Attributes:
        name: for tables.
        family, checkpoint, backbone: as `load_backbone` takes them.
        settings: fields of `frugalseg.classifier.settings.Settings` that differ from those of the others.
    """

    name: str
    family: str
    checkpoint: str | None = None
    backbone: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def segmenter(self, settings: Mapping[str, Any], device: str, channels: Channels | None = None) -> Segmenter:
        """An unfitted model.

        Args:
            settings: of every candidate; the candidate's own win.
            device: where it runs.
            channels: that the images have; None for RGB.
        """
        backbone = load_backbone(self.family, self.checkpoint, **self.backbone)
        backbone = backbone if channels is None else backbone.seeing(len(channels.channels))
        return Segmenter(backbone, device=device, **{**settings, **self.settings})


def candidates_for(sizes: Sequence[Size], given: Candidate | None = None) -> list[Candidate]:
    """The candidates for images of some sizes, the most promising first.

    Args:
        sizes: (H, W) of the annotated images.
        given: a checkpoint of the user's own, which comes first.
    """
    at_hand = Candidate("ImageNet features", WITHOUT_CHECKPOINT)
    native = load_backbone(WITHOUT_CHECKPOINT, pretrained=False).native_size
    larger = {"network_size": tuple(multiple(side * LARGER, 32) for side in native)}
    found = [at_hand, Candidate("ImageNet features, larger", WITHOUT_CHECKPOINT, settings=larger)]
    if any(height * width > native[0] * native[1] for height, width in sizes):
        found.append(Candidate("ImageNet features, tiled", WITHOUT_CHECKPOINT, settings={"tile": True}))
    found += [Candidate("ImageNet features and filters", f"{WITHOUT_CHECKPOINT}{JOIN}filters")]
    found += [Candidate(name, name) for name in ("filters", "colour")]
    return found if given is None else [given, *found]


def multiple(value: float, of: int) -> int:
    """The nearest positive multiple."""
    return max(1, round(value / of)) * of
