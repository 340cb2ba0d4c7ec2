"""The student of a distillation: chains of blocks that follow the feature maps of their teachers. `kin` is one.

Each stage ends at one tap of a teacher, with as many channels and the same stride, so that it can be trained on its
own: it is given the teacher's map of the tap before and learns to return the teacher's map of its own tap (blockwise
distillation: Wang et al. 2018, Li et al. 2020). Put one after the other the stages are a network.

Blocks are inverted residuals, as their teachers' are, but wider: what is to be returned is then of a kind that they can
return, and of many ways to do it one is soon found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    Maps = dict[str, Tensor]

__all__ = ["Chain", "InvertedBlock", "Stage", "Student"]

WHOLE = 16
"""The stride from which on a stage that learns alone sees all images."""


@dataclass(frozen=True)
class Stage:
    """Some blocks that end at one map. `target` is the teacher's map they are to return, "" where they are free."""

    target: str
    channels: int
    stride: int  # of the map to the image, in pixels
    blocks: int
    expansion: int  # of a block's channels, in its middle


@dataclass(frozen=True)
class Chain:
    """The stages and the head that follow one teacher. `start` is the stage of the first chain whose map it takes.

    The first chain starts at the image (`start` −1).
    """

    teacher: str
    stages: tuple[Stage, ...]
    head: int  # channels of the teacher's last map
    start: int = -1


class InvertedBlock(nn.Module):
    """1×1 convolution to `expansion` times the channels, 3×3 by channel, 1×1 to `channels` (Sandler et al. 2018).

    ReLU6 behind the first two; residual where shapes agree.
    """

    def __init__(self, inputs: int, channels: int, *, expansion: int, stride: int = 1) -> None:
        super().__init__()
        hidden = expansion * inputs
        self.expand = nn.Conv2d(inputs, hidden, 1, bias=False)
        self.expand_norm = nn.BatchNorm2d(hidden)
        self.spread = nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False)
        self.spread_norm = nn.BatchNorm2d(hidden)
        self.project = nn.Conv2d(hidden, channels, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(channels)
        self.residual = stride == 1 and inputs == channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, channels, H / stride, W / stride)."""
        wide = nn.functional.relu6(self.expand_norm(self.expand(x)))
        wide = nn.functional.relu6(self.spread_norm(self.spread(wide)))
        y: Tensor = self.project_norm(self.project(wide))
        return x + y if self.residual else y


class Stem(nn.Module):
    """3×3 convolution of stride 2 on the image, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, channels, H / 2, W / 2)."""
        return torch.relu(self.norm(self.conv(x)))


def _blocks(inputs: int, stage: Stage, stride: int) -> nn.Sequential:
    """The blocks of one stage, the first ones taking its stride in steps of 2."""
    steps = [2] * (stride.bit_length() - 1)
    blocks: list[nn.Module] = []
    for step in steps + [1] * max(0, stage.blocks - len(steps)):
        blocks.append(InvertedBlock(inputs, stage.channels, expansion=stage.expansion, stride=step))
        inputs = stage.channels
    return nn.Sequential(*blocks)


class Student(nn.Module):
    """Chains of stages on one stem, each with a head.

    Its stages can be trained side by side or as one network: see `forward`.
    """

    STEM = 32

    def __init__(self, chains: Sequence[Chain]) -> None:
        super().__init__()
        self.chains = tuple(chains)
        self.stem = Stem(self.STEM)
        self.stages, self.heads = nn.ModuleList(), nn.ModuleList()
        trunk = self.chains[0].stages
        for chain in self.chains:
            start = trunk[chain.start] if chain.start >= 0 else None
            inputs, stride = (start.channels, start.stride) if start else (self.STEM, 2)
            blocks = nn.ModuleList()
            for stage in chain.stages:
                blocks.append(_blocks(inputs, stage, stage.stride // stride))
                inputs, stride = stage.channels, stage.stride
            self.stages.append(blocks)
            self.heads.append(nn.Conv2d(inputs, chain.head, 1))
        _initialise(self)

    def forward(self, images: Tensor, forced: Maps | None = None) -> Maps:
        """Images (B, 3, H, W), normalised, to one map for each target and, keyed by teacher, one for each head.

        With `forced` (maps keyed by target) every stage sees its teacher's map instead of the stage before, so that
        all learn side by side and no gradient passes from one to the next. A map has many positions where its stride
        is small: then stages of stride 8, 4 and 2 see the first half, quarter and eighth of the images, at least two,
        and their maps are of these.
        """
        maps: Maps = {}
        first = self.chains[0].stages[0]
        x = self.stem(images if forced is None else images[: _seen(first.stride, len(images))])
        trunk: list[Tensor] = []
        for chain, stages, head in zip(self.chains, self.stages, self.heads, strict=True):
            if chain.start >= 0:
                x = trunk[chain.start]
            for stage, blocks in zip(chain.stages, stages, strict=True):  # type: ignore[call-overload]
                x = blocks(x if forced is None else x[: _seen(stage.stride, len(images))])
                if stage.target:
                    maps[stage.target] = x
                    x = x if forced is None else forced[stage.target]
                if chain.start < 0:
                    trunk.append(x)
            maps[chain.teacher] = torch.relu(head(x))
        return maps


def _seen(stride: int, images: int) -> int:
    """Return how many of the images a stage sees that learns alone."""
    return max(2, images * min(stride, WHOLE) // WHOLE)


def _initialise(student: Student) -> None:
    for module in student.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        # A residual block starts as the identity (Goyal et al. 2017); the others must not start at zero.
        if isinstance(module, InvertedBlock) and module.residual:
            nn.init.zeros_(module.project_norm.weight)
