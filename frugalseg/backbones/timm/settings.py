"""What a user sets: which network of the library, with which weights, read where."""

from dataclasses import dataclass

from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, option
from frugalseg.support.precision import Precision, check_precision
from frugalseg.support.ranges import AMOUNT


@dataclass(frozen=True)
class TimmOptions:
    """What `load_backbone` takes for ``timm``.

    Attributes:
        model: name of a timm network, with or without the tag of its weights (``vit_small_patch14_reg4_dinov2`` or
            ``vit_small_patch14_reg4_dinov2.lvd142m``), or ``hf-hub:OWNER/NAME``. Not needed if the checkpoint is a
            folder, which holds the name, nor without a checkpoint: then it is EfficientNet-Lite2.
        pretrained: without a checkpoint, fetch the published weights. False: random weights, always the same ones.
        layers: which of the network's feature maps are read: the blocks of a plain transformer, or the levels of a
            pyramid. 0 is the shallowest. None: see `choose_layers`.
        precision: number format of the network's weights and activations.
    """

    model: str | None = option(
        None,
        "The name of the network, such as vit_small_patch14_reg4_dinov2 or hf-hub:OWNER/NAME. "
        "By default EfficientNet-Lite2, which needs no download.",
    )
    pretrained: bool = option(True, "If no checkpoint is given, use the published weights or random ones.")
    layers: tuple[int, ...] | None = option(
        None,
        "The transformer blocks or pyramid levels to read. 0 is the shallowest. By default, fit reads the last 12 "
        "whose values lie at least 4 pixels apart.",
        within=AMOUNT,
    )
    precision: Precision = option("fp32", "The number format of the network.")

    def __post_init__(self) -> None:
        check_ranges(self)
        layers = self.layers
        if layers is not None and (not layers or len(set(layers)) < len(layers)):
            raise InputError(f"layers {', '.join(map(str, layers)) or 'empty'}: give one or more, from 0, each once")
        check_precision(self.precision)
