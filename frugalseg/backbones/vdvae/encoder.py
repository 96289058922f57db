"""The encoder of a VDVAE: one activation for each resolution, which the decoder's posteriors read."""

from torch import Tensor, nn
from torch.nn import functional

from frugalseg.backbones.vdvae.blocks import Block
from frugalseg.backbones.vdvae.running import run
from frugalseg.backbones.vdvae.shape import VDVAEShape, middle_width


class Encoder(nn.Module):
    """Blocks from the image down to the coarsest resolution; names as in the published files."""

    def __init__(self, shape: VDVAEShape) -> None:
        super().__init__()
        self.shape = shape
        self.in_conv = nn.Conv2d(3, shape.width(shape.image_size[0]), 3, padding=1)
        self.enc_blocks = nn.ModuleList()
        for place in shape.encoder_places:
            width = shape.width(place.resolution)
            block = Block(width, middle_width(width), width, place.resolution, pool=place.pool, residual=True)
            self.enc_blocks.append(block)

    def forward(self, inputs: Tensor, coarsest: int = 1, checkpointing: bool = False) -> dict[int, Tensor]:
        """The last activation at each resolution.

        Args:
            inputs: (B, 3, H, W), normalised.
            coarsest: no block that only coarser resolutions need is run.
            checkpointing: compute each block again in the backward pass rather than keep what it computed.

        Returns:
            (B, width, rows, columns) by resolution: what the last block leaves there, unless that block pools; then it
            is what came in. A block that pools gives the first activation of the next resolution.
        """
        x = self.in_conv(inputs)
        found = {self.shape.image_size[0]: x}
        for place, block in zip(self.shape.encoder_places, self.enc_blocks, strict=True):
            if place.leaves < coarsest:
                break
            x = widened(run(block, x, checkpointing=checkpointing), self.shape.width(place.leaves))
            found[place.leaves] = x
        return found


def widened(x: Tensor, width: int) -> Tensor:
    """(B, width, h, w): `x` with zeros behind its channels."""
    return functional.pad(x, (0, 0, 0, 0, 0, width - x.shape[1])) if x.shape[1] < width else x
