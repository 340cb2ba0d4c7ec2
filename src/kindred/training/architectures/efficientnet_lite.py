"""EfficientNet-Lite: inverted residuals without squeeze-and-excite, for quantised inference (Tan and Le 2019)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from kindred.backbones.efficientnet_lite import EPSILON, HEAD, LITE, MEAN, STD, STEM, Block, Lite, packaged_weights
from kindred.training.architectures.backbone import Architecture, ChainBackbone, TapSpec

__all__ = ["EFFICIENTNET_LITE", "EfficientNetLite", "SamePadded"]


class SamePadded(nn.Conv2d):
    """A convolution, padded as in TensorFlow: to ceil(H / stride) rows, an odd pixel being added at the end."""

    def __init__(self, inputs: int, channels: int, size: int, *, stride: int = 1, groups: int = 1) -> None:
        inside = size // 2 if stride == 1 else 0  # at stride 1 both sides are padded alike
        super().__init__(inputs, channels, size, stride, inside, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, channels, ceil(H / stride), ceil(W / stride))."""
        if self.stride[0] == 2:
            # Without branches on the sides, which a traced graph would not repeat.
            short, width = self.kernel_size[0] - 2, (x.shape[3] % 2, x.shape[2] % 2)
            pads = [part for odd in width for part in ((short + odd) // 2, (short + odd + 1) // 2)]
            x = nn.functional.pad(x, pads)
        return super().forward(x)


class LiteBlock(nn.Module):
    """1×1 to `hidden` channels, depthwise, 1×1 to `channels`, linear; residual where shapes agree."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        if block.hidden != block.inputs:
            self._expand_conv = SamePadded(block.inputs, block.hidden, 1)
            self._bn0 = _norm(block.hidden)
        self._depthwise_conv = SamePadded(
            block.hidden, block.hidden, block.kernel, stride=block.stride, groups=block.hidden
        )
        self._bn1 = _norm(block.hidden)
        self._project_conv = SamePadded(block.hidden, block.channels, 1)
        self._bn2 = _norm(block.channels)
        self._residual = block.residual

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, channels, H / stride, W / stride)."""
        y = nn.functional.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
        y = nn.functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        out: Tensor = x + y if self._residual else y
        return out


class EfficientNetLite(ChainBackbone):
    """An EfficientNet-Lite without its classifier, with the names of the package `efficientnet_lite_pytorch`.

    Images (B, 3, H, W) to maps of strides 4 to 32, the ends of blocks, `blocks.3` for `_blocks.3`, and `features`, 1280
    channels behind ReLU6. All but the last have negative values too.
    """

    def __init__(self, lite: Lite) -> None:
        taps = [TapSpec(*tap) for tap in lite.taps()]
        steps, start = [], 0
        for tap in taps[:-1]:
            end = int(tap.name.partition(".")[2]) + 1
            steps.append([f"_blocks.{at}" for at in range(start, end)])
            start = end
        steps[0] = ["_conv_stem", "_bn0", "_stem_relu6", *steps[0]]
        steps.append(["_conv_head", "_bn1", "_head_relu6"])
        super().__init__(taps, steps, mean=(MEAN,) * 3, std=(STD,) * 3)
        blocks = list(lite.blocks())
        self._conv_stem = SamePadded(3, STEM, 3, stride=2)
        self._bn0 = _norm(STEM)
        self._stem_relu6 = nn.ReLU6(inplace=True)
        self._blocks = nn.Sequential(*map(LiteBlock, blocks))
        self._conv_head = SamePadded(blocks[-1].channels, HEAD, 1)
        self._bn1 = _norm(HEAD)
        self._head_relu6 = nn.ReLU6(inplace=True)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=0.01)


def _architecture(lite: Lite, summary: str) -> Architecture:
    return Architecture(
        name=lite.name,
        build=partial(EfficientNetLite, lite),
        summary=summary,
        source="Tan and Le 2019, Liu 2020",
        packaged=partial(packaged_weights, lite),
        dropped=("_fc.",),
    )


EFFICIENTNET_LITE = tuple(
    _architecture(LITE[name], f"inverted residuals, {millions} M parameters")
    for name, millions in (("efficientnet_lite0", 3.4), ("efficientnet_lite1", 4.1), ("efficientnet_lite2", 4.8))
)
