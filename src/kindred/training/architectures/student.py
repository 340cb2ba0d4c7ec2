"""The student of a distillation: chains of blocks that follow the feature maps of their teachers. `kin` is one.

Each stage ends at one tap of a teacher, with as many channels and the same stride, so that it can be trained on its
own: it is given the teacher's map of the tap before and learns to return the teacher's map of its own tap (blockwise
distillation: Wang et al. 2018, Li et al. 2020). Put one after the other the stages are a network.

Blocks are inverted residuals, as their teachers' are, but wider: what is to be returned is then of a kind that they can
return, and of many ways to do it one is soon found. Where maps are large and have few channels they are fused instead,
which costs a fourth of the time and learns as well (Tan and Le 2021).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    Maps = dict[str, Tensor]

__all__ = ["Chain", "FusedBlock", "InvertedBlock", "Segment", "Stage", "Student"]

FUSED = 4
"""The largest stride of a stage whose blocks are fused."""


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


class FusedBlock(nn.Module):
    """3×3 convolution to `expansion` times the channels, ReLU6, 1×1 to `channels`; residual where shapes agree.

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
    """Patches of 3×3 pixels at stride 2 in a basis of their own, 1×1 and 3×3 convolution, ReLU behind these two.

    Neighbouring pixels are much alike, so that filters on them are slow to learn. `whiten` sets the basis such that
    what the first layer that learns sees is uncorrelated (Jordan 2024).
    """

    PATCH = 27  # numbers of a patch: all are kept

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.basis = nn.Conv2d(3, self.PATCH, 3, 2, 1)
        self.conv = nn.Conv2d(self.PATCH, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.mix = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.mix_norm = nn.BatchNorm2d(channels)

    @torch.no_grad()
    def whiten(self, images: Tensor, floor: float = 1e-3) -> None:
        """Take as basis the principal axes of the patches of images (B, 3, H, W), over their strengths plus `floor`."""
        patches = nn.functional.unfold(images.float(), 3, stride=2).transpose(1, 2).reshape(-1, self.PATCH).double()
        powers, axes = torch.linalg.eigh(patches.T @ patches / len(patches))
        self.basis.weight.copy_((axes / (powers + floor).sqrt()).T.reshape(self.basis.weight.shape))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, channels, H / 2, W / 2)."""
        x = torch.relu(self.norm(self.conv(self.basis(x))))
        return torch.relu(self.mix_norm(self.mix(x)))


def _blocks(inputs: int, stage: Stage, stride: int) -> nn.Sequential:
    """The blocks of one stage, the first ones taking its stride in steps of 2."""
    block = FusedBlock if stage.stride <= FUSED else InvertedBlock
    steps = [2] * (stride.bit_length() - 1)
    blocks: list[nn.Module] = []
    for step in steps + [1] * max(0, stage.blocks - len(steps)):
        blocks.append(block(inputs, stage.channels, expansion=stage.expansion, stride=step))
        inputs = stage.channels
    return nn.Sequential(*blocks)


@dataclass(frozen=True, eq=False)
class Segment:
    """What lies between two maps: from `before`, "" for the image, to `name`, a target or a teacher's head.

    `stride` is that of the map it ends at.
    """

    name: str
    before: str
    stride: int
    modules: tuple[nn.Module, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Carry the one map to the other."""
        for module in self.modules:
            x = module(x)
        return x


class Student(nn.Module):
    """Chains of stages on one stem, each with a head: a network, or pieces that each learn alone. See `forward`."""

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
        """Yield the pieces, each behind those that it takes its map from."""
        modules: tuple[nn.Module, ...] = (self.stem,)
        trunk = [("", modules)]  # where each stage of the trunk begins: the last target, and what follows on it
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

    def forward(self, images: Tensor, forced: Maps | None = None, names: Collection[str] | None = None) -> Maps:
        """Images (B, 3, H, W), normalised, to one map for each target and, keyed by teacher, one for each head.

        With `forced` (maps keyed by target) every piece sees its teacher's map instead of the piece before, so that
        all learn side by side and no gradient passes from one to the next; then those of `names` alone can be asked
        for.
        """
        maps: Maps = {}
        given = {"": images, **(forced or {})}
        for piece in self.segments:
            if names is None or piece.name in names:
                maps[piece.name] = piece(given[piece.before])
                if forced is None:
                    given[piece.name] = maps[piece.name]
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
