"""The student of a distillation: chains of blocks that follow the feature maps of their teachers. `kin` is one.

Each stage ends at one tap of a teacher, with as many channels and the same stride, so that it can be trained
separately: its input is the teacher's map of the tap before, its target the teacher's map of its own tap (blockwise
distillation: Wang et al. 2018, Li et al. 2020). One after the other the stages are a network.

Blocks are inverted residuals like their teachers', but wider: they can represent their targets, and with more
parameters than needed they are soon trained. Where maps are large and have few channels they are fused instead, which
takes a quarter of the time and learns as well (Tan and Le 2021).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

__all__ = ["Chain", "FusedBlock", "InvertedBlock", "Maps", "Segment", "Stage", "Student"]

Maps: TypeAlias = dict[str, Tensor]

FUSED = 4
"""The largest stride of a stage whose blocks are fused."""


@dataclass(frozen=True)
class Stage:
    """Blocks that end at one map. `target` is the teacher's map that they are trained to return, "" for none.

    joined: targets of earlier chains, as fine as the map before the stage, which are concatenated to it; the stage
    before has a target of its own then.
    """

    target: str
    channels: int
    stride: int  # of the map to the image, in pixels
    blocks: int
    expansion: int  # of the channels inside a block
    joined: tuple[str, ...] = ()


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

    Where `before` names several maps they are concatenated. `stride` is that of the map at its end, `chain` the number
    of the chain that it belongs to.
    """

    name: str
    before: tuple[str, ...]
    stride: int
    modules: tuple[nn.Module, ...]
    chain: int

    def __call__(self, maps: Mapping[str, Tensor]) -> Tensor:
        """Compute the map at the end from the maps at the beginning."""
        x = maps[self.before[0]] if len(self.before) == 1 else torch.cat([maps[name] for name in self.before], dim=1)
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
        channels = {stage.target: stage.channels for chain in self.chains for stage in chain.stages}
        for chain in self.chains:
            start = trunk[chain.start] if chain.start >= 0 else None
            inputs, stride = (start.channels, start.stride) if start else (self.STEM, 2)
            blocks = nn.ModuleList()
            for stage in chain.stages:
                inputs += sum(channels[name] for name in stage.joined)
                blocks.append(_blocks(inputs, stage, stage.stride // stride))
                inputs, stride = stage.channels, stage.stride
            self.stages.append(blocks)
            self.heads.append(nn.Sequential(nn.Conv2d(inputs, chain.head, 1), nn.ReLU()))
        self.segments = tuple(self._segments())
        self.frozen: frozenset[str] = frozenset()
        _initialise(self)

    def _segments(self) -> Iterator[Segment]:
        """Yield the segments, each after those that its input comes from."""
        modules: tuple[nn.Module, ...] = (self.stem,)
        trunk = [("", modules)]  # where each stage of the trunk begins: the last target, and the layers after it
        for number, (chain, stages, head) in enumerate(zip(self.chains, self.stages, self.heads, strict=True)):
            name, modules = trunk[chain.start + 1]
            before: tuple[str, ...] = (name,)
            for stage, blocks in zip(chain.stages, stages, strict=True):  # type: ignore[call-overload]
                before, modules = (*before, *stage.joined), (*modules, blocks)
                if stage.target:
                    yield Segment(stage.target, before, stage.stride, modules, number)
                    before, modules = (stage.target,), ()
                if chain.start < 0:
                    trunk.append((before[0], modules))
            yield Segment(chain.teacher, before, chain.stages[-1].stride, (*modules, head), number)

    @property
    def trainable(self) -> tuple[Segment, ...]:
        """The segments that are not frozen."""
        return tuple(segment for segment in self.segments if segment.name not in self.frozen)

    def freeze(self, chains: int, *, stride: int) -> None:
        """Keep the first `chains` chains as they are, up to their maps of this stride.

        Frozen layers have no gradients, and batch norms with their running statistics.
        """
        self.frozen = frozenset(
            segment.name for segment in self.segments if segment.chain < chains and segment.stride <= stride
        )
        for module in self._frozen_modules():
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Student:
        """Set the mode of all layers that are not frozen; frozen ones stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    def _frozen_modules(self) -> Iterator[nn.Module]:
        for segment in self.segments:
            if segment.name in self.frozen:
                yield from segment.modules

    @property
    def frontier(self) -> tuple[str, ...]:
        """The maps of frozen segments that trainable ones begin with."""
        names = {name for segment in self.trainable for name in segment.before if name in self.frozen}
        return tuple(segment.name for segment in self.segments if segment.name in names)

    def forward(
        self,
        images: Tensor,
        teacher_maps: Maps | None = None,
        names: Collection[str] | None = None,
        *,
        frozen_maps: Maps | None = None,
    ) -> Maps:
        """Images (B, 3, H, W), normalised, to one map for each target and, keyed by teacher, one for each head.

        teacher_maps: by target; every segment then takes its teacher's map as input instead of the previous segment's
        output (teacher forcing), so that no gradient passes between segments. Frozen segments are not replaced: what
        is trained behind them sees their own output. names: the segments to return, all for None; only what they need
        is computed. frozen_maps: those of `frontier`, where they are known already.
        """
        maps: Maps = {}
        known = frozen_maps or {}
        given = {"": images, **(teacher_maps or {}), **known}
        wanted = {segment.name for segment in self.segments} if names is None else set(names)
        needed = self._needed(wanted, known, forced=teacher_maps is not None)
        for segment in self.segments:
            if segment.name in needed:
                is_frozen = segment.name in self.frozen
                with torch.set_grad_enabled(torch.is_grad_enabled() and not is_frozen):
                    maps[segment.name] = segment(given)
                if teacher_maps is None or is_frozen:
                    given[segment.name] = maps[segment.name]
        return {name: found for name, found in maps.items() if name in wanted}

    def _needed(self, names: Collection[str], known: Collection[str], *, forced: bool) -> set[str]:
        """Return the segments that are computed for those named: with teacher forcing, only frozen ones before them."""
        needed = set(names)
        for segment in reversed(self.segments):
            if segment.name in needed:
                before = (name for name in segment.before if name and name not in known)
                needed.update(name for name in before if not forced or name in self.frozen)
        return needed


def _initialise(student: Student) -> None:
    for module in student.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        # A residual block starts as the identity (Goyal et al. 2017); the others must not start at zero.
        if isinstance(module, (FusedBlock, InvertedBlock)) and module.residual:
            nn.init.zeros_(module.project_norm.weight)
