"""Published e4e files: a dictionary of ``state_dict``, ``latent_avg`` and ``opts``, the settings of the training."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from frugalseg.backbones.stylegan2.checkpoints.rosinality import GIVEN, given_mean
from frugalseg.backbones.stylegan2.encoder.shape import halvings_of
from frugalseg.backbones.weights import foreign, read_content, tensors_in
from frugalseg.support.files import FileError
from frugalseg.support.text import brief

ENCODER, DECODER, AVERAGE = "encoder.", "decoder.", GIVEN
NEEDED = ("encoder.input_layer.0.weight", "encoder.body.0.res_layer.1.weight", "encoder.latlayer1.weight")
NAME = "Encoder4Editing"
"""The class of the encoder, as the settings call it. Those of pSp have the same tensors and other codes."""
STRIDE = 16
"""Of the published encoders."""
CARS = 3 / 4
"""Height of what an encoder sees that was trained on cars, as a share of the width; all others see squares."""


@dataclass(frozen=True)
class Published:
    """What a file holds.

    Attributes:
        encoder: its tensors, by their names without ``encoder.``.
        decoder: those of the generator, in rosinality's layout; empty where the file has none.
        average: (N, W) or (W,): what is added to the codes; None where the file does not say it.
        from_average: whether something has to be added.
        image_size: (height, width) of the images that the encoder takes.
    """

    encoder: Mapping[str, Tensor]
    decoder: Mapping[str, Tensor]
    average: Tensor | None
    from_average: bool
    image_size: tuple[int, int]


def read_published(path: str | Path) -> Published:
    """The parts of a published file, nothing of it executed.

    Raises:
        FileError: no such file, a damaged one, or the checkpoint of another network.
    """
    path = Path(path)
    content = read_content(path)
    tensors = tensors_in(content, path)
    if any(name not in tensors for name in NEEDED):
        raise foreign(path, "not an e4e checkpoint", NEEDED, tensors)
    settings = _settings(content)
    _require_e4e(settings, tensors, path)
    beside = content.get(AVERAGE) if isinstance(content, Mapping) else None
    return Published(
        encoder=part(tensors, ENCODER),
        decoder=part(tensors, DECODER),
        average=given_mean(tensors.get(AVERAGE, beside), path),
        from_average=settings.get("start_from_latent_avg") is not False,
        image_size=_image_size(tensors, cars=_is_of_cars(settings)),
    )


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _image_size(tensors: Mapping[str, Tensor], cars: bool) -> tuple[int, int]:
    """(height, width) of what the encoder sees: its heads halve the deepest map until one place is left."""
    width = STRIDE << halvings_of(part(tensors, ENCODER))
    return round(width * CARS) if cars else width, width


def _is_of_cars(settings: Mapping[str, Any]) -> bool:
    """Whether the encoder was trained on cars."""
    images = settings.get("dataset_type")
    return isinstance(images, str) and "cars" in images


def _settings(content: object) -> Mapping[str, Any]:
    """What ``opts`` says, a dictionary or an `argparse.Namespace`; nothing where it is missing."""
    said = content.get("opts") if isinstance(content, Mapping) else None
    if isinstance(said, argparse.Namespace):
        said = vars(said)
    return said if isinstance(said, Mapping) else {}


def _require_e4e(settings: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise `FileError` for a relative of e4e whose tensors have the same names."""
    kind = settings.get("encoder_type", NAME)
    if kind != NAME:
        said = brief(kind, 40) if isinstance(kind, str) else type(kind).__name__  # others may be endless to write
        raise FileError(path, f"an encoder of the type {said}, not {NAME}", "give an e4e checkpoint")
    channels = tensors[NEEDED[0]].shape[1:2]
    if tuple(channels) != (3,):
        what = f"an encoder of images with {', '.join(map(str, channels)) or 'no'} channels (ReStyle has 6)"
        raise FileError(path, what, "give an e4e checkpoint, which has 3")
