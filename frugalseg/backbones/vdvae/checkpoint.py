"""VDVAEs from published files (``-model-ema.th``, ``-model.th``), and from the folders that we write.

Widths, latents and mixtures are read off the tensors. The place of each block leaves no trace in them: it is that of
the published network with as many blocks, or what the user says.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from frugalseg.backbones import saved
from frugalseg.backbones.vdvae.layout import decoder_places, encoder_places
from frugalseg.backbones.vdvae.network import VDVAE
from frugalseg.backbones.vdvae.pixels import Pixels
from frugalseg.backbones.vdvae.published import PUBLISHED
from frugalseg.backbones.vdvae.settings import VDVAEOptions
from frugalseg.backbones.vdvae.shape import VDVAEShape
from frugalseg.backbones.weights import foreign, network_with, read_tensors
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from frugalseg.support.paths import as_path

WRAPPED = "module."
"""How the names begin in files that were saved from several processes."""
FOR_FILES = ("trained_on", "encoder_layout", "decoder_layout")
"""Options that say of published files what is not in them."""
NEEDED = (
    "encoder.in_conv.weight",
    "encoder.enc_blocks.0.c1.weight",
    "decoder.dec_blocks.0.z_proj.weight",
    "decoder.out_net.out_conv.weight",
)
PARAMETERS = 10
"""Of each logistic distribution that is mixed: a logit, and three each of means, scales and coefficients."""


@dataclass(frozen=True)
class Layout:
    """What the tensors do not tell; the ``config.json`` of our folders, besides the family.

    Attributes:
        encoder_layout, decoder_layout: the block strings.
        image_size: (height, width); None: square.
        pixels: how images are handed to the network.
    """

    encoder_layout: str
    decoder_layout: str
    pixels: Pixels
    image_size: tuple[int, int] | None = None


def load_network(path: str | Path, options: VDVAEOptions | None = None) -> VDVAE:
    """The network of a published file or of a folder of `save_network`.

    Args:
        path: the file or folder.
        options: say of a published file what its tensors do not.

    Raises:
        InputError: nothing there, a damaged file, the checkpoint of another network, or options for a folder, which
            says all of itself.
    """
    path, layout = as_path(path, "checkpoint"), None
    if path.is_dir():
        given = [name for name in FOR_FILES if options is not None and getattr(options, name) is not None]
        if given:
            raise InputError(f"{given[0]}: is for published files, and {path} is a folder; leave it out")
        layout, path = read_layout(path), path / saved.WEIGHTS
    tensors = unwrapped(read_tensors(path))
    missing = [name for name in NEEDED if name not in tensors]
    if missing:
        raise foreign(path, f"not a very deep VAE (no {missing[0]})", NEEDED, tensors)
    layout = layout or chosen_layout(tensors, options or VDVAEOptions(), path)
    shape = read_shape(tensors, layout, path)
    return network_with(lambda: VDVAE(shape, layout.pixels), tensors, path)


def save_network(network: VDVAE, folder: Path) -> None:
    """Write a network whose tensors have their published names; see `frugalseg.backbones.saved`."""
    shape = network.shape
    layout = Layout(shape.encoder, shape.decoder, network.pixels, shape.image_size)
    saved.save_network(network, folder, {"family": "vdvae", **asdict(layout)})


def read_layout(folder: Path) -> Layout:
    """The layout in the ``config.json`` of a folder of `save_network`.

    Raises:
        InputError: there is no such file, it is of another family, or what it says is impossible.
    """
    return saved.read_said(folder, "vdvae", Layout)


def unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by their plain names."""
    if not all(name.startswith(WRAPPED) for name in tensors):
        return dict(tensors)
    return {name.removeprefix(WRAPPED): tensor for name, tensor in tensors.items()}


def chosen_layout(tensors: Mapping[str, Tensor], options: VDVAEOptions, source: Path) -> Layout:
    """What the user says of a published file, completed by the published network with as many blocks.

    Raises:
        InputError: there is no such network, and the user does not say everything.
    """
    blocks = count_of("encoder.enc_blocks", tensors), count_of("decoder.dec_blocks", tensors)
    like = next((each for each in PUBLISHED.values() if each.blocks == blocks), None)
    chosen = {
        "encoder_layout": options.encoder_layout or (like and like.encoder),
        "decoder_layout": options.decoder_layout or (like and like.decoder),
        "trained_on": PUBLISHED[options.trained_on].pixels if options.trained_on else like and like.pixels,
    }
    missing = [name for name, value in chosen.items() if value is None]
    if missing:
        raise InputError(
            f"{source}: no published VDVAE has {blocks[0]} blocks in the encoder and {blocks[1]} in the decoder, and "
            f"the tensors do not tell the rest; give {', '.join(missing)}"
        )
    return Layout(*chosen.values())  # type: ignore[arg-type]


def count_of(blocks: str, tensors: Mapping[str, Tensor]) -> int:
    """How many blocks of a name the tensors are of."""
    return len({match[1] for name in tensors if (match := re.match(rf"{re.escape(blocks)}\.(\d+)\.", name))})


def read_shape(tensors: Mapping[str, Tensor], layout: Layout, source: Path) -> VDVAEShape:
    """The sizes of a network: those of the layout, and widths and numbers read off the tensors.

    Raises:
        InputError: the tensors are not those of such a network, or the layout does not fit them.
    """
    encoder, decoder = encoder_places(layout.encoder_layout), decoder_places(layout.decoder_layout)
    for name, places in (("encoder.enc_blocks", encoder), ("decoder.dec_blocks", decoder)):
        if (found := count_of(name, tensors)) != len(places):
            what = name.partition(".")[0]
            raise FileError(
                source, f"has {found} blocks in the {what}, {what}_layout {len(places)}", "give that of this network"
            )
    try:
        return VDVAEShape(
            image_size=layout.image_size or (encoder[0].resolution, encoder[0].resolution),
            encoder=layout.encoder_layout,
            decoder=layout.decoder_layout,
            widths=widths_of(tensors, layout),
            zdim=side(tensors, "decoder.dec_blocks.0.z_proj.weight", 1),
            mixtures=side(tensors, "decoder.out_net.out_conv.weight", 0) // PARAMETERS,
            no_bias_above=max((side(tensors, name, 2) for name in tensors if "bias_xs" in name), default=0),
        )
    except (KeyError, IndexError) as error:
        raise foreign(source, f"part of a very deep VAE, or none ({error})", NEEDED, tensors) from None
    except InputError as error:
        raise FileError(source, str(error), "give the layout of this network") from None


def widths_of(tensors: Mapping[str, Tensor], layout: Layout) -> tuple[tuple[int, int], ...]:
    """(resolution, channels): of the first block at each, of the encoder or, where it has none, of the decoder."""
    found: dict[int, int] = {}
    for number, place in enumerate(encoder_places(layout.encoder_layout)):
        found.setdefault(place.resolution, side(tensors, f"encoder.enc_blocks.{number}.c1.weight", 1))
    for number, block in enumerate(decoder_places(layout.decoder_layout)):
        found.setdefault(block.resolution, side(tensors, f"decoder.dec_blocks.{number}.z_proj.weight", 0))
    # Nothing but the padding of the last activation tells the width of a resolution without any block.
    last = encoder_places(layout.encoder_layout)[-1]
    found.setdefault(last.leaves, found[last.resolution])
    return tuple(found.items())


def side(tensors: Mapping[str, Tensor], name: str, dimension: int) -> int:
    """The length of a tensor along one of its four dimensions."""
    shape = tensors[name].shape
    if len(shape) != 4:
        raise KeyError(f"{name} has {len(shape)} dimensions")
    return int(shape[dimension])
