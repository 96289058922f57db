"""Generators and discriminators from tensors with the names of stylegan2-ada-pytorch; all sizes are read off them."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from frugalseg.backbones.stylegan2.network.discriminator import Discriminator
from frugalseg.backbones.stylegan2.network.generator import Generator
from frugalseg.backbones.stylegan2.network.shape import CLAMP, SMALLEST, DiscriminatorShape, GeneratorShape
from frugalseg.backbones.weights import foreign, network_with
from frugalseg.support.files import FileError
from frugalseg.support.text import count

Source = str | Path
FILTER = "resample_filter"
SIDES = [SMALLEST << level for level in range(11)]
"""Pixels along a side of images that there may be: 4, 8 and so on up to 4096."""
OF_GENERATOR = ("mapping.w_avg", "mapping.fc0.weight", "synthesis.b4.const", "synthesis.b4.conv1.weight")
OF_DISCRIMINATOR = ("b4.conv.weight", "b4.fc.weight", "b4.out.weight", "b8.conv1.weight")
CONDITIONAL = "a network for several classes of images; only those without classes are read"


def generator_of(tensors: Mapping[str, Tensor], source: Source, clamp: float | None = CLAMP) -> Generator:
    """The generator whose tensors these are.

    Args:
        tensors: with the names ``mapping.*`` and ``synthesis.*``.
        source: where they are from, for errors.
        clamp: see `GeneratorShape`; the tensors do not tell.

    Raises:
        FileError: they are not those of such a network, or do not fit together.
    """
    shape = generator_shape(tensors, source, clamp)
    return network_with(lambda: Generator(shape), _used(tensors), source)


def discriminator_of(
    tensors: Mapping[str, Tensor], source: Source, group: int = 4, clamp: float | None = CLAMP
) -> Discriminator:
    """The discriminator whose tensors these are; see `generator_of`.

    Args:
        tensors: with the names ``b4.*``, ``b8.*`` and so on.
        source: where they are from, for errors.
        group, clamp: see `DiscriminatorShape`; the tensors do not tell.
    """
    shape = discriminator_shape(tensors, source, group, clamp)
    return network_with(lambda: Discriminator(shape), _used(tensors), source)


def generator_shape(tensors: Mapping[str, Tensor], source: Source, clamp: float | None = CLAMP) -> GeneratorShape:
    """The sizes of a generator; see `generator_of`."""
    if "mapping.embed.weight" in tensors:
        raise FileError(source, CONDITIONAL, "give an unconditional one")
    if any(name not in tensors for name in OF_GENERATOR):
        raise foreign(source, "not the generator of a StyleGAN2", OF_GENERATOR, tensors)
    layers = len([name for name in tensors if re.fullmatch(r"mapping\.fc\d{1,3}\.weight", name)])
    ends = [tensors.get(f"mapping.fc{number}.weight") for number in (0, layers - 1)]
    (first, z_width), (w_width, _) = (_sides(weight, 2, source) for weight in ends)
    return GeneratorShape(
        channels=_channels(tensors, "synthesis.b{}.conv1.weight", 0, SIDES, source),
        z_width=z_width,
        w_width=w_width,
        mapping_layers=layers,
        mapping_width=first if layers > 1 else w_width,
        clamp=clamp,
    )


def discriminator_shape(
    tensors: Mapping[str, Tensor], source: Source, group: int = 4, clamp: float | None = CLAMP
) -> DiscriminatorShape:
    """The sizes of a discriminator; see `discriminator_of`."""
    if "mapping.fc0.weight" in tensors:
        raise FileError(source, CONDITIONAL, "give an unconditional one")
    if any(name not in tensors for name in OF_DISCRIMINATOR):
        raise foreign(source, "not the discriminator of a StyleGAN2", OF_DISCRIMINATOR, tensors)
    width, widened = _sides(tensors["b4.conv.weight"], 4, source)[:2]
    if widened <= width:
        raise FileError(source, f"{count(widened, 'channel')} come into b4.conv, of {width}", "is it damaged?")
    inputs = _channels(tensors, "b{}.conv1.weight", 1, SIDES[1:], source)
    return DiscriminatorShape((width, *inputs), group=group, statistics=widened - width, clamp=clamp)


def _channels(tensors: Mapping[str, Tensor], name: str, axis: int, sides: list[int], source: Source) -> tuple[int, ...]:
    """The channels of a layer at each of `sides` pixels, up to the last that the checkpoint has."""
    there = [tensors.get(name.format(side)) for side in sides]
    last = max(number for number, weight in enumerate(there) if weight is not None)
    return tuple(_sides(weight, 4, source)[axis] for weight in there[: last + 1])


def _sides(weight: Tensor | None, ndim: int, source: Source) -> tuple[int, ...]:
    """The shape of a weight, which must have so many axes."""
    if weight is None or weight.ndim != ndim or 0 in weight.shape:
        found = "missing" if weight is None else f"of shape {tuple(weight.shape)}"
        raise FileError(source, f"a weight of {ndim} axes is {found}", "is it damaged, or of another network?")
    return tuple(weight.shape)


def _used(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the filters of layers that neither double nor halve the sides, which the published files have as well."""
    return {name: value for name, value in tensors.items() if not name.endswith(FILTER) or _resamples(name)}


def _resamples(name: str) -> bool:
    """Whether the filter of this name belongs to a layer that uses it."""
    synthesis = re.fullmatch(rf"synthesis\.b(\d+)(\.conv0)?\.{FILTER}", name)
    discriminator = re.fullmatch(rf"b\d+\.(conv1|skip)\.{FILTER}", name)
    return bool(discriminator) or (synthesis is not None and synthesis[1] != str(SMALLEST))
