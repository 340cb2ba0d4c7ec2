from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kindred.backbones.blocks import block_ends
from kindred.errors import ModelError


def test_block_ends_of_a_residual_network(tiny: Callable[..., Path]) -> None:
    # "trunk" is where the shortcut leaves, "block" where it joins and is activated.
    ends = [(tap.name, tap.channels, tap.stride) for tap in block_ends(tiny(), until="deep")]
    assert ends[:2] == [("trunk", 8, 4), ("block", 8, 4)]
    with pytest.raises(ModelError, match="the graph has no feature map 'logits'"):
        block_ends(tiny(), until="logits")


def test_block_ends_of_linear_bottlenecks(shared: Path) -> None:
    # torchvision's MobileNetV2: (t, c, n, s) = (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), …
    channels = [24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320]
    strides = [4, 4, 8, 8, 8, *[16] * 7, *[32] * 4]
    expected = [(f"features.{2 + at}", *pair) for at, pair in enumerate(zip(channels, strides, strict=True))]
    ends = block_ends(shared / "weights" / "mobilenet_v2.onnx", until="features.18")
    assert [(tap.name, tap.channels, tap.stride) for tap in ends] == expected


def test_block_ends_of_a_network_with_other_names(shared: Path) -> None:
    ends = block_ends(shared / "weights" / "mobilenet_edgetpu.onnx", until="features")
    assert [(tap.name, tap.channels, tap.stride) for tap in ends][-6:] == [
        ("block16", 96, 16),
        ("expanded_conv_17.project", 160, 32),
        ("expanded_conv_18.add", 160, 32),
        ("expanded_conv_19.add", 160, 32),
        ("expanded_conv_20.add", 160, 32),
        ("expanded_conv_21.project", 192, 32),
    ]
