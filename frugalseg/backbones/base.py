"""What every backbone promises: images in, feature maps out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from frugalseg.backbones.generator import ImageGenerator
from frugalseg.backbones.registry import (
    BACKBONE,
    WITHOUT_CHECKPOINT,
    Checkpoint,
    Combination,
    family_named,
    require_generating,
)
from frugalseg.data.catalogue.items import checkpoint_item
from frugalseg.data.catalogue.names import local_checkpoint
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.sizes import Size, nearest_size
from frugalseg.features.taps import Tap
from frugalseg.features.windows import Window, mirrored, windows
from frugalseg.support import digests
from frugalseg.support.checked import from_arguments
from frugalseg.support.damage import refused_where_damaged
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError, read_json, write_json
from frugalseg.support.folders import whole_folder
from frugalseg.support.marks import BACKBONE as SAVED
from frugalseg.support.processor import slow_in_bf16, warn_of_slow_bf16
from frugalseg.support.text import brief, kind_and_reason
from frugalseg.support.torch_defaults import with_usual_defaults

REMEDY = "is it damaged, or of another family?"


class Backbone(nn.Module, ABC):
    """Turns images into feature maps; never trained by frugalseg's ``fit``.

    Attributes:
        family: name in the registry.
        taps: what is read, in the order of the feature vector; known before anything runs.
        stride: the sides of an input image must be multiples of it.
        native_size: (height, width) that the network was trained on, in pixels; with `own_resolution` that of the
            windows.
        fixed_size: the only (height, width) that the network takes, equal to `native_size`; None where it takes any
            multiples of `stride`.
        margin: pixels around an image on which its maps depend, and which `maps` is given as well.
        in_channels: of the images, C; 3 are red, green and blue.
        own_resolution: whether images are seen as large as they are, through windows of `native_size` that share
            nothing but their margins. The stride must then be 1, and the maps at a pixel must depend on nothing beyond
            `margin`, or the windows' borders would show.
        optimises: whether `maps` computes gradients, for example to search for the latent of an image. Otherwise it
            runs under `torch.inference_mode`.
        reads_images: whether `maps` can look at an image. A family that cannot has no method `maps`: its only maps are
            those of the images that its generator draws, see `ImageGenerator.maps_of`.
        reader: of a family that reads no images, the name of the one that reads them with the same network, if any.
        passes: the option of `readable` of which each value takes a pass of the network of its own, if there is one:
            reading these values one after another costs no more than reading them together.
    """

    family: str
    optimises: ClassVar[bool] = False
    passes: ClassVar[str | None] = None
    reads_images: ClassVar[bool] = True
    reader: ClassVar[str] = ""
    own_resolution: bool = False
    taps: tuple[Tap, ...]
    stride: int
    native_size: tuple[int, int]
    fixed_size: tuple[int, int] | None = None
    margin: int = 0
    in_channels: int = 3

    @property
    def dim(self) -> int:
        """Length of a pixel's feature vector."""
        return sum(tap.channels for tap in self.taps)

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    def maps(self, images: Tensor) -> list[Tensor]:
        """Features of a batch; every family that reads images has this method.

        Args:
            images: (B, C, H, W) float32 in [0, 1], on `device`; (H, W) is `fixed_size`, or multiples of `stride`.
                With a `margin` m they are (B, C, H + 2m, W + 2m).

        Returns:
            One (B, channels, h, w) tensor for each of `taps`; (h, w) is that of `map_sizes`.
        """
        raise TypeError(f"{type(self).__name__} lacks the method maps, although it says that it reads images")

    def require_reading(self) -> None:
        """Raise `InputError` where the family reads no images; it names the ways to photographs that are left."""
        if self.reads_images:
            return
        other = f", or fit the family {self.reader}, which reads them" if self.reader else ""
        raise InputError(
            f"a {self.family} backbone reads no images: it learns from annotated ones that its own network drew "
            "(frugalseg generate --for-annotation) and labels new ones (frugalseg generate); for photographs, train a "
            f"student on these (frugalseg distill){other}"
        )

    def map_sizes(self, size: Size) -> list[Size]:
        """The (h, w) of the map of each of `taps` for images of `size`, (H, W)."""
        return [(size[0] // tap.stride, size[1] // tap.stride) for tap in self.taps]

    def windows(self, image: Size, native: Size, *, tile: bool, overlap: float = 0.25) -> list[Window]:
        """The windows through which the network sees an image.

        Args:
            image: (H, W).
            native: (h, w), see `native_for`.
            tile: slide windows over the image rather than resize it.
            overlap: share of a window's side that neighbours share, unless they are laid side by side.
        """
        return windows(
            image,
            native,
            self.stride,
            tile=tile,
            overlap=0 if self.own_resolution else overlap,
            fixed=self.fixed_size is not None,
            margin=self.margin,
        )

    def native_for(self, asked: Size | None) -> Size:
        """The size (h, w) to use for the one that a user asks for, None for `native_size`.

        Raises:
            InputError: the network cannot be used at this size.
        """
        native = asked or self.native_size
        if self.fixed_size not in (None, native):
            only, wrong = ("{}x{}".format(*size) for size in (self.fixed_size, native))
            raise InputError(f"network size {wrong}: this network takes {only} only; leave the size out")
        if any(side % self.stride or side < self.stride for side in native):
            wrong, near = ("{}x{}".format(*size) for size in (native, nearest_size(native, self.stride)))
            raise InputError(f"network size {wrong}: sides must be multiples of {self.stride}, such as {near}")
        return native

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Everything but the weights that `from_pretrained` needs, as JSON values."""

    def identity(self) -> list[Any]:
        """JSON values that change with the family, the settings and the weights."""
        return [self.family, self.config(), digests.network(self)]

    @abstractmethod
    def save_weights(self, folder: Path) -> None:
        """Write the network below `folder`, in the layout most tools of its family read."""

    @classmethod
    @abstractmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        """The inverse of `save_weights` and `config`."""

    @classmethod
    @abstractmethod
    def from_checkpoint(cls, checkpoint: Any, options: Any) -> Self:
        """Build from whatever is published for the family; `options` is the dataclass of its ``settings.py``.

        `checkpoint` is a `Checkpoint` or None; of a combination, a mapping by family."""

    def reinitialised(self, seed: int) -> Self:
        """The same network and taps with random weights, as a baseline.

        Raises:
            InputError: the family has no weights.
        """
        raise InputError(f"the {self.family} backbone has no weights to draw at random")

    def readable(self) -> dict[str, tuple[Any, ...]]:
        """The options that choose the taps, each with the values that are worth trying on this network.

        A tap says in `Tap.at` which values have chosen it. The result is empty if no option chooses among taps.
        """
        return {}

    def reading(self, **where: Sequence[Any]) -> "Backbone":
        """The same network, read at other places; its weights are shared.

        Args:
            where: values of options that `readable` names. The other options stay as they are.

        Raises:
            InputError: the family has no such option, or the network no such place.
        """
        if where:
            raise InputError(f"the {self.family} backbone has no option {', '.join(where)} that says where it is read")
        return self

    def seeing(self, channels: int) -> "Backbone":
        """The backbone for images of so many channels: this one, or another with the same settings.

        Raises:
            InputError: the network takes another number; a single channel it sees as that many alike.
        """
        self.require_reading()
        if channels in (1, self.in_channels):
            return self
        raise InputError(
            f"the {self.family} backbone takes images of {self.in_channels} channels, not of {channels}: choose "
            f"{self.in_channels} with --channels (one may be named twice), or a family that takes any number, such as "
            "filters"
        )

    def batch_of(self, images: list[Tensor]) -> Tensor:
        """Images (C, h, w) of one size as a batch (N, C, h, w) on `device`; a single channel is seen as many alike.

        Raises:
            InputError: the backbone takes another number of channels.
        """
        channels, wanted = len(images[0]), self.in_channels
        if channels not in (1, wanted):
            raise InputError(
                f"images of {channels} channels for a {self.family} backbone of {wanted}; choose {wanted} "
                "with --channels or fit(..., channels=...), or take backbone.seeing(channels)"
            )
        return torch.stack(images).to(self.device).expand(-1, wanted, -1, -1)

    def reconstructions(self, images: Tensor) -> Tensor | None:
        """What the network draws in place of images, for families that draw an image again to see it.

        Args:
            images: (B, 3, H, W) float32 in [0, 1]; (H, W) is `fixed_size`.

        Returns:
            (B, 3, H, W) float32 in [0, 1]; None for families that draw nothing.

        Raises:
            ValueError: no such batch, or the network does not take images of this size.
        """
        self.check_batch(images)
        if self.fixed_size is not None:
            self.check_size((images.shape[-2], images.shape[-1]))
        return self.redrawn(images)

    def redrawn(self, images: Tensor) -> Tensor | None:
        """`reconstructions` of images that are checked already; families that draw an image to see it override this."""
        return None

    def generator(self, options: Any = None) -> ImageGenerator:
        """What draws images with this backbone's network.

        Args:
            options: the family's dataclass of generation; None for its defaults.

        Raises:
            InputError: the family does not generate, and the message names those that do; or `options` are not of it.
        """
        require_generating(self.family)
        raise TypeError(f"{type(self).__name__} lacks the method generator; the registry says that it draws images")

    @with_usual_defaults
    def forward(self, images: Tensor, *, surrounded: bool = False) -> FeatureMaps:
        """Check the size, run the network, name the result.

        Args:
            images: (B, C, H, W) float32 in [0, 1]; (H, W) is `fixed_size`, or multiples of `stride`.
            surrounded: the images have their `margin` around them already, as those that `features.windows.cut`
                gives. Otherwise it is filled by mirroring them.

        Returns:
            The maps of the batch, which carry no gradients; `FeatureMaps.size` is (H, W).

        Raises:
            ValueError: no such batch, or the network does not take images of this size.
            InputError: the family reads no images.
        """
        self.require_reading()
        self.check_batch(images)
        images = images if surrounded else mirrored(images, self.margin)
        size = (images.shape[-2] - 2 * self.margin, images.shape[-1] - 2 * self.margin)
        self.check_size(size)
        self._warn_where_slow()
        if not self.optimises:
            with torch.inference_mode():
                return FeatureMaps(self.maps(images.to(self.device)), size)
        # Tensors made in inference mode can take no part in a graph, so a caller's mode is left and they are copied.
        with torch.inference_mode(False), torch.enable_grad():
            images = images.clone() if images.is_inference() else images.detach()
            return FeatureMaps([values.detach() for values in self.maps(images.to(self.device))], size)

    def _warn_where_slow(self) -> None:
        """Say so where the network computes in a format that was asked for, but does not pay on this machine."""
        weights = next(self.parameters(), None)
        if weights is not None and weights.dtype == torch.bfloat16 and slow_in_bf16(weights.device.type, "bf16"):
            warn_of_slow_bf16()

    def check_batch(self, images: object) -> None:
        """Raise `ValueError` unless images are a batch as `forward` takes them; their size is another question."""
        if not isinstance(images, Tensor):
            raise ValueError(f"a {type(images).__name__} is no batch of images; give a tensor")
        if images.dim() != 4 or not len(images) or images.shape[1] != self.in_channels:
            raise ValueError(f"a tensor {tuple(images.shape)} is no batch of images (B, {self.in_channels}, H, W)")
        if not images.is_floating_point():
            raise ValueError(f"images of {images.dtype}: values from 0 to 1 are needed; divide by 255")

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise `ValueError` unless the network takes images of (height, width)."""
        height, width = size
        if self.fixed_size is not None and size != self.fixed_size:
            only = "{}x{}".format(*self.fixed_size)
            raise ValueError(
                f"an image of {height}x{width} does not fit a network that takes {only} only; resize it to {only}"
            )
        if any(side % self.stride or side < self.stride for side in size):
            near = "{}x{}".format(*nearest_size(size, self.stride))
            raise ValueError(
                f"an image of {height}x{width} does not fit a network of stride {self.stride}; resize it to {near}"
            )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write weights and settings to `folder`, which `load_saved_backbone` reads.

        The folder appears whole or not at all; one that is empty or holds a saved backbone is replaced.

        Raises:
            InputError: the folder cannot be written, or holds something else.
        """
        with whole_folder(folder, (SAVED,)) as partial_folder:
            self.save_weights(partial_folder)
            write_json(partial_folder / BACKBONE, {"family": self.family, **self.config()})


def backbone_class(family: str) -> type[Backbone]:
    """The class of a family; raises `InputError` with the known names for an unknown one."""
    found = family_named(family)
    cls: type[Backbone] = found.load("backbone", found.backbone)
    return cls


@with_usual_defaults
def load_backbone(
    family: str = WITHOUT_CHECKPOINT,
    checkpoint: Checkpoint | Mapping[str, Checkpoint] | None = None,
    **options: Any,
) -> Backbone:
    """A backbone from a family's published or self-trained checkpoint.

    Args:
        family: a name in `frugalseg.backbones.registry.FAMILIES`, or two or three of them joined with ``+``, such as
            ``timm+filters``: the maps of all of them, see `frugalseg.backbones.combined`.
        checkpoint: a file, a folder, a Hub id or ``builtin:NAME``, as the family defines, or the name of a published
            one that ``frugalseg download`` has fetched, such as ``ddpm/lsun_cat``. Without any argument it is a
            network with the published weights of ImageNet that come with the set-up. Of several families, the one that
            needs a checkpoint gets it; a mapping gives each its own: ``{"ddpm": "my_ddpm", "timm": "my_timm"}``.
        options: the fields of the family's options, for example ``timesteps`` and ``blocks`` for ``ddpm``; of several
            families, the fields of each. A name that two of them have is preceded by the family: ``ddpm_precision``.

    Raises:
        InputError: an unknown family or option, an option of a wrong type or out of range, or a checkpoint that the
            family cannot use.
    """
    found = family_named(family)
    of_family, given = found.options_class(), found.checkpoints(checkpoint)
    known = [field.name for field in fields(of_family)]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise InputError(
            f"the {family} backbone has no option {', '.join(unknown)}; known: {', '.join(known) or 'none'}"
        )
    try:
        chosen, cls = from_arguments(of_family, options), backbone_class(family)
    except InputError as error:
        raise InputError(f"the {family} backbone: {error}") from None
    given = {name: in_cache(name, each) for name, each in given.items()}
    try:
        backbone = cls.from_checkpoint(given if isinstance(found, Combination) else given.get(family), chosen)
    except InputError:
        raise
    except Exception as error:  # the libraries that read and build networks raise a dozen kinds over damaged ones
        if checkpoint is None:
            raise
        raise FileError(
            str(checkpoint),
            f"no network for the {family} backbone could be made of it ({kind_and_reason(error)})",
            REMEDY,
        ) from error
    return backbone.eval().requires_grad_(False)


def in_cache(family: str, checkpoint: Checkpoint) -> Checkpoint:
    """The file of a published checkpoint for its name; anything else as it is.

    Raises:
        InputError: the checkpoint is of another family; or see `local_checkpoint`.
    """
    item = checkpoint_item(checkpoint)
    if item is not None and item.family != family:
        raise InputError(f"{item.name}: a checkpoint of the family {item.family}, not of {family}")
    return local_checkpoint(checkpoint)


@with_usual_defaults
def load_saved_backbone(folder: str | Path) -> Backbone:
    """The backbone that `Backbone.save_pretrained` wrote to `folder`.

    Raises:
        DamagedError: its files are not those that were written, or do not fit together.
    """
    folder = Path(folder)
    with refused_where_damaged(folder):
        family, config = _read_backbone(folder / BACKBONE)
        found = backbone_class(family).from_saved(folder, config).eval().requires_grad_(False)
        if found.family != family:
            what = f"it names {brief(family, 40)!r}, but its parts are {found.family}"
            raise FileError(folder / BACKBONE, what, "save the backbone again")
        return found


def _read_backbone(path: Path) -> tuple[str, dict[str, Any]]:
    """The family in a ``backbone.json``, and all else that it says."""
    config = read_json(path)
    family = config.pop("family", None) if isinstance(config, dict) else None
    if not isinstance(family, str):
        raise FileError(path, "no object that names a family", "save the backbone again")
    try:
        family_named(family)
    except InputError:
        raise FileError(
            path, f"its family {brief(family, 40)!r} is unknown here", "register the family first"
        ) from None
    return family, config
