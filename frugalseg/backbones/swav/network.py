"""Residual networks of any width and depth, walked block by block; tensors are named as in the published files."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from frugalseg.backbones.swav.shape import ResNetShape

BLOCKS: dict[str, Any] = {"basic": BasicBlock, "bottleneck": Bottleneck}


class BlockShape(NamedTuple):
    """Channels and strides before and after a block; a stride counts input pixels between two values."""

    inputs: int
    outputs: int
    input_stride: int
    output_stride: int


class BlockPass(NamedTuple):
    """A block's name, such as ``layer1.0``, and its maps, (B, C, h, w)."""

    name: str
    input: Tensor
    output: Tensor


class ResNet(nn.Module):
    """The trunk of a residual network (He et al. 2016), without pooling and classifier.

    Args:
        shape: widths, depths and stem.
        norm_layer: called with a number of channels; batch normalisation as a rule.
    """

    def __init__(self, shape: ResNetShape, norm_layer: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.shape = shape
        large = shape.stem_stride == 4
        kernel, stride = (7, 2) if large else (3, shape.stem_stride)
        self.conv1 = nn.Conv2d(3, shape.width, kernel, stride, kernel // 2, bias=False)
        self.bn1 = norm_layer(shape.width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        layers: dict[str, nn.Sequential] = {}
        for name, block in block_shapes(shape).items():
            layer = layers.setdefault(name.split(".")[0], nn.Sequential())
            layer.append(residual_block(shape.block, block, norm_layer))
            self.channels = block.outputs
        self.layer_names = tuple(layers)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.apply(_initialise)

    def blocks(self) -> Iterator[tuple[str, nn.Module]]:
        """Every block in the order in which they run, by names such as ``layer1.0``."""
        for name in self.layer_names:
            for number, block in self.get_submodule(name).named_children():
                yield f"{name}.{number}", block

    def walk(self, images: Tensor) -> Iterator[BlockPass]:
        """Run the network as far as the caller iterates.

        Args:
            images: (B, 3, H, W), normalised.

        Yields:
            What happened in each block.
        """
        entering: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for name, block in self.blocks():
            leaving: Tensor = block(entering)
            yield BlockPass(name, entering, leaving)
            entering = leaving

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images -> (B, `channels`): the mean of the last map over all places."""
        last = images
        for block in self.walk(images):
            last = block.output
        return last.mean(dim=(2, 3))


def residual_block(kind: str, shape: BlockShape, norm_layer: Callable[[int], nn.Module]) -> Any:
    """One block; where its output has another shape than its input, a 1x1 convolution takes the input along."""
    stride = shape.output_stride // shape.input_stride
    shortcut = None
    if stride != 1 or shape.inputs != shape.outputs:
        convolution = nn.Conv2d(shape.inputs, shape.outputs, 1, stride, bias=False)
        shortcut = nn.Sequential(convolution, norm_layer(shape.outputs))
    planes = shape.outputs // BLOCKS[kind].expansion
    return BLOCKS[kind](shape.inputs, planes, stride, shortcut, norm_layer=norm_layer)


def block_shapes(shape: ResNetShape) -> dict[str, BlockShape]:
    """What goes into and comes out of each block, by names such as ``layer1.0``."""
    found = {}
    channels, stride = shape.width, shape.stem_stride
    for level, depth in enumerate(shape.depths):
        outputs = shape.width * 2**level * BLOCKS[shape.block].expansion
        for number in range(depth):
            after = stride * (2 if level and not number else 1)
            found[f"layer{level + 1}.{number}"] = BlockShape(channels, outputs, stride, after)
            channels, stride = outputs, after
    return found


def build_network(shape: ResNetShape, seed: int, norm_layer: Callable[[int], nn.Module] = nn.BatchNorm2d) -> ResNet:
    """A network with the random weights that belong to `seed`; leaves the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ResNet(shape, norm_layer)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
