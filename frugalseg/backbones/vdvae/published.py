"""The networks that were published with the paper: their block strings and the pixels that they were trained on."""

from dataclasses import dataclass

from frugalseg.backbones.vdvae.layout import decoder_places, encoder_places
from frugalseg.backbones.vdvae.pixels import Pixels


@dataclass(frozen=True)
class Published:
    """What the tensors of a published network do not tell.

    Attributes:
        pixels: of its training set.
        encoder, decoder: its block strings.
    """

    pixels: Pixels
    encoder: str
    decoder: str

    @property
    def blocks(self) -> tuple[int, int]:
        """How many blocks encoder and decoder have; no two of the published networks have the same."""
        return len(encoder_places(self.encoder)), len(decoder_places(self.decoder))


PUBLISHED = {
    "cifar10": Published(
        Pixels(120.63838, 64.16736),
        "32x11,32d2,16x6,16d2,8x6,8d2,4x3,4d4,1x3",
        "1x1,4m1,4x2,8m4,8x5,16m8,16x10,32m16,32x21",
    ),
    "imagenet32": Published(
        Pixels(116.2373, 69.37404),
        "32x15,32d2,16x9,16d2,8x8,8d2,4x6,4d4,1x6",
        "1x2,4m1,4x4,8m4,8x9,16m8,16x19,32m16,32x40",
    ),
    "imagenet64": Published(
        Pixels(115.92961967, 69.37404),
        "64x11,64d2,32x20,32d2,16x9,16d2,8x8,8d2,4x7,4d4,1x5",
        "1x2,4m1,4x3,8m4,8x7,16m8,16x15,32m16,32x31,64m32,64x12",
    ),
    "ffhq256": Published(
        Pixels(112.8666757481, 69.84780273, bits=5),
        "256x3,256d2,128x8,128d2,64x12,64d2,32x17,32d2,16x7,16d2,8x5,8d2,4x5,4d4,1x4",
        "1x2,4m1,4x3,8m4,8x4,16m8,16x9,32m16,32x21,64m32,64x13,128m64,128x7,256m128",
    ),
    # Its training set was in [0, 1], with a mean of 0.4387 and a deviation of 0.2743.
    "ffhq1024": Published(
        Pixels(0.4387 * 255, 0.2743 * 255),
        "1024x1,1024d2,512x3,512d2,256x5,256d2,128x7,128d2,64x10,64d2,32x14,32d2,16x7,16d2,8x5,8d2,4x5,4d4,1x4",
        "1x2,4m1,4x3,8m4,8x4,16m8,16x9,32m16,32x20,64m32,64x14,128m64,128x7,256m128,256x2,512m256,1024m512",
    ),
}
"""By the name of the training set; the keys are those of `frugalseg.backbones.vdvae.settings.TrainingSet`."""
