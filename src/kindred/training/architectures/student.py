"""The student of a distillation: chains of blocks that follow the feature maps of their teachers. `kin` is one.

Each stage ends at one tap of a teacher, with as many channels and the same stride, so that it can be trained
separately: its input is the teacher's map of the tap before, its target the teacher's map of its own tap (blockwise
distillation: Wang et al. 2018, Li et al. 2020). One after the other the stages are a network.

Blocks are inverted residuals like their teachers', but wider: they can represent their targets, and with more
parameters than needed they are soon trained. Where maps are large and have few channels they are fused instead, which
takes a quarter of the time and learns as well (Tan and Le 2021).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

__all__ = ["Chain", "FusedBlock", "InvertedBlock", "Segment", "Stage", "Student"]

Maps: TypeAlias = dict[str, Tensor]

FUSED = 4
"""The largest stride of a stage whose blocks are fused."""


@dataclass(frozen=True)
class Stage:
    """Blocks that end at one map. `target` is the teacher's map that they are trained to return, "" for none."""

    target: str
    channels: int
    stride: int  # of the map to the image, in pixels
    blocks: int
    expansion: int  # of the channels inside a block


@dataclass(frozen=True)
class Chain:
    """The stages and the head that follow one teacher; the first chain is the trunk, the others are branches.

    start: the stage of the trunk whose map a branch takes as its input; −1 for the trunk, which starts at the image.
    """

    teacher: str
    stages: tuple[Stage, ...]
    head: int  # channels of the teacher's last map
    start: int = -1


class FusedBlock(nn.Module):
    """3×3 convolution to `expansion` times the channels, ReLU6, 1×1 to `channels`; a shortcut where shapes agree.

    Source: Tan and Le 2021.
    """

    def __init__(self, inputs: int, channels: int, *, expansion: int, stride: int = 1) -> None:
        super().__init__()
        hidden = expansion * inputs
        self.expand = nn.Conv2d(inputs, hidden, 3, stride, 1, bias=False)
        self.expand_norm = nn.BatchNorm2d(hidden)
        self.project = nn.Conv2d(hidden, channels, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(channels)
        self.residual = stride == 1 and inputs == channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, channels, H / stride, W / stride)."""
        wide = nn.functional.relu6(self.expand_norm(self.expand(x)))
        y: Tensor = self.project_norm(self.project(wide))
        return x + y if self.residual else y


class InvertedBlock(nn.Module):
    """1×1 convolution to `expansion` times the channels, 3×3 depthwise, 1×1 to `channels` (Sandler et al. 2018).

    ReLU6 after the first two; a shortcut where shapes agree.
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
    """A whitened basis of 3×3 patches at stride 2, then a 1×1 and a 3×3 convolution with ReLU.

    Neighbouring pixels are strongly correlated, so that filters on them are slow to learn. `whiten` sets the basis such
    that the input of the first trained layer is uncorrelated (Jordan 2024).
    """

    PATCH = 27  # values of a patch, 3 × 3 × 3; the basis keeps all dimensions

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.basis = nn.Conv2d(3, self.PATCH, 3, 2, 1)
        self.conv = nn.Conv2d(self.PATCH, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.mix = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.mix_norm = nn.BatchNorm2d(channels)

    @torch.no_grad()
    def whiten(self, images: Tensor, floor: float = 1e-3) -> None:
        """Set the basis to the principal axes of the patches of images (B, 3, H, W), over √(variance + `floor`)."""
        patches = nn.functional.unfold(images.float(), 3, stride=2).transpose(1, 2).reshape(-1, self.PATCH).double()
        powers, axes = torch.linalg.eigh(patches.T @ patches / len(patches))
        self.basis.weight.copy_((axes / (powers + floor).sqrt()).T.reshape(self.basis.weight.shape))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, channels, H / 2, W / 2)."""
        x = torch.relu(self.norm(self.conv(self.basis(x))))
        return torch.relu(self.mix_norm(self.mix(x)))


def _blocks(inputs: int, stage: Stage, stride: int) -> nn.Sequential:
    """Return the blocks of one stage, the first of them with a stride of 2 each until the stride is reached."""
    block = FusedBlock if stage.stride <= FUSED else InvertedBlock
    steps = [2] * (stride.bit_length() - 1)
    blocks: list[nn.Module] = []
    for step in steps + [1] * max(0, stage.blocks - len(steps)):
        blocks.append(block(inputs, stage.channels, expansion=stage.expansion, stride=step))
        inputs = stage.channels
    return nn.Sequential(*blocks)


@dataclass(frozen=True, eq=False)
class Segment:
    """The layers between two maps: from `before`, "" for the image, to `name`, a target or a teacher's head.

    `stride` is that of the map at its end.
    """

    name: str
    before: str
    stride: int
    modules: tuple[nn.Module, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Compute the map at the end from the map at the beginning."""
        for module in self.modules:
            x = module(x)
        return x


class Student(nn.Module):
    """Chains of stages on one stem, each with a head: one network, or segments trained separately. See `forward`."""

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
            self.heads.append(nn.Sequential(nn.Conv2d(inputs, chain.head, 1), nn.ReLU()))
        self.segments = tuple(self._segments())
        _initialise(self)

    def _segments(self) -> Iterator[Segment]:
        """Yield the segments, each after those that its input comes from."""
        modules: tuple[nn.Module, ...] = (self.stem,)
        trunk = [("", modules)]  # where each stage of the trunk begins: the last target, and the layers after it
        for chain, stages, head in zip(self.chains, self.stages, self.heads, strict=True):
            before, modules = trunk[chain.start + 1]
            for stage, blocks in zip(chain.stages, stages, strict=True):  # type: ignore[call-overload]
                modules = (*modules, blocks)
                if stage.target:
                    yield Segment(stage.target, before, stage.stride, modules)
                    before, modules = stage.target, ()
                if chain.start < 0:
                    trunk.append((before, modules))
            yield Segment(chain.teacher, before, chain.stages[-1].stride, (*modules, head))

    def forward(self, images: Tensor, teacher_maps: Maps | None = None, names: Collection[str] | None = None) -> Maps:
        """Images (B, 3, H, W), normalised, to one map for each target and, keyed by teacher, one for each head.

        teacher_maps: by target; every segment then takes its teacher's map as input instead of the previous segment's
        output (teacher forcing), so that no gradient passes between segments. names: the segments to compute, all for
        None; for teacher forcing only.
        """
        maps: Maps = {}
        given = {"": images, **(teacher_maps or {})}
        for segment in self.segments:
            if names is None or segment.name in names:
                maps[segment.name] = segment(given[segment.before])
                if teacher_maps is None:
                    given[segment.name] = maps[segment.name]
        return maps


def _initialise(student: Student) -> None:
    for module in student.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        # A residual block starts as the identity (Goyal et al. 2017); the others must not start at zero.
        if isinstance(module, (FusedBlock, InvertedBlock)) and module.residual:
            nn.init.zeros_(module.project_norm.weight)
