"""The student's network: any of segmentation-models-pytorch, by name, from scratch, with its normalisation inside."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from frugalseg.support.errors import InputError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, as published."""

UNETS = ("unet", "unetplusplus", "manet")
DECODER = (256, 128, 64, 32, 16)
"""Decoder widths of these, deepest first; a shallower one takes the last of them."""

IMPOSSIBLE = (AssertionError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What libraries raise where parts do not go together, or do not take images of a size."""

COARSEST = 6
"""A U-Net is as deep as leaves its deepest maps this many pixels a side."""


@dataclass(frozen=True)
class NetworkSpec:
    """What a network is built from.

    Attributes:
        architecture, encoder: names in segmentation-models-pytorch.
        depth: levels of a U-Net's encoder; None: as the library has it, and of all other architectures.
        classes: K.
    """

    architecture: str
    encoder: str
    depth: int | None
    classes: int

    def __post_init__(self) -> None:
        if self.depth is not None and not 3 <= self.depth <= 5:
            raise InputError(f"depth is {self.depth}; give 3, 4 or 5")


class StudentNetwork(nn.Module):
    """Images in [0, 1] to logits.

    Args:
        spec: of the network.

    Attributes:
        stride: what both sides of an image must be multiples of.

    Raises:
        InputError: a name is unknown (the nearest ones are listed), or encoder and architecture do not go together.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.body = build(spec)
        self.stride = int(self.body.encoder.output_stride)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, h, w) float32 in [0, 1] -> (B, K, h, w) logits; both sides are multiples of `stride`."""
        logits: Tensor = self.body((images - self.mean) / self.std)
        return logits


def new_network(spec: NetworkSpec, seed: int) -> StudentNetwork:
    """A network with the weights of a seed; the process's own random numbers are left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return StudentNetwork(spec)


def build(spec: NetworkSpec) -> Any:
    """The library's network, with random weights and no idle parts; see `StudentNetwork`."""
    import segmentation_models_pytorch as smp

    architectures = list(smp.MODEL_ARCHITECTURES_MAPPING)
    require_known("architecture", spec.architecture, architectures, shown=architectures)
    require_encoder(spec.encoder)
    if spec.depth is not None and spec.architecture not in UNETS:
        raise InputError(f"{spec.architecture} has no choice of depth, {', '.join(UNETS)} have; leave it out")
    options: dict[str, Any] = {}
    if spec.depth is not None:
        options = {"encoder_depth": spec.depth, "decoder_channels": DECODER[-spec.depth :]}
    try:
        body = smp.create_model(spec.architecture, spec.encoder, encoder_weights=None, classes=spec.classes, **options)
        return body if spec.depth is None else without_idle_parts(body)
    except IMPOSSIBLE as error:
        raise InputError(
            f"{spec.architecture} with encoder {spec.encoder} is not possible ({reason_of(error)}); choose another"
        ) from None


def reason_of(error: Exception) -> str:
    """What an exception says, on one line."""
    return " ".join(str(error).split())[:150] or type(error).__name__


@torch.no_grad()
def require_size(network: StudentNetwork, size: tuple[int, int]) -> None:
    """Refuse images of (h, w) that the network cannot segment, such as ones too small for its deepest level."""
    spec, training = network.spec, network.training
    try:
        found = network.eval()(torch.zeros(1, 3, *size)).shape[-2:]
        reason = "" if found == size else f"it answers with {found[0]}x{found[1]}"
    except IMPOSSIBLE as error:
        reason = reason_of(error)
    network.train(training)
    if reason:
        raise InputError(
            f"{spec.architecture} with encoder {spec.encoder} cannot segment images of {size[0]}x{size[1]} ({reason}); "
            "give another size or architecture"
        )


def without_idle_parts(body: Any) -> Any:
    """`body` without the levels of its encoder that a shallow depth leaves unused: most of the weights of a ResNet."""
    with torch.inference_mode(False), torch.enable_grad():
        body.eval()(torch.zeros(1, 3, 64, 64)).sum().backward()
    idle = tuple(name for name, module in body.named_modules() if is_idle(module))
    for name in idle:
        parent, _, own = name.rpartition(".")
        if parent not in idle:
            setattr(body.get_submodule(parent), own, nn.Identity())
    body.zero_grad()
    return body.train()


def is_idle(module: nn.Module) -> bool:
    """Whether a module has weights, and none of them got a gradient."""
    weights = list(module.parameters())
    return bool(weights) and all(weight.grad is None for weight in weights)


def require_encoder(name: str) -> None:
    """Refuse an encoder that segmentation-models-pytorch does not know; ``tu-NAME`` are those of timm."""
    from segmentation_models_pytorch.encoders import get_encoder_names

    known = list(get_encoder_names())
    if name.startswith("tu-"):
        import timm

        known = [f"tu-{other}" for other in timm.list_models()]
    require_known("encoder", name, known, shown=["resnet18", "resnet50", "mobilenet_v2", "tu-NAME for those of timm"])


def require_known(what: str, name: str, known: list[str], shown: list[str]) -> None:
    """Refuse an unknown name: the nearest known ones are named, or `shown` where none is near."""
    if name not in known:
        near = get_close_matches(name, known, n=4, cutoff=0.6)
        advice = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(shown)}"
        raise InputError(f"no {what} {name!r} in segmentation-models-pytorch; {advice}")


def chosen_depth(architecture: str, size: tuple[int, int]) -> int | None:
    """The depth for training images of `size`: of a U-Net 3 to 5, of others the library's own (None)."""
    if architecture not in UNETS:
        return None
    deepest = max((depth for depth in (3, 4, 5) if min(size) / 2**depth >= COARSEST), default=3)
    return deepest
