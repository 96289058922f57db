"""The generator: the mapping and the synthesis network."""

from torch import Tensor, nn

from frugalseg.backbones.stylegan2.network.mapping import Mapping
from frugalseg.backbones.stylegan2.network.shape import GeneratorShape
from frugalseg.backbones.stylegan2.network.synthesis import Noise, Synthesis


class Generator(nn.Module):
    """From normal numbers to images."""

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.shape = shape
        self.mapping = Mapping(shape)
        self.synthesis = Synthesis(shape)

    def forward(self, z: Tensor, noise: Noise | None, truncation: float = 1) -> Tensor:
        """(B, 3, R, R) float32, of which [-1, 1] is shown.

        Args:
            z: (B, Z) normal numbers.
            noise: see `Synthesis.passes`.
            truncation: see `Mapping.truncated`.
        """
        image: Tensor = self.synthesis(self.mapping(z, truncation), noise)
        return image
