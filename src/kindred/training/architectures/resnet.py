"""Residual networks with 18 to 152 layers (He et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kindred.training.architectures.backbone import Architecture, ChainBackbone, TapSpec

__all__ = ["RESNETS", "BasicBlock", "Bottleneck", "ResNet"]

_WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut: (B, inputs, H, W) to (B, width, H / stride, W / stride)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, width, H / stride, W / stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolution and a shortcut: (B, inputs, H, W) to (B, 4 width, H / stride, W / stride).

    The stride is that of the 3×3 convolution, as in torchvision ("v1.5"); in the paper it is the first 1×1's.
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.downsample = _shortcut(inputs, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, 4 width, H / stride, W / stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(inputs: int, channels: int, stride: int) -> nn.Sequential | None:
    """Return the projection of a shortcut whose ends differ in shape, None where they agree."""
    if stride == 1 and inputs == channels:
        return None
    return nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))


class ResNet(ChainBackbone):
    """A residual network without its classifier, as torchvision's (He et al. 2016).

    `depths` are the numbers of blocks in each of the four stages. Images (B, 3, H, W) to the map behind each stage,
    `layer1` to `layer4`, at strides 4 to 32: 64 to 512 channels with basic blocks, 256 to 2048 with bottlenecks.
    """

    def __init__(self, block: type[BasicBlock | Bottleneck], depths: Sequence[int]) -> None:
        taps = [TapSpec(f"layer{at + 1}", width * block.expansion, 4 * 2**at) for at, width in enumerate(_WIDTHS)]
        steps = (("conv1", "bn1", "relu", "maxpool", "layer1"), ("layer2",), ("layer3",), ("layer4",))
        super().__init__(taps, steps)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for at, (depth, width) in enumerate(zip(depths, _WIDTHS, strict=True)):
            blocks: list[nn.Module] = []
            for first in [True] + [False] * (depth - 1):
                blocks.append(block(inputs, width, stride=2 if first and at else 1))
                inputs = width * block.expansion
            self.add_module(f"layer{at + 1}", nn.Sequential(*blocks))


def _resnet(
    layers: int, block: type[BasicBlock | Bottleneck], depths: Sequence[int], size: str, published: Sequence[str]
) -> Architecture:
    """The entry of ARCHITECTURES; `published` are the digests of the weights' first and second edition."""
    names = zip(("published", "published-v2"), published, strict=False)
    return Architecture(
        name=f"resnet{layers}",
        build=lambda: ResNet(block, depths),
        summary=f"residual network of {layers} layers, {size} parameters",
        source="He et al. 2016",
        published={name: f"resnet{layers}-{digest}.pth" for name, digest in names},
        dropped=("fc.",),
    )


RESNETS = (
    _resnet(18, BasicBlock, (2, 2, 2, 2), "11.2 M", ["f37072fd"]),
    _resnet(34, BasicBlock, (3, 4, 6, 3), "21.3 M", ["b627a593"]),
    _resnet(50, Bottleneck, (3, 4, 6, 3), "23.5 M", ["0676ba61", "11ad3fa6"]),
    _resnet(101, Bottleneck, (3, 4, 23, 3), "42.5 M", ["63fe2227", "cd907fc2"]),
    _resnet(152, Bottleneck, (3, 8, 36, 3), "58.1 M", ["394f9c45", "f82ba261"]),
)
