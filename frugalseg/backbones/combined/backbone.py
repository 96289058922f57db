"""The maps of several backbones, of which each sees the image at its own scale."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from frugalseg.backbones.base import Backbone, backbone_class, load_backbone, load_saved_backbone
from frugalseg.backbones.combined.settings import CombinedOptions
from frugalseg.backbones.registry import BACKBONE, JOIN, Checkpoint, combination, family_named
from frugalseg.features.sizes import Size
from frugalseg.features.taps import Place, Tap
from frugalseg.features.windows import Window, fitted_size, interpolated_batch, windows, without_margin
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError

WHOLE = (1024, 1024)
"""Images of up to this area reach the parts as they are, larger ones reduced to it: at their own resolution, the maps
of the filter bank take 480 bytes a pixel."""

AGAIN = "save the backbone again"


class CombinedBackbone(Backbone):
    """Backbones of different families as one.

    Each part sees the image as it does alone: resized to its own size, or as large as the image is if the part works at
    the image's own resolution. Images of more than `WHOLE` pixels are reduced first. In windows (the setting ``tile``),
    all parts see the window; windows have the largest size that a part has been trained on.

    If all parts work at the images' own resolution, so does the combination.

    Args:
        parts: two or three, of different families.

    Attributes:
        parts: as given. Their taps are named ``FAMILY.TAP``.
        options: the name here of each option of a part, by the part's family and the name there.

    Raises:
        InputError: too many parts, two of one family, or one that reads no images.
    """

    def __init__(self, parts: Sequence[Backbone]) -> None:
        super().__init__()
        self.family = combination([part.family for part in parts]).name
        require_readers(self.family, parts)
        self.parts = nn.ModuleList(parts)
        self.options = {own: name for name, own in family_named(self.family).options_class().owners.items()}
        self.taps = tuple(
            Tap(f"{part.family}.{tap.name}", tap.channels, tap.stride, self.named(part, tap.at))
            for part in parts
            for tap in part.taps
        )
        self.stride, self.in_channels = 1, max(part.in_channels for part in parts)
        self.margin = max(part.margin for part in parts)
        self.own_resolution = all(part.own_resolution for part in parts)
        resizing = [part.native_size for part in parts if not part.own_resolution]
        self.native_size = max(resizing or [part.native_size for part in parts], key=lambda size: size[0] * size[1])

    @property
    def each(self) -> list[Backbone]:
        """The parts."""
        return [part for part in self.parts if isinstance(part, Backbone)]

    @property
    def settings(self) -> dict[str, Any]:
        """What the labels depend on beside the weights, for the fingerprint of a model."""
        return self.config()

    @property
    def device(self) -> torch.device:
        """Where the parts are."""
        return self.each[0].device

    def seeing(self, channels: int) -> Backbone:
        """See `Backbone`: the parts that see so many."""
        if channels in (1, self.in_channels):
            return self
        return type(self)([part.seeing(channels) for part in self.each]).to(self.device).eval()

    def named(self, part: Backbone, place: Place) -> Place:
        """A place of a part under the names that its options have here, if they are options of its family."""
        known = [(self.options.get((part.family, name)), value) for name, value in place]
        return tuple((name, value) for name, value in known if name is not None)

    def readable(self) -> dict[str, tuple[Any, ...]]:
        """See `Backbone.readable`: what the parts say."""
        every = {(part.family, name): values for part in self.each for name, values in part.readable().items()}
        return {self.options[own]: values for own, values in every.items() if own in self.options}

    def reading(self, **where: Sequence[Any]) -> Backbone:
        """See `Backbone.reading`."""
        owners = {name: own for own, name in self.options.items()}
        if not where.keys() <= owners.keys():
            return super().reading(**where)
        given: dict[str, dict[str, Sequence[Any]]] = {part.family: {} for part in self.each}
        for name, values in where.items():
            family, own = owners[name]
            given[family][own] = values
        parts = [part.reading(**given[part.family]) if given[part.family] else part for part in self.each]
        return type(self)(parts).to(self.device).eval().requires_grad_(False)

    def windows(self, image: Size, native: Size, *, tile: bool, overlap: float = 0.25) -> list[Window]:
        """See `Backbone.windows`. Windows of an image are all of one size, so that the parts see one scale."""
        if self.own_resolution:
            return super().windows(image, native, tile=tile, overlap=overlap)
        if tile:
            return windows(image, native, 1, tile=True, overlap=overlap, fixed=True, margin=self.margin)
        reduced = image[0] * image[1] > WHOLE[0] * WHOLE[1]
        return [Window(0, 0, image, fitted_size(image, WHOLE, 1) if reduced else image, self.margin)]

    def native_for(self, asked: Size | None) -> Size:
        """See `Backbone.native_for`; parts that see images at sizes of their own leave nothing to ask for."""
        if asked is not None and not self.own_resolution:
            raise InputError(
                f"network size {asked[0]}x{asked[1]}: each part of {self.family} sees images at a size of its own; "
                "leave the size out"
            )
        return super().native_for(asked)

    def map_sizes(self, size: Size) -> list[Size]:
        """See `Backbone.map_sizes`."""
        return [shape for part in self.each for shape in part.map_sizes(size_for(part, size))]

    def maps(self, images: Tensor) -> list[Tensor]:
        """See `Backbone.maps`: part by part."""
        return [values for part in self.each for values in self.maps_of(part, images)]

    def maps_of(self, part: Backbone, images: Tensor) -> list[Tensor]:
        """The maps of one part for images (B, 3, H + 2m, W + 2m) with this backbone's margin m."""
        size = (images.shape[-2] - 2 * self.margin, images.shape[-1] - 2 * self.margin)
        wanted = size_for(part, size)
        if wanted == size:
            return part(without_margin(images, self.margin - part.margin), surrounded=True).maps  # type: ignore[no-any-return]
        resized = interpolated_batch(without_margin(images, self.margin), wanted).clamp(0, 1)
        return part(resized).maps  # type: ignore[no-any-return]

    def config(self) -> dict[str, Any]:
        """``parts``: what each of them says."""
        return {"parts": {part.family: part.config() for part in self.each}}

    def save_weights(self, folder: Path) -> None:
        """Each part in a folder of its own, which is named after its family."""
        for part in self.each:
            part.save_pretrained(folder / part.family)

    @classmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        """See `Backbone.from_saved`."""
        parts = config.pop("parts", None)
        if config or not isinstance(parts, Mapping):
            raise FileError(folder / BACKBONE, "a combination names its parts and nothing else", AGAIN)
        combination(list(parts))  # refuses what is no name of a family before a path is made of it
        found = cls([load_saved_backbone(folder / name) for name in parts])
        if json.loads(json.dumps(found.config())) != {"parts": parts}:
            raise FileError(folder / BACKBONE, "its parts are others than those in its folders", AGAIN)
        return found

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Checkpoint], options: CombinedOptions) -> Self:
        """The parts with their checkpoints, by family, and their options."""
        require_readers(JOIN.join(options.parts), [backbone_class(name) for name in options.parts])
        return cls([load_backbone(name, checkpoint.get(name), **options.of(name)) for name in options.parts])

    def reinitialised(self, seed: int) -> Self:
        """See `Backbone.reinitialised`; parts without weights stay as they are."""
        if next(self.parameters(), None) is None:
            return super().reinitialised(seed)
        parts = [part if next(part.parameters(), None) is None else part.reinitialised(seed) for part in self.each]
        return type(self)(parts).eval().requires_grad_(False)


def require_readers(whole: str, parts: Iterable[Backbone | type[Backbone]]) -> None:
    """Raise `InputError` where a part of the combination named `whole` reads no images."""
    for part in parts:
        if not part.reads_images:
            raise InputError(
                f"{whole}: the parts of a combination look at one image, and a {part.family} backbone reads none; "
                "leave it out, or use it alone"
            )


def size_for(part: Backbone, size: Size) -> Size:
    """The (h, w) at which a part sees images of (H, W)."""
    if part.own_resolution:
        return size
    return part.fixed_size or fitted_size(size, part.native_size, part.stride)
