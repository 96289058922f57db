"""The masked autoencoder of He et al., "Masked Autoencoders Are Scalable Vision Learners" (2022), from timm's blocks.

Modules have the names of the published checkpoints. Letters in comments: B images, L patches, K of them visible,
C channels, P values of a patch (patch x patch x 3).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from timm.layers import PatchEmbed, resample_abs_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from frugalseg.backbones.mae.settings import kept_patches

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of ImageNet's colours in [0, 1], by which all published networks have their inputs normalised."""
NORM = partial(nn.LayerNorm, eps=1e-6)
PIXEL_EPS = 1e-6
MLP_RATIO = 4
TOKEN_STD = 0.02
Network = TypeVar("Network", bound="Encoder")


@dataclass(frozen=True)
class EncoderShape:
    """The sizes of an encoder.

    Attributes:
        image_size: (height, width) that its position embedding is made for, multiples of `patch`.
        patch: side of a patch in pixels.
        width, depth, heads: channels, blocks and attention heads; `heads` divides `width`.
    """

    image_size: tuple[int, int]
    patch: int
    width: int
    depth: int
    heads: int

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of patches."""
        return self.image_size[0] // self.patch, self.image_size[1] // self.patch


@dataclass(frozen=True)
class DecoderShape:
    """The channels, blocks and attention heads of a decoder."""

    width: int
    depth: int
    heads: int


class Encoder(nn.Module):
    """The vision transformer whose activations are the features."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.patch_embed = PatchEmbed(None, shape.patch, 3, shape.width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.pos_embed = nn.Parameter(position_embedding(shape.grid, shape.width), requires_grad=False)
        self.blocks = blocks(shape)
        self.norm = NORM(shape.width)

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """(1, 1 + L, C): the position embedding, the class token's first, interpolated bicubically to another grid."""
        resized: Tensor = resample_abs_pos_embed(self.pos_embed, list(grid), list(self.shape.grid))
        return resized

    def patches(self, images: Tensor, positions: Tensor) -> Tensor:
        """(B, L, C): the patches of normalised (B, 3, H, W) images, with their places in them."""
        embedded: Tensor = self.patch_embed(images)
        return embedded + positions[:, 1:]

    def with_class_token(self, patches: Tensor, positions: Tensor) -> Tensor:
        """(B, 1 + K, C): any K patches behind the class token."""
        token = self.cls_token + positions[:, :1]
        return torch.cat([token.expand(len(patches), -1, -1), patches], dim=1)


class MaskedAutoencoder(Encoder):
    """Encoder of the visible patches and decoder of all of them (sections 3 and A.1)."""

    def __init__(self, shape: EncoderShape, decoder: DecoderShape) -> None:
        super().__init__(shape)
        self.decoder_shape, width = decoder, decoder.width
        self.decoder_embed = nn.Linear(shape.width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.decoder_pos_embed = nn.Parameter(position_embedding(shape.grid, width), requires_grad=False)
        self.decoder_blocks = blocks(decoder)
        self.decoder_norm = NORM(width)
        self.decoder_pred = nn.Linear(width, 3 * shape.patch**2)

    def forward(self, images: Tensor, noise: Tensor, mask_ratio: float) -> tuple[Tensor, Tensor]:
        """Predict the hidden patches.

        Args:
            images: (B, 3, H, W), normalised, of the size that the network is made for.
            noise: (B, L); the patches where it is lowest stay visible.
            mask_ratio: share of the patches that is hidden.

        Returns:
            (B, L, P) predictions for all patches, in units of each patch's own mean and deviation, and the (B, L)
            float mask: 1 where a patch was hidden, 0 where it was visible.
        """
        order = noise.argsort(dim=1)
        place = order.argsort(dim=1)
        kept = kept_patches(noise.shape[1], mask_ratio)
        return self.decode(self.encode(images, order[:, :kept]), place), (place >= kept).float()

    def encode(self, images: Tensor, visible: Tensor) -> Tensor:
        """(B, 1 + K, C): the class token and the patches with the (B, K) numbers `visible`, in that order, encoded."""
        patches = self.patches(images, self.pos_embed)
        shown = patches.gather(1, visible[..., None].expand(-1, -1, patches.shape[2]))
        tokens = self.with_class_token(shown, self.pos_embed)
        for block in self.blocks:
            tokens = block(tokens)
        encoded: Tensor = self.norm(tokens)
        return encoded

    def decode(self, encoded: Tensor, place: Tensor) -> Tensor:
        """(B, L, P) predictions from (B, 1 + K, C); `place`, (B, L): number of the encoded patch, hidden from K on."""
        tokens = self.decoder_embed(encoded)
        hidden = self.mask_token.to(tokens.dtype).expand(len(tokens), place.shape[1] + 1 - tokens.shape[1], -1)
        shuffled = torch.cat([tokens[:, 1:], hidden], dim=1)
        patches = shuffled.gather(1, place[..., None].expand(-1, -1, shuffled.shape[2]))
        tokens = torch.cat([tokens[:, :1], patches], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            tokens = block(tokens)
        predicted: Tensor = self.decoder_pred(self.decoder_norm(tokens))
        return predicted[:, 1:]


def blocks(shape: EncoderShape | DecoderShape) -> nn.ModuleList:
    """The transformer blocks of an encoder or a decoder."""
    return nn.ModuleList(
        Block(shape.width, shape.heads, MLP_RATIO, qkv_bias=True, norm_layer=NORM) for _ in range(shape.depth)
    )


def loss_of_images(images: Tensor, predicted: Tensor, mask: Tensor, patch: int) -> Tensor:
    """(B,): the mean squared error over the hidden patches of each image, whose pixels are normalised by patch."""
    target = to_patches(images, patch)
    mean, deviation = statistics(target)
    error = (predicted.float() - (target - mean) / deviation).square().mean(dim=2)
    return (error * mask).sum(dim=1) / mask.sum(dim=1)


def statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """(B, L, 1) mean and standard deviation of the values of each of (B, L, P) patches."""
    variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
    return mean, (variance + PIXEL_EPS).sqrt()


def normalised(images: Tensor) -> Tensor:
    """(B, 3, H, W) images in [0, 1] in units of ImageNet's mean and deviation."""
    scaled: Tensor = (images - of_colours(MEAN, images)) / of_colours(STD, images)
    return scaled


def denormalised(images: Tensor) -> Tensor:
    """The inverse of `normalised`."""
    scaled: Tensor = images * of_colours(STD, images) + of_colours(MEAN, images)
    return scaled


def of_colours(values: tuple[float, ...], images: Tensor) -> Tensor:
    """(3, 1, 1), where `images` are and in their dtype."""
    return torch.tensor(values, device=images.device, dtype=images.dtype)[:, None, None]


def to_patches(images: Tensor, patch: int) -> Tensor:
    """(B, L, P): (B, 3, H, W) cut into patches, row by row; within a patch rows, then columns, then colours."""
    cut = images.unflatten(2, (-1, patch)).unflatten(4, (-1, patch))  # B, 3, rows, patch, columns, patch
    patches: Tensor = cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    return patches


def from_patches(patches: Tensor, grid: tuple[int, int], patch: int) -> Tensor:
    """(B, 3, H, W): the inverse of `to_patches`."""
    cut = patches.unflatten(2, (patch, patch, 3)).unflatten(1, grid)  # B, rows, columns, patch, patch, 3
    images: Tensor = cut.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
    return images


def position_embedding(grid: tuple[int, int], width: int) -> Tensor:
    """(1, 1 + L, width): sines and cosines of each patch's column, then of its row; zeros for the class token.

    Frequencies fall from 1 to 1/10000 as in Vaswani et al. (2017).
    """
    frequencies = 10_000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    row, column = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    angles = [place.flatten()[:, None] * frequencies for place in (column, row)]
    waves = torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)
    return torch.cat([torch.zeros(1, width), waves.float()])[None]


def random_network(kind: Callable[..., Network], *shapes: Any, seed: int) -> Network:
    """``kind(*shapes)`` with the random weights of the official code; torch's own random state stays as it is.

    Glorot for linear layers and patches, a normal distribution for the two tokens; norms are left as they are made.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = kind(*shapes)
        for module in network.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(network.patch_embed.proj.weight.data.flatten(1))
        nn.init.zeros_(network.patch_embed.proj.bias)
        nn.init.normal_(network.cls_token, std=TOKEN_STD)
        if isinstance(network, MaskedAutoencoder):
            nn.init.normal_(network.mask_token, std=TOKEN_STD)
    return network
