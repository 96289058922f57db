"""The residual bottleneck block that a VDVAE is made of (Child 2021, "Very Deep VAEs", figure 3)."""

from torch import Tensor, nn
from torch.nn import functional

from frugalseg.backbones.vdvae.shape import LARGEST_POINTWISE


class Block(nn.Module):
    """Four convolutions, each behind a GELU: 1 x 1, two in the middle, 1 x 1.

    Args:
        width: channels of the input.
        middle: channels between the convolutions.
        out: channels of the output.
        resolution: rows of the input.
        pool: the output's averages over squares of this side are the result.
        residual: add the input to the output.
    """

    def __init__(
        self, width: int, middle: int, out: int, resolution: int, *, pool: int = 1, residual: bool = False
    ) -> None:
        super().__init__()
        kernel = 3 if resolution > LARGEST_POINTWISE else 1
        self.pool, self.residual = pool, residual
        self.c1 = nn.Conv2d(width, middle, 1)
        self.c2 = nn.Conv2d(middle, middle, kernel, padding=kernel // 2)
        self.c3 = nn.Conv2d(middle, middle, kernel, padding=kernel // 2)
        self.c4 = nn.Conv2d(middle, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, out, h / pool, w / pool) from (B, width, h, w)."""
        hidden = x
        for convolution in (self.c1, self.c2, self.c3, self.c4):
            hidden = convolution(functional.gelu(hidden))
        if self.residual:
            hidden = x + hidden
        return functional.avg_pool2d(hidden, self.pool) if self.pool > 1 else hidden
