"""MobileNetV2: inverted residuals with linear bottlenecks (Sandler et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from kindred.training.architectures.backbone import Architecture, ChainBackbone, TapSpec

__all__ = ["MOBILENET_V2", "InvertedResidual", "MobileNetV2"]

# The paper's table 2, one row a stage: expansion, channels, blocks, stride of the first block.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)

# The last block before each change of stride, the last one at stride 16, and the last two layers.
_TAPS = (
    TapSpec("features.3", 24, 4),
    TapSpec("features.6", 32, 8),
    TapSpec("features.10", 64, 16),
    TapSpec("features.13", 96, 16),
    TapSpec("features.17", 320, 32),
    TapSpec("features.18", 1280, 32),
)


def _conv_norm(inputs: int, channels: int, *, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm and ReLU6; the parameters are named 0 and 1."""
    return nn.Sequential(
        nn.Conv2d(inputs, channels, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """1×1 convolution to `expansion` times the channels, 3×3 depthwise, 1×1 back, linear; residual where shapes agree.

    Without an expansion the first of the three is left out.
    """

    def __init__(self, inputs: int, channels: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.conv = nn.Sequential(
            *([_conv_norm(inputs, hidden, size=1)] if expansion > 1 else []),
            _conv_norm(hidden, hidden, size=3, stride=stride, groups=hidden),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.residual = stride == 1 and inputs == channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, channels, H / stride, W / stride)."""
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


class MobileNetV2(ChainBackbone):
    """MobileNetV2 of width 1 without its classifier, as torchvision's (Sandler et al. 2018).

    Images (B, 3, H, W) to maps of 24 to 1280 channels at strides 4 to 32, named after their layers, `features.3` to
    `features.18`. Only the last map is behind an activation, ReLU6: the others have negative values too.
    """

    def __init__(self) -> None:
        ends = [int(tap.name.partition(".")[2]) + 1 for tap in _TAPS]
        steps = [
            [f"features.{at}" for at in range(start, end)] for start, end in zip([0, *ends[:-1]], ends, strict=True)
        ]
        super().__init__(_TAPS, steps)
        self.features = nn.Sequential(
            _conv_norm(3, 32, size=3, stride=2),
            *_blocks(32),
            _conv_norm(320, 1280, size=1),
        )


def _blocks(inputs: int) -> Iterator[InvertedResidual]:
    for expansion, channels, blocks, stride in _STAGES:
        for at in range(blocks):
            yield InvertedResidual(inputs, channels, expansion=expansion, stride=stride if at == 0 else 1)
            inputs = channels


MOBILENET_V2 = Architecture(
    name="mobilenet_v2",
    build=MobileNetV2,
    summary="inverted residuals, 2.2 M parameters",
    source="Sandler et al. 2018",
    published={"published": "mobilenet_v2-b0353104.pth", "published-v2": "mobilenet_v2-7ebf99e0.pth"},
    dropped=("classifier.",),
)
