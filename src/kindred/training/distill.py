"""Distillation: a small network of one's own learns the feature maps of pretrained ones on unlabelled images.

The first teacher leads: the student is a cascade with one stage for each of its taps. For the first third of the
steps each stage learns alone, fed with the teacher's map of the tap before (blockwise distillation: Wang et al. 2018,
Li et al. 2020), which is many times faster than learning all depths at once; for the rest the stages run as one
network and learn to follow the teacher end to end. Further teachers lend their last map to a branch and a head.

Targets are dense, one vector for each position (Romero et al. 2015), and the pooled description is matched beside them,
for it is what a search will use.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kindred.errors import TrainingError
from kindred.pooling import gem
from kindred.training.checkpoint import load_checkpoint, save_checkpoint
from kindred.training.crops import CropPool
from kindred.training.student import Chain, Stage, Student

__all__ = ["Distillation", "Progress", "Settings", "Teacher", "distill", "plan_student"]

# Hidden channels of a block, by the stride of its map: about 10M parameters for MobileNetV2 and MobileNetEdgeTPU.
HIDDEN = {2: 64, 4: 64, 8: 144, 16: 320, 32: 512}
FREE_CHANNELS = 320  # of a stage that no map of the teacher guides
CALIBRATION_BATCHES = 20
INPUT_MEAN, INPUT_STD = 127.5, 64.0  # of the student's input, in pixel units


class Teacher(Protocol):
    """What a teacher must offer: maps of its taps, in order of depth, the last one being the description's."""

    @property
    def name(self) -> str:
        """Unique among the teachers."""

    @property
    def taps(self) -> Sequence[tuple[str, int, int]]:
        """(name, channels, stride) of each tap."""

    def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Images (B, H, W, 3) uint8 RGB to one map (B, C, h, w) for each tap."""


@dataclass(frozen=True)
class Settings:
    """What a run is made of; with the images and the teachers it decides the result."""

    steps: int = 9_000
    batch: int = 16
    sizes: tuple[int, ...] = (128, 160)  # side of the crops, in pixels; one is drawn for each step
    alone: float = 0.35  # share of the steps in which every stage learns on its own
    rate: float = 1.5e-3
    warmup: int = 200
    decay: float = 0.02
    pooled: float = 4.0  # weight of the pooled loss beside the dense one
    seed: int = 0


@dataclass(frozen=True)
class Progress:
    """Where a run stands after `step` steps; losses are shares of unexplained variance, keyed by map."""

    step: int
    steps: int
    images_per_second: float
    losses: Mapping[str, float]
    validation: Mapping[str, float] | None


@dataclass(frozen=True, eq=False)
class Distillation:
    """A finished student, in eval mode, and how far it got. `held` are crops (B, 3, H, W) not learnt from."""

    student: Student
    held: Tensor
    images: int
    seconds: float
    validation: Mapping[str, float]


def plan_student(teachers: Sequence[Teacher]) -> tuple[Chain, ...]:
    """Lay out a student for `teachers`: the first from the image on, the others from half their final stride on."""
    lead, *others = teachers
    trunk = _chain(lead, lead.taps[:-1], start=-1)
    chains = [trunk]
    for teacher in others:
        half = teacher.taps[-1][2] // 2
        before = [tap for tap in teacher.taps[:-1] if tap[2] == half][-1:]
        start = max((i for i, stage in enumerate(trunk.stages) if stage.stride <= half), default=0)
        chains.append(_chain(teacher, [*before, *(tap for tap in teacher.taps[:-1] if tap[2] > half)], start=start))
    return tuple(chains)


def _chain(teacher: Teacher, taps: Sequence[tuple[str, int, int]], *, start: int) -> Chain:
    """One block for each map; two for the first of a chain, which has the most to make up for."""
    stages = [
        Stage(f"{teacher.name}/{tap}", channels, stride, blocks=2 if index == 0 else 1, hidden=HIDDEN[stride])
        for index, (tap, channels, stride) in enumerate(taps)
        if stride in HIDDEN
    ]
    _, head, stride = teacher.taps[-1]
    if not stages or stages[-1].stride < stride:
        stages.append(Stage("", FREE_CHANNELS, stride, blocks=3, hidden=HIDDEN[stride]))
    return Chain(teacher.name, tuple(stages), head, start)


class _Targets:
    """The teachers' maps, standardised: per channel for inner taps, by one number for a last map (it stays ≥ 0)."""

    def __init__(self, teachers: Sequence[Teacher], chains: Sequence[Chain]) -> None:
        self._teachers = teachers
        self._inner = {stage.target for chain in chains for stage in chain.stages if stage.target}
        self.mean: dict[str, Tensor] = {}
        self.std: dict[str, Tensor] = {}

    def raw(self, batch: NDArray[np.uint8]) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = {}
        for teacher in self._teachers:
            names = [*(f"{teacher.name}/{tap}" for tap, _, _ in teacher.taps[:-1]), teacher.name]
            for name, found, (_, _, stride) in zip(names, teacher.run(batch), teacher.taps, strict=True):
                if name in self._inner or name == teacher.name:
                    maps[name] = _fitted(torch.from_numpy(found), batch.shape[1], stride)
        return maps

    def calibrate(self, batches: Iterator[NDArray[np.uint8]]) -> None:
        """Measure mean and standard deviation of each map."""
        sums: dict[str, list[Tensor]] = {}
        for batch in batches:
            for name, maps in self.raw(batch).items():
                per_channel = maps.double().transpose(0, 1).flatten(1)
                sums.setdefault(name, []).append(torch.stack([per_channel.mean(1), per_channel.square().mean(1)]))
        for name, parts in sums.items():
            mean, square = torch.stack(parts).mean(0)
            variance = (square - mean.square()).clamp(min=0)
            if name in self._inner:
                # A channel that hardly varies must not be blown up: its noise would be a target like any other.
                self.mean[name] = mean.float()
                self.std[name] = variance.clamp(min=float(variance.mean()) * 1e-2).sqrt().float()
            else:
                self.mean[name] = torch.zeros(1)
                self.std[name] = variance.mean().sqrt().float().reshape(1)

    def __call__(self, batch: NDArray[np.uint8]) -> dict[str, Tensor]:
        return {
            name: ((maps - self.mean[name].view(1, -1, 1, 1)) / self.std[name].view(1, -1, 1, 1)).contiguous(
                memory_format=torch.channels_last
            )
            for name, maps in self.raw(batch).items()
        }


def _fitted(maps: Tensor, size: int, stride: int) -> Tensor:
    """Maps (B, C, h, w) of crops of `size` pixels, brought to the student's sides: some networks do not pad."""
    side = -(-size // stride)
    if maps.shape[2:] == (side, side):
        return maps
    return F.interpolate(maps, (side, side), mode="bilinear", align_corners=False)


def images_to_input(batch: NDArray[np.uint8]) -> Tensor:
    """Images (B, H, W, 3) uint8 to the student's input (B, 3, H, W), channels last, about −2 to 2."""
    return ((torch.from_numpy(batch).float() - INPUT_MEAN) / INPUT_STD).permute(0, 3, 1, 2)


def _losses(maps: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Mean squared error of each map, targets being standardised: the share of variance left unexplained."""
    return {name: F.mse_loss(maps[name].float(), target) for name, target in targets.items()}


def _pooled_losses(
    maps: Mapping[str, Tensor], targets: Mapping[str, Tensor], heads: Sequence[str]
) -> dict[str, Tensor]:
    """1 − cosine of the GeM descriptions, for each head."""
    return {
        f"{name}.gem": 1 - F.cosine_similarity(gem(maps[name].float(), eps=1e-3), gem(targets[name], eps=1e-3)).mean()
        for name in heads
    }


def _rate(step: int, settings: Settings) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov and Hutter 2017)."""
    warm = min(1.0, (step + 1) / settings.warmup)
    return settings.rate * warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


class _Run:
    """The state of one distillation: what a checkpoint holds, and one step of it."""

    def __init__(self, teachers: Sequence[Teacher], pool: CropPool, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        chains = plan_student(teachers)
        self.settings, self.pool = settings, pool
        self.targets = _Targets(teachers, chains)
        self.heads = [chain.teacher for chain in chains]
        self.student = Student(chains)
        self.student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stub
        self.optimiser = torch.optim.AdamW(
            self.student.parameters(), lr=settings.rate, weight_decay=settings.decay, fused=True
        )
        self.step, self.seconds = 0, 0.0

    def crops(self, step: int) -> NDArray[np.uint8]:
        sizes = self.settings.sizes
        size = sizes[int(np.random.default_rng([self.settings.seed, step]).integers(len(sizes)))]
        return self.pool.crops(self.settings.batch, size, seed=[self.settings.seed, step, 1])

    def learn(self, crops: NDArray[np.uint8]) -> dict[str, float]:
        """Take one step on `crops`; return the losses before it."""
        settings = self.settings
        targets = self.targets(crops)
        alone = self.step < settings.alone * settings.steps
        for group in self.optimiser.param_groups:
            group["lr"] = _rate(self.step, settings)
        with torch.autocast("cpu", torch.bfloat16):
            maps = self.student(images_to_input(crops), targets if alone else None)
        dense = _losses(maps, targets)
        pooled = _pooled_losses(maps, targets, self.heads)
        loss = torch.stack(list(dense.values())).sum() + settings.pooled * torch.stack(list(pooled.values())).sum()
        if not torch.isfinite(loss):
            raise TrainingError(f"step {self.step}: the loss is {loss.item()}; lower the rate ({settings.rate})")
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        return {name: value.item() for name, value in (dense | pooled).items()}

    def validate(self, crops: NDArray[np.uint8]) -> dict[str, float]:
        """Losses of the whole student, end to end, on `crops`."""
        self.student.eval()
        targets = self.targets(crops)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            maps = self.student(images_to_input(crops))
        self.student.train()
        losses = _losses(maps, targets) | _pooled_losses(maps, targets, self.heads)
        return {name: value.item() for name, value in losses.items()}

    def identity(self, teachers: Sequence[Teacher]) -> str:
        """What a checkpoint must agree with before a run may go on from it."""
        made_of = dataclasses.asdict(self.settings) | {
            "teachers": [teacher.name for teacher in teachers],
            "images": len(self.pool),
        }
        return json.dumps(made_of, sort_keys=True)


def distill(
    teachers: Sequence[Teacher],
    pool: CropPool,
    *,
    settings: Settings,
    folder: Path,
    progress: Callable[[Progress], None] | None = None,
    checkpoint_every: float = 120.0,
    validate_every: int = 500,
) -> Distillation:
    """Train a student on crops of `pool` until it returns the teachers' maps.

    `folder` holds the checkpoint, from which an interrupted run goes on exactly, and `log.csv`. Seconds are counted
    over all parts of a run. Raises `TrainingError` where the checkpoint belongs to other settings or the loss diverges.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(teachers, pool, settings)
    identity = run.identity(teachers)
    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.exists():
        _restore(run, checkpoint, identity)
    else:
        run.targets.calibrate(
            pool.crops(settings.batch, size, seed=[settings.seed, index, 2])
            for index in range(CALIBRATION_BATCHES)
            for size in settings.sizes[-1:]
        )
    held = pool.crops(64, settings.sizes[-1], seed=[settings.seed, 3])
    began, saved, first = time.monotonic() - run.seconds, time.monotonic(), run.step
    with ThreadPoolExecutor(1) as ahead, _Log(folder / "log.csv", run.step) as log:
        coming = ahead.submit(run.crops, run.step)
        while run.step < settings.steps:
            crops = coming.result()
            coming = ahead.submit(run.crops, run.step + 1)
            losses = run.learn(crops)
            now = time.monotonic()
            run.seconds = now - began
            validation = None
            if run.step % validate_every == 0 or run.step == settings.steps:
                validation = run.validate(held)
            pace = (run.step - first) * settings.batch / max(now - log.opened, 1e-9)
            here = Progress(run.step, settings.steps, pace, losses, validation)
            log.write(here, run.seconds)
            if progress is not None:
                progress(here)
            if now - saved > checkpoint_every or run.step == settings.steps:
                _save(run, checkpoint, identity)
                saved = now
        coming.cancel()
    validation = run.validate(held)
    run.student.eval()
    return Distillation(run.student, images_to_input(held), len(pool), run.seconds, validation)


def _save(run: _Run, file: Path, identity: str) -> None:
    tensors = {f"student.{name}": value for name, value in run.student.state_dict().items()}
    for number, state in run.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{key}": value for key, value in state.items()}
    tensors |= {f"mean.{name}": value for name, value in run.targets.mean.items()}
    tensors |= {f"std.{name}": value for name, value in run.targets.std.items()}
    save_checkpoint(file, tensors, {"identity": identity, "step": str(run.step), "seconds": str(run.seconds)})


def _restore(run: _Run, file: Path, identity: str) -> None:
    tensors, facts = load_checkpoint(file)
    if facts.get("identity") != identity:
        raise TrainingError(
            f"{file}: belongs to a run with other settings ({facts.get('identity')}, now {identity}); "
            "use the same ones or another folder"
        )

    def part(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

    run.student.load_state_dict(part("student."))
    parameters = list(run.student.parameters())
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in part("optimiser.").items():
        number, key = name.split(".", 1)
        like = parameters[int(number)]
        # The fused optimiser walks memory: its averages must lie in memory as their parameter does.
        laid = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        state.setdefault(int(number), {})[key] = laid
    run.optimiser.load_state_dict({"state": state, "param_groups": run.optimiser.state_dict()["param_groups"]})
    run.targets.mean, run.targets.std = part("mean."), part("std.")
    run.step, run.seconds = int(facts["step"]), float(facts["seconds"])


class _Log:
    """`log.csv`: one row every 50 steps, and one for each validation; a resumed run cuts what lies after its step."""

    EVERY = 50

    def __init__(self, file: Path, step: int) -> None:
        self.opened = time.monotonic()
        rows = []
        if file.exists():
            with file.open(newline="", encoding="utf-8") as old:
                rows = [row for row in csv.reader(old) if row and row[0].isdigit() and int(row[0]) <= step]
        self._file = file.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._rows.writerow(["step", "seconds", "part", "map", "loss"])
        self._rows.writerows(rows)

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, here: Progress, seconds: float) -> None:
        parts: list[tuple[str, Mapping[str, float]]] = []
        if here.step % self.EVERY == 0:
            parts.append(("training", here.losses))
        if here.validation is not None:
            parts.append(("validation", here.validation))
        for part, losses in parts:
            for name, loss in losses.items():
                self._rows.writerow([here.step, round(seconds, 1), part, name, f"{loss:.5f}"])
        if parts:
            self._file.flush()
