"""The layout of rosinality's stylegan2-pytorch, which the generators of e4e have as well."""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from frugalseg.backbones.stylegan2.checkpoints.networks import Source, generator_of
from frugalseg.backbones.stylegan2.network.generator import Generator
from frugalseg.backbones.weights import foreign, require_names, tensors_in
from frugalseg.support.files import FileError
from frugalseg.support.text import brief
from frugalseg.training.stream import seeded_noise

SIGNS = ("style.1.weight", "input.input", "conv1.conv.weight", "conv1.conv.modulation.weight")
"""Names of tensors that such a generator has."""
SAMPLES = 4096
"""Latents over which the mean is taken where a file does not bring it; what that code takes by default."""
FILTER_GAIN = 4
"""Their filters have the gain of an upsampling in them."""
AVERAGE = "mapping.w_avg"
GIVEN = "latent_avg"
"""Where files have the mean of the latents, beside the tensors."""


def rosinality_generator(tensors: Mapping[str, Tensor], source: Source, mean: Tensor | None = None) -> Generator:
    """The generator whose tensors these are.

    Args:
        tensors: by the names of that layout, without a prefix.
        source: where they are from, for errors.
        mean: of the latents w, (W,) or (N, W); None: taken over `SAMPLES` of them, always the same.

    Returns:
        The generator, in float32 on the CPU; nothing in it is cut off.

    Raises:
        FileError: they are not those of such a network, or do not fit together.
    """
    found = from_rosinality(tensors, source)
    width = found["synthesis.b4.conv1.affine.weight"].shape[1]
    given = torch.zeros(width) if mean is None else mean.reshape(-1, mean.shape[-1] if mean.ndim else 1).mean(dim=0)
    generator = generator_of({**found, AVERAGE: given}, source, clamp=None)
    if mean is None:
        with torch.inference_mode():
            w = generator.mapping.latents(seeded_noise([0], (SAMPLES, generator.shape.z_width))[0])
        generator.mapping.mean.copy_(w.mean(dim=0))
    return generator


def given_mean(value: object, source: Source) -> Tensor | None:
    """What a file has at `GIVEN`, looked at as strictly as all other tensors; None where it has nothing.

    Raises:
        FileError: no mean of latents, or one that claims more values than the file can hold.
    """
    if value is None:
        return None
    if not isinstance(value, Tensor) or value.ndim not in (1, 2) or not value.is_floating_point() or 0 in value.shape:
        found = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise FileError(source, f"{GIVEN} is {brief(found, 60)}, not a mean code", "is the file damaged?")
    return tensors_in({GIVEN: value}, source)[GIVEN]


def from_rosinality(tensors: Mapping[str, Tensor], source: Source) -> dict[str, Tensor]:
    """The tensors of a generator by our names; the mean of the latents is not among them.

    The kernels need no change: this layout, too, applies those of upsampling convolutions by a transposed one.

    Raises:
        FileError: they are not those of such a network.
    """
    if any(name not in tensors for name in SIGNS):
        raise foreign(source, "not a generator in rosinality's layout", SIGNS, tensors)
    names = {name: our_name(name) for name in tensors}
    known = [name for name, own in names.items() if own is not None]
    require_names(known, tensors, source)
    return {own: _as_ours(tensors[name], own, source) for name, own in names.items() if own is not None}


def our_name(name: str) -> str | None:
    """Our name of a tensor; None where that layout has no tensor of this name."""
    for pattern, ours in PATTERNS.items():
        found = re.fullmatch(pattern, name)
        if found:
            return ours(*found.groups())
    return None


def _styled(number: int) -> str:
    """The convolution number `number`, from 0 at 4 x 4."""
    return f"synthesis.b{4 << (number + 1) // 2}.conv{(number + 1) % 2}"


def _image(number: int) -> str:
    """The image number `number`, from 0 at 4 x 4."""
    return f"synthesis.b{4 << number}"


PARTS = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "conv.blur.kernel": "resample_filter",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
}
"""Of a convolution or an image, and our names."""
PART = "|".join(re.escape(part) for part in PARTS)
NUMBER = r"(\d{1,2})"
PATTERNS: dict[str, Callable[..., str]] = {
    rf"style\.{NUMBER}\.(weight|bias)": lambda n, part: f"mapping.fc{int(n) - 1}.{part}",
    r"input\.input": lambda: "synthesis.b4.const",
    rf"conv1\.({PART})": lambda part: f"{_styled(0)}.{PARTS[part]}",
    rf"convs\.{NUMBER}\.({PART})": lambda n, part: f"{_styled(int(n) + 1)}.{PARTS[part]}",
    rf"noises\.noise_{NUMBER}": lambda n: f"{_styled(int(n))}.noise_const",
    rf"to_rgb1\.({PART})": lambda part: f"{_image(0)}.torgb.{PARTS[part]}",
    rf"to_rgbs\.{NUMBER}\.({PART})": lambda n, part: f"{_image(int(n) + 1)}.torgb.{PARTS[part]}",
    rf"to_rgbs\.{NUMBER}\.upsample\.kernel": lambda n: f"{_image(int(n) + 1)}.resample_filter",
}
"""Names of that layout, and what makes ours of their parts."""


def _as_ours(tensor: Tensor, name: str, source: Source) -> Tensor:
    """A tensor without the axes of length 1 that only that layout has, and filters without their gain."""
    axes = _axes(name)
    found = tensor
    while found.ndim > axes and 1 in (found.shape[0], found.shape[-1]):
        found = found.squeeze(0 if found.shape[0] == 1 else -1)
    if found.ndim != axes:
        raise FileError(source, f"{name} has the shape {tuple(tensor.shape)}", "is it damaged?")
    return found / FILTER_GAIN if name.endswith("resample_filter") else found


def _axes(name: str) -> int:
    """Of a tensor of ours."""
    part = name.rsplit(".", 1)[1]
    if part == "weight":
        return 2 if ".affine." in name or name.startswith("mapping.") else 4
    return {"const": 3, "bias": 1, "noise_strength": 0}.get(part, 2)
