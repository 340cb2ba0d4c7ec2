"""GoogLeNet: inception modules, here with batch norm (Szegedy et al. 2015)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kindred.training.architectures.backbone import Architecture, ChainBackbone, TapSpec

__all__ = ["GOOGLENET", "ConvNorm", "GoogLeNet", "Inception"]

# The paper's table 1, one row a module: 1×1, 3×3 reduced, 3×3, 5×5 reduced, 5×5, projection of the pooling.
_MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}

# The last map before each pooling, and the last of all.
_TAPS = (
    TapSpec("conv1", 64, 2),
    TapSpec("conv3", 192, 4),
    TapSpec("inception3b", 480, 8),
    TapSpec("inception4e", 832, 16),
    TapSpec("inception5b", 1024, 32),
)

_STEPS = (
    ("conv1",),
    ("maxpool1", "conv2", "conv3"),
    ("maxpool2", "inception3a", "inception3b"),
    ("maxpool3", "inception4a", "inception4b", "inception4c", "inception4d", "inception4e"),
    ("maxpool4", "inception5a", "inception5b"),
)


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, ReLU: (B, inputs, H, W) to (B, channels, H / stride, W / stride)."""

    def __init__(self, inputs: int, channels: int, *, size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, size, stride, size // 2, bias=False)
        # The weights come from TensorFlow, whose epsilon this is.
        self.bn = nn.BatchNorm2d(channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, channels, H / stride, W / stride)."""
        return torch.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four branches side by side, their channels joined: (B, inputs, H, W) to (B, channels, H, W).

    `sizes` is a row of the paper's table 1. The branch that is 5×5 in the paper is 3×3 here: a slip in the network
    that the published weights were trained with, and a part of it since.
    """

    def __init__(self, inputs: int, sizes: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        ones, reduced3, threes, reduced5, fives, pooled = sizes
        self.branch1 = ConvNorm(inputs, ones, size=1)
        self.branch2 = nn.Sequential(ConvNorm(inputs, reduced3, size=1), ConvNorm(reduced3, threes, size=3))
        self.branch3 = nn.Sequential(ConvNorm(inputs, reduced5, size=1), ConvNorm(reduced5, fives, size=3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), ConvNorm(inputs, pooled, size=1))
        self.channels = ones + threes + fives + pooled

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, channels, H, W)."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class GoogLeNet(ChainBackbone):
    """GoogLeNet without its classifiers, as torchvision's (Szegedy et al. 2015, with batch norm for its LRN).

    Images (B, 3, H, W) to five maps of 64 to 1024 channels at strides 2 to 32, all behind ReLU. Its weights expect
    (pixel − 127.5) / 127.5: torchvision takes images normalised as for its other networks, and turns them into
    these (`transform_input`).
    """

    def __init__(self) -> None:
        super().__init__(_TAPS, _STEPS, mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))
        self.conv1 = ConvNorm(3, 64, size=7, stride=2)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = ConvNorm(64, 64, size=1)
        self.conv3 = ConvNorm(64, 192, size=3)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        inputs = 192
        for name, sizes in _MODULES.items():
            if name == "4a":
                self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
            if name == "5a":
                self.maxpool4 = nn.MaxPool2d(2, 2, ceil_mode=True)
            module = Inception(inputs, sizes)
            self.add_module(f"inception{name}", module)
            inputs = module.channels


GOOGLENET = Architecture(
    name="googlenet",
    build=GoogLeNet,
    summary="nine inception modules, 5.6 M parameters",
    source="Szegedy et al. 2015",
    published={"published": "googlenet-1378be20.pth"},
    dropped=("fc.", "aux1.", "aux2."),
)
