"""A diffusion UNet's decoder, block by block: a lazy walk, so that nothing beyond what the caller takes is computed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from frugalseg.support.errors import InputError

KNOWN_BLOCKS = {"UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"}


@dataclass(frozen=True)
class BlockShape:
    """What a decoder block reads and gives.

    Attributes:
        inputs: channels of its input, the concatenation of the previous output with the skip connection.
        outputs: channels of its output.
        input_stride: image pixels between two values of its input.
        output_stride: the same for its output, which the last block of a level has upsampled.
    """

    inputs: int
    outputs: int
    input_stride: int
    output_stride: int


def block_shapes(unet: Any) -> list[BlockShape]:
    """All decoder blocks of a `UNet2DModel`, the deepest first, numbered as the paper numbers them.

    Raises:
        InputError: the UNet has blocks of a kind whose decoder cannot be split (the score-SDE ones).
    """
    stride = 2 ** (len(unet.down_blocks) - 1)
    shapes = []
    for level in unet.up_blocks:
        if type(level).__name__ not in KNOWN_BLOCKS:
            known = ", ".join(sorted(KNOWN_BLOCKS))
            raise InputError(f"this UNet has a {type(level).__name__}; features can be read from {known} only")
        for number, resnet in enumerate(level.resnets, 1):
            after = stride // 2 if number == len(level.resnets) and level.upsamplers else stride
            shapes.append(BlockShape(resnet.in_channels, resnet.out_channels, stride, after))
        stride = after
    return shapes


def walk(unet: Any, noisy: Tensor, steps: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Run a `UNet2DModel` and yield the (input, output) of each decoder block, the deepest first.

    A block is one residual block with the attention and the upsampling that follow it. Nothing behind the last block
    taken from the iterator runs.

    Args:
        unet: an unconditional `UNet2DModel`.
        noisy: (B, C, H, W) noised images.
        steps: (B,) int64 diffusion steps.
    """
    sample = 2 * noisy - 1 if unet.config.center_input_sample else noisy
    embedding = unet.time_embedding(unet.time_proj(steps).to(noisy.dtype))
    sample = unet.conv_in(sample)
    skips = [sample]
    for level in unet.down_blocks:
        sample, outputs = level(sample, embedding)
        skips.extend(outputs)
    if unet.mid_block is not None:
        sample = unet.mid_block(sample, embedding)
    for level in unet.up_blocks:
        attentions = getattr(level, "attentions", [None] * len(level.resnets))
        for number, (resnet, attention) in enumerate(zip(level.resnets, attentions, strict=True), 1):
            entering = torch.cat([sample, skips.pop()], dim=1)
            sample = resnet(entering, embedding)
            if attention is not None:
                sample = attention(sample)
            if number == len(level.resnets):
                for upsampler in level.upsamplers or ():
                    sample = upsample(upsampler, sample, embedding)
            yield entering, sample


def upsample(upsampler: Any, sample: Tensor, embedding: Tensor) -> Tensor:
    """Twice the resolution, by a residual block (which wants the time embedding) or by a convolution."""
    needs_time = hasattr(upsampler, "time_emb_proj")
    result: Tensor = upsampler(sample, embedding) if needs_time else upsampler(sample)
    return result
