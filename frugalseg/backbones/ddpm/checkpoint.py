"""The published guided-diffusion files (LSUN, FFHQ-256, ...) as diffusers' UNet2DModel.

The network of Dhariwal & Nichol, "Diffusion Models Beat GANs on Image Synthesis" (2021). Its flags are read off the
tensors; the three that leave no trace in them are options with the LSUN and FFHQ-256 values as defaults.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from frugalseg.backbones.weights import foreign, names, network_with, read_tensors
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from frugalseg.support.text import brief, kind_and_reason

NEEDED = (
    "input_blocks.0.0.weight",
    "middle_block.0.in_layers.0.weight",
    "out.2.weight",
    "output_blocks.0.0.in_layers.0.weight",
    "time_embed.0.weight",
)
NORM_GROUPS = 32  # guided-diffusion's normalization() is GroupNorm(32, channels)

# our name within a residual block or an attention, by the published one
RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
ATTENTION = {"norm": "group_norm", "proj_out": "to_out.0"}
STEM = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


@dataclass(frozen=True)
class Layout:
    """What a guided-diffusion file says of its network.

    Attributes:
        channels: width of each level, the finest first.
        attention: which levels have attention.
        blocks: residual blocks a level in the encoder (the decoder has one more).
        in_channels, out_channels: of the whole network; twice as many out as in means that the variance is learned.
        residual_resampling: levels are joined by residual blocks (`resblock_updown`) rather than convolutions.
        scale_shift: the time embedding scales and shifts the second norm rather than being added.
    """

    channels: tuple[int, ...]
    attention: tuple[bool, ...]
    blocks: int
    in_channels: int
    out_channels: int
    residual_resampling: bool
    scale_shift: bool


def load_guided_diffusion(
    path: str | Path,
    *,
    image_size: int = 256,
    head_channels: int | None = 64,
    heads: int | None = None,
    new_attention_order: bool = False,
) -> Any:
    """The UNet of a published ``.pt`` file.

    Args:
        path: the file; see `frugalseg.backbones.weights.read_tensors` for what it may be.
        image_size: side in pixels of the images that it was trained on.
        head_channels: channels of an attention head (`num_head_channels`).
        heads: number of heads (`num_heads`), for networks trained with that flag; overrules `head_channels`.
        new_attention_order: qkv are stored as q, k, v rather than interleaved by head.

    Returns:
        A float32 `diffusers.UNet2DModel` in eval mode.

    Raises:
        InputError: the file is damaged, of another network, class-conditional, or the options don't fit it.
    """
    from diffusers import UNet2DModel

    tensors = read_tensors(path)
    layout = read_layout(tensors, path)
    width = head_width(layout, head_channels, heads)
    try:
        ours = convert(tensors, layout, width, new_attention_order, path)
    except RuntimeError as error:  # tensors of the right names in other shapes
        raise foreign(
            path, f"part of a guided-diffusion UNet, or none ({kind_and_reason(error)})", NEEDED, tensors
        ) from None
    return network_with(lambda: UNet2DModel(**unet_config(layout, image_size, width)), ours, path).eval()


def read_layout(tensors: Mapping[str, Tensor], source: str | Path) -> Layout:
    """Infer the flags of the network from names and shapes.

    Raises:
        InputError: these are not the tensors of an unconditional guided-diffusion UNet.
    """
    missing = [name for name in NEEDED if name not in tensors]
    if missing:
        raise foreign(source, f"not a guided-diffusion UNet (no {missing[0]})", NEEDED, tensors)
    if "label_emb.weight" in tensors:
        raise InputError(f"{source}: a class-conditional network; an unconditional one is needed")
    try:
        return _layout(tensors, source)
    except (KeyError, IndexError) as error:
        what = f"part of a guided-diffusion UNet, or none ({kind_and_reason(error)})"
        raise foreign(source, what, NEEDED, tensors) from None


def _layout(tensors: Mapping[str, Tensor], source: str | Path) -> Layout:
    """`read_layout` of tensors that may be a part of a network's only; `KeyError` or `IndexError` where they are."""
    count = 1 + max(int(m[1]) for k in tensors if (m := re.match(r"output_blocks\.(\d{1,6})\.", k)))
    if count > len(tensors):
        raise KeyError(f"output_blocks.0 to {count - 1}")
    joints = sorted({int(m[1]) for k in tensors if (m := re.match(UPSAMPLER, k))})
    per_level = joints[0] + 1 if joints else count
    levels = count // per_level
    if joints != [per_level * i - 1 for i in range(1, levels)]:
        raise InputError(f"{source}: its decoder is not that of a guided-diffusion UNet (levels end at {joints})")
    tops = [(levels - 1 - level) * per_level for level in range(levels)]
    first = tensors["output_blocks.0.0.emb_layers.1.weight"].shape[0]
    return Layout(
        channels=tuple(tensors[f"output_blocks.{i}.0.out_layers.3.weight"].shape[0] for i in tops),
        attention=tuple(f"output_blocks.{i}.1.qkv.weight" in tensors for i in tops),
        blocks=per_level - 1,
        in_channels=tensors["input_blocks.0.0.weight"].shape[1],
        out_channels=tensors["out.2.weight"].shape[0],
        residual_resampling=any(re.match(r"output_blocks\.\d+\.[12]\.in_layers", k) for k in tensors),
        scale_shift=first == 2 * tensors["output_blocks.0.0.out_layers.3.weight"].shape[0],
    )


UPSAMPLER = r"output_blocks\.(\d{1,6})\.[12]\.(?:conv|in_layers\.0)\."


def head_width(layout: Layout, head_channels: int | None, heads: int | None) -> int:
    """Channels of an attention head, the same at every level as diffusers wants it."""
    attended = {c for c, used in zip(layout.channels, layout.attention, strict=True) if used} | {layout.channels[-1]}
    if heads is not None:
        if heads < 1 or len(attended) > 1 or layout.channels[-1] % heads:
            raise InputError(f"{heads} heads don't divide the attended widths {sorted(attended)} into equal heads")
        return layout.channels[-1] // heads
    if head_channels is None or head_channels < 1 or any(c % head_channels for c in attended):
        raise InputError(f"heads of {head_channels} channels don't divide the attended widths {sorted(attended)}")
    return head_channels


def unet_config(layout: Layout, image_size: int, width: int) -> dict[str, Any]:
    """Arguments of `UNet2DModel` for a layout; those not in the layout are constants of guided-diffusion."""
    plain = ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D")
    if not layout.residual_resampling:
        plain = ("DownBlock2D", "UpBlock2D")
    kind = "resnet" if layout.residual_resampling else "conv"
    return {
        "sample_size": image_size,
        "in_channels": layout.in_channels,
        "out_channels": layout.out_channels,
        "block_out_channels": layout.channels,
        "layers_per_block": layout.blocks,
        "down_block_types": tuple("AttnDownBlock2D" if used else plain[0] for used in layout.attention),
        "up_block_types": tuple("AttnUpBlock2D" if used else plain[1] for used in reversed(layout.attention)),
        "downsample_type": kind,
        "upsample_type": kind,
        "attention_head_dim": width,
        "norm_num_groups": NORM_GROUPS,
        "attn_norm_num_groups": NORM_GROUPS,
        "norm_eps": 1e-5,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "resnet_time_scale_shift": "scale_shift" if layout.scale_shift else "default",
    }


def convert(
    tensors: Mapping[str, Tensor], layout: Layout, width: int, new_order: bool, source: str | Path
) -> dict[str, Tensor]:
    """The same tensors under diffusers' names; every published tensor must find its place.

    Raises:
        FileError: some are unknown, or cannot be split into heads; `source` is where they are from.
    """
    modules = module_names(tensors, layout)
    converted, unknown = {}, []
    for key, tensor in tensors.items():
        module, _, kind = key.rpartition(".")
        owner, _, part = module.rpartition(".")
        if module in modules:
            converted[f"{modules[module]}.{kind}"] = tensor.float().reshape(linear_or_same(tensor, key))
        elif part == "qkv" and owner in modules:
            if tensor.dim() == 0 or tensor.shape[0] % (3 * width):
                raise FileError(
                    source, f"{brief(key, 60)} is not made of heads of {width} channels", "give head_channels"
                )
            for name, value in zip("qkv", split_heads(tensor.float(), width, new_order), strict=True):
                converted[f"{modules[owner]}.to_{name}.{kind}"] = value
        else:
            unknown.append(key)
    if unknown:
        raise foreign(source, f"not a guided-diffusion UNet alone (unknown: {names(unknown)})", modules, unknown)
    return converted


def linear_or_same(tensor: Tensor, key: str) -> tuple[int, ...]:
    """Attention projections are stored as 1-wide convolutions (C, C, 1); diffusers has them as matrices (C, C)."""
    return tuple(tensor.shape[:2]) if key.endswith("proj_out.weight") else tuple(tensor.shape)


def split_heads(qkv: Tensor, width: int, new_order: bool) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v, each (C, C) or (C,), from the (3C, C, 1) or (3C,) of one published attention.

    In the published order each head has its q, k and v side by side; in the new order q of all heads comes first.
    """
    rest = qkv.shape[1:2]
    heads = qkv.shape[0] // (3 * width)
    shape = (3, heads, width) if new_order else (heads, 3, width)
    parts = qkv.reshape(*shape, *rest)
    parts = parts if new_order else parts.transpose(0, 1)
    q, k, v = (part.reshape(heads * width, *rest) for part in parts)
    return q, k, v


def module_names(tensors: Mapping[str, Tensor], layout: Layout) -> dict[str, str]:
    """Our module name by the published one, for all modules whose tensors are copied as they are; attentions
    also by their own prefix, for their qkv."""
    names = dict(STEM)
    for theirs, ours in block_names(tensors, layout).items():
        if f"{theirs}.in_layers.0.weight" in tensors:
            names |= {f"{theirs}.{a}": f"{ours}.{b}" for a, b in RESIDUAL.items()}
        elif f"{theirs}.qkv.weight" in tensors:
            names |= {f"{theirs}.{a}": f"{ours}.{b}" for a, b in ATTENTION.items()} | {theirs: ours}
        else:
            names |= {f"{theirs}.op": f"{ours}.conv", f"{theirs}.conv": f"{ours}.conv"}
    return names


def block_names(tensors: Mapping[str, Tensor], layout: Layout) -> dict[str, str]:
    """Our prefix of each published block part: residual blocks, attentions and resampling."""
    names = {"middle_block.0": "mid_block.resnets.0", "middle_block.1": "mid_block.attentions.0"}
    names["middle_block.2"] = "mid_block.resnets.1"
    per_level, levels = layout.blocks + 1, len(layout.channels)
    for index in range(1, levels * per_level):
        level, place = divmod(index - 1, per_level)
        theirs, ours = f"input_blocks.{index}", f"down_blocks.{level}"
        if place == layout.blocks:
            names[f"{theirs}.0"] = f"{ours}.downsamplers.0"
        else:
            names |= {f"{theirs}.0": f"{ours}.resnets.{place}", f"{theirs}.1": f"{ours}.attentions.{place}"}
    for index in range(levels * per_level):
        level, place = divmod(index, per_level)
        theirs, ours = f"output_blocks.{index}", f"up_blocks.{level}"
        names[f"{theirs}.0"] = f"{ours}.resnets.{place}"
        attended = f"{theirs}.1.qkv.weight" in tensors
        if attended:
            names[f"{theirs}.1"] = f"{ours}.attentions.{place}"
        names[f"{theirs}.{2 if attended else 1}"] = f"{ours}.upsamplers.0"
    return names
