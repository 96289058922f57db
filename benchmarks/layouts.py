"""The feature maps that the paper's networks give for an image of 256x256: what the classifier stage is measured on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from frugalseg.backbones.alae.backbone import ALAEBackbone
from frugalseg.backbones.alae.network import ALAE
from frugalseg.backbones.alae.settings import ALAEOptions
from frugalseg.backbones.alae.shape import Shape as ALAEShape
from frugalseg.backbones.mae.backbone import MAEBackbone
from frugalseg.backbones.mae.network import Encoder, EncoderShape
from frugalseg.backbones.mae.settings import MAEOptions
from frugalseg.backbones.stylegan2.backbone import StyleGAN2Backbone
from frugalseg.backbones.stylegan2.encoder.backbone import default_layers
from frugalseg.backbones.stylegan2.encoder.backbone import taps_of as encoder_taps
from frugalseg.backbones.stylegan2.encoder.shape import TrunkShape
from frugalseg.backbones.stylegan2.network.generator import Generator
from frugalseg.backbones.stylegan2.network.shape import GeneratorShape
from frugalseg.backbones.stylegan2.settings import StyleGAN2Options
from frugalseg.backbones.swav.backbone import choose_taps
from frugalseg.backbones.swav.settings import SwAVOptions
from frugalseg.backbones.swav.shape import ResNetShape
from frugalseg.backbones.vdvae.backbone import chosen_places, decoder_tap
from frugalseg.backbones.vdvae.published import PUBLISHED
from frugalseg.backbones.vdvae.settings import VDVAEOptions
from frugalseg.backbones.vdvae.shape import VDVAEShape
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.taps import Tap

SIDE = 256
QUICK_SHARE = 8
"""Channels and sides are divided by it for a look at a script."""

# (channels, side) of one step's maps: blocks 5, 6, 7, 8 and 12 of the LSUN-256 network; 3 steps give 8448 channels.
LSUN_STEP = ((1024, 32), (512, 32), (512, 32), (512, 64), (256, 128))
LSUN_STEPS = 3


@dataclass(frozen=True)
class Layout:
    """The maps of one image.

    Attributes:
        title: of a table.
        maps: (channels, side) of each.
        side: of the image, in pixels.
    """

    title: str
    maps: tuple[tuple[int, int], ...]
    side: int = SIDE

    @property
    def dim(self) -> int:
        """Length of a pixel's feature vector."""
        return sum(channels for channels, _ in self.maps)

    @property
    def taps(self) -> tuple[Tap, ...]:
        """As a backbone of that layout would have them."""
        return tuple(Tap(f"{place}", c, self.side // side) for place, (c, side) in enumerate(self.maps))

    def small(self) -> "Layout":
        """The same kinds of maps, an eighth of the size in every direction."""
        maps = tuple((max(1, c // QUICK_SHARE), max(1, side // QUICK_SHARE)) for c, side in self.maps)
        return Layout(self.title, maps, self.side // QUICK_SHARE)

    def random(self, device: torch.device, seed: int = 0) -> FeatureMaps:
        """Normally distributed maps of one image; float32."""
        generator = torch.Generator().manual_seed(seed)
        maps = [torch.randn(1, c, s, s, generator=generator).to(device) for c, s in self.maps]
        return FeatureMaps(maps, (self.side, self.side))


def ddpm() -> Layout:
    """The paper's diffusion model, preset ``current``: 15 maps, 8448 channels."""
    return Layout("LSUN-256 layout", LSUN_STEP * LSUN_STEPS)


def swav(width: int, name: str) -> Layout:
    """ResNet-50 with so many channels in its stem, inputs of every second block: 9 maps, 6720 channels for 64."""
    return of_taps(f"{name} layout", choose_taps(ResNetShape(width), SwAVOptions()))


def mae() -> Layout:
    """ViT-L/8, outputs of the last 12 blocks: 12 maps, 12288 channels."""
    with torch.device("meta"):
        encoder = Encoder(EncoderShape((SIDE, SIDE), patch=8, width=1024, depth=24, heads=16))
    return of_taps("MAE layout", MAEBackbone(encoder, MAEOptions()).taps)


def stylegan2() -> Layout:
    """The generator of FFHQ-256 (``paper256``), all convolutions: 13 maps, 4480 channels; GAN Inversion's, too."""
    with torch.device("meta"):
        network = Generator(GeneratorShape((512, 512, 512, 512, 256, 128, 64)))
    return of_taps("StyleGAN2-256 layout", StyleGAN2Backbone(network, StyleGAN2Options()).taps)


def gan_encoder() -> Layout:
    """The IR-SE-50 encoder of e4e, the last unit of each stage and the pyramid: 6 maps, 1984 channels."""
    shape = TrunkShape(64, (64, 128, 256, 512), (3, 4, 14, 3))
    return of_taps("e4e encoder layout", [encoder_taps(shape)[name] for name in default_layers(shape)])


def alae() -> Layout:
    """The configuration celeba-hq256, all blocks of the generator: 7 maps, 2496 channels."""
    with torch.device("meta"):
        network = ALAE(ALAEShape(layers=7, latent=512, start=64, most=512, mapping=8))
    return of_taps("ALAE-256 layout", ALAEBackbone(network, ALAEOptions()).taps)


def vdvae() -> Layout:
    """The network of FFHQ-256, the last blocks of each resolution of encoder and decoder: 14 maps, 7168 channels."""
    published = PUBLISHED["ffhq256"]
    widths = tuple((SIDE >> level, 512) for level in (0, 1, 2, 3, 4, 5, 6, 8))
    shape = VDVAEShape((SIDE, SIDE), published.encoder, published.decoder, widths, 16, 10, 64)
    resolutions, blocks = chosen_places(shape, VDVAEOptions())
    encoder = [Tap(f"encoder{rows}", shape.width(rows), shape.stride(rows)) for rows in resolutions]
    return of_taps("VDVAE-256 layout", [*encoder, *(decoder_tap(shape, number) for number in blocks)])


def of_taps(title: str, taps: Sequence[Tap]) -> Layout:
    """The maps that a backbone says it gives."""
    return Layout(title, tuple((tap.channels, SIDE // tap.stride) for tap in taps))


LAYOUTS: dict[str, Callable[[], Layout]] = {
    "ddpm": ddpm,
    "swav": lambda: swav(64, "SwAV"),
    "swav_w2": lambda: swav(128, "SwAVw2"),
    "mae": mae,
    "stylegan2": stylegan2,
    "gan_encoder": gan_encoder,
    "alae": alae,
    "vdvae": vdvae,
}


def chosen_layout(name: str, *, quick: bool) -> Layout:
    """A layout of `LAYOUTS`, small where only a look at the script is wanted."""
    layout = LAYOUTS[name]()
    return layout.small() if quick else layout
