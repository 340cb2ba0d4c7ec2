"""Distilling: the task of following pretrained networks, for the loop to carry out.

The first teacher leads: the student is a cascade with one piece for each of its taps. For the first part of the run
each piece learns alone, fed with the teacher's map of the tap before (blockwise distillation: Wang et al. 2018, Li et
al. 2020), which is many times faster than learning all depths at once. A piece learns the more often the more it leaves
unexplained: an error at the beginning is passed on to all that follow, and most pieces have soon learned enough. Then
the pieces are one network and learn to follow the teacher end to end. Further teachers lend their last map to a branch
and a head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kindred.errors import UsageError
from kindred.training.architectures.student import Student
from kindred.training.augment import Augmentation, degraded
from kindred.training.distillation.layout import Teacher, plan_student
from kindred.training.distillation.losses import descriptors, feature_loss, pooled_loss, relational_loss
from kindred.training.distillation.targets import Targets
from kindred.training.image_cache import ImageCache
from kindred.training.loop import Schedule
from kindred.training.process_group import ProcessGroup

__all__ = ["INPUT_MEAN", "INPUT_STD", "DistillationSettings", "DistillationTask", "images_to_input"]

INPUT_MEAN, INPUT_STD = 127.5, 64.0  # of the student's input, in pixel units
EPOCH = 500  # steps from one validation to the next, about
CALIBRATION_BATCHES = 20
HELD = 64  # crops that are not learned from, to validate on
MEMORY = 0.9  # of what a piece left unexplained in the steps before


@dataclass(frozen=True)
class DistillationSettings:
    """What a run is made of; with the images and the teachers it decides the result.

    steps, batch: how many batches of how many crops. sizes: sides of the crops, in pixels; one is drawn for each step.
    alone: the share of the steps in which every piece learns on its own: the deepest ones, which are slow to learn and
    cost little, in each of these steps, of the others the share `part`, drawn by what they leave unexplained.
    rate_alone, rate: the largest learning rate in this part of the run and in the other; warmup, decay: as in the
    loop's schedule. pooled, relational: weights of the losses of the description beside the dense one; 25 is that of
    Park et al. 2019. noisy: once the pieces are one network, the share of the crops that the student sees coarser and
    in other light than its teachers do, so that it learns to describe them as they describe a good photograph of the
    same (noisy student: Xie et al. 2020). lead: how many times as strong as another's the first teacher's head is in
    the joined map. varied: whether crops are as varied as in classification (small parts, coarse images) or as mild as
    in retrieval.
    """

    steps: int = 7_000
    batch: int = 32
    sizes: tuple[int, ...] = (128, 160)
    alone: float = 0.6
    part: float = 0.25
    blockwise_rate: float = 2e-2
    rate: float = 2e-3
    warmup: float = 0.05
    decay: float = 0.02
    pooled: float = 5.0
    relational: float = 25.0
    noisy: float = 0.3
    lead: float = 2.0
    varied: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 32 or self.steps < 1 or self.batch < 2:
            raise UsageError(
                f"got {self.steps} steps of {self.batch} crops of {self.sizes} pixels; "
                "expected at least 1 step, 2 crops and 32 pixels"
            )
        if not (0 <= self.alone < 1 and 0 <= self.noisy < 1 and 0 <= self.part <= 1):
            raise UsageError(
                f"alone is {self.alone}, noisy {self.noisy} and part {self.part}; "
                "expected shares from 0 to below 1, part up to 1"
            )

    @property
    def epochs(self) -> int:
        """Parts of the run, of about `EPOCH` steps, after each of which it is validated."""
        return max(1, round(self.steps / EPOCH))

    def schedule(self) -> Schedule:
        """Return how long and how fast the loop is to learn."""
        return Schedule(
            epochs=self.epochs,
            rate=self.blockwise_rate if self.alone else self.rate,
            restart=self.alone,
            again=self.rate,
            warmup=self.warmup,
            decay=self.decay,
            seed=self.seed,
        )


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops (B, S, S, 3) uint8 RGB as the teachers see them and as the student does; `same` (B,): alike for both."""

    shown: NDArray[np.uint8]
    seen: NDArray[np.uint8]
    same: NDArray[np.bool_]


class DistillationTask:
    """A student that learns its teachers' maps on crops of `pictures`; a `kindred.training.loop.Task`."""

    monitor = ""

    def __init__(
        self,
        teachers: Sequence[Teacher],
        pictures: ImageCache,
        settings: DistillationSettings,
        *,
        processes: ProcessGroup,
    ) -> None:
        torch.manual_seed(settings.seed)
        chains = plan_student(teachers)
        self.student = Student(chains)
        self.student.to(processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        self.module: nn.Module = self.student
        self.settings = settings
        self.targets = Targets(teachers, chains, device=processes.device)
        self.identity: Mapping[str, object] = {
            **{key: list(value) if isinstance(value, tuple) else value for key, value in asdict(settings).items()},
            "teachers": [teacher.name for teacher in teachers],
            "images": len(pictures),
        }
        self._processes = processes
        self._heads = [chain.teacher for chain in chains]
        self._pictures = pictures
        self._augmentation = Augmentation(area=(0.08 if settings.varied else 0.2, 1.0), coarse=0.2 * settings.varied)
        self._epoch = 0
        self._left = {piece.name: 1.0 for piece in self.student.segments}
        self.student.stem.whiten(images_to_input(self.held, processes.device))

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        return -(-self.settings.steps // self.settings.epochs)

    @property
    def _all_steps(self) -> int:
        return self.steps * self.settings.epochs

    @property
    def held(self) -> NDArray[np.uint8]:
        """Crops (N, S, S, 3) that are not learned from."""
        return self._crops(HELD, self.settings.sizes[-1], [self.settings.seed, 3])

    def parameter_groups(self) -> Sequence[Mapping[str, object]]:
        """Return all parameters, alike."""
        return [{"params": list(self.student.parameters())}]

    def begin_epoch(self, epoch: int) -> Mapping[str, float]:
        """Measure the teachers' maps at the beginning of the run."""
        self._epoch = epoch
        self.calibrate()
        return {}

    def calibrate(self) -> None:
        """Measure how far the teachers' maps vary, unless it was done before."""
        if not self.targets.state_dict():
            settings = self.settings
            self.targets.calibrate(
                self._crops(settings.batch, settings.sizes[-1], [settings.seed, index, 2])
                for index in range(CALIBRATION_BATCHES)
            )

    def make_batch(self, step: int) -> Crops:
        """Cut the crops of a step."""
        settings, number = self.settings, self._epoch * self.steps + step
        rng = np.random.default_rng([settings.seed, number])
        shown = self._crops(settings.batch, int(rng.choice(settings.sizes)), [settings.seed, number, 1])
        whole = number >= settings.alone * self._all_steps
        same = rng.permutation(len(shown)) >= int(settings.noisy * len(shown) * whole)
        seen = [crop if alike else degraded(crop, rng) for crop, alike in zip(shown, same, strict=True)]
        return Crops(shown, np.stack(seen), same)

    def losses(self, batch: Crops, *, done: float) -> Mapping[str, Tensor]:
        """Return the loss of each map, and of the descriptions and their relations for each teacher."""
        targets = self.targets(batch.shown)
        alone = done < self.settings.alone
        names = self.learning(done) if alone else None
        with torch.autocast(self._processes.device.type, torch.bfloat16):
            maps = self.student(images_to_input(batch.seen, self._processes.device), targets if alone else None, names)
        losses = self._losses(maps, targets, same=torch.from_numpy(batch.same).to(self._processes.device))
        for name in names or ():
            self._left[name] = MEMORY * self._left[name] + (1 - MEMORY) * losses[name].item()
        return losses

    def learning(self, done: float) -> set[str]:
        """Name the pieces that learn in a step: the deepest ones, and others drawn by what they leave unexplained."""
        strides = {piece.name: piece.stride for piece in self.student.segments}
        deepest = {name for name, stride in strides.items() if stride == max(strides.values())}
        others = [name for name in self._left if name not in deepest]
        count = math.ceil(self.settings.part * len(others))
        if not count:
            return deepest
        left = np.array([self._left[name] for name in others])
        rng = np.random.default_rng([self.settings.seed, round(done * self._all_steps), 4])
        return deepest | set(rng.choice(others, count, replace=False, p=left / left.sum()).tolist())

    def describe_batch(self, batch: Crops) -> str:
        """Say what a batch is made of."""
        return f"{len(batch.shown)} crops of {batch.shown.shape[1]} pixels"

    def validate(self) -> Mapping[str, float]:
        """Return the losses, unweighed, of the whole student on crops that are not learned from."""
        self.calibrate()
        held = self.held
        targets = self.targets(held)
        with torch.no_grad(), torch.autocast(self._processes.device.type, torch.bfloat16):
            maps = self.student(images_to_input(held, self._processes.device))
        return {name: loss.item() for name, loss in self._losses(maps, targets, weighed=False).items()}

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the epoch, what each piece leaves unexplained, and what was measured of the teachers' maps."""
        left = torch.tensor(list(self._left.values()), dtype=torch.float64)
        return {"epoch": torch.tensor(self._epoch), "left": left, **self.targets.state_dict()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        self._epoch = int(state["epoch"])
        self._left = dict(zip(self._left, state["left"].tolist(), strict=True))
        self.targets.load_state_dict(state)

    def _losses(
        self,
        maps: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        *,
        same: Tensor | None = None,
        weighed: bool = True,
    ) -> dict[str, Tensor]:
        """Return the losses. Inner maps of images that the student sees otherwise, not `same` (B,), are left to it."""
        settings = self.settings
        losses = {}
        for name in maps:
            target = targets[name]
            free = same is not None and name not in self._heads
            losses[name] = feature_loss(maps[name][same], target[same]) if free else feature_loss(maps[name], target)
        for name in [head for head in self._heads if head in maps]:
            mine, theirs = descriptors(maps[name]), descriptors(targets[name])
            for what, loss, weight in (
                ("gem", pooled_loss(mine, theirs), settings.pooled),
                ("relations", relational_loss(mine, theirs), settings.relational),
            ):
                if weight:
                    losses[f"{name}.{what}"] = loss * weight if weighed else loss
        return losses

    def _crops(self, count: int, size: int, seed: Sequence[int]) -> NDArray[np.uint8]:
        rng = np.random.default_rng(seed)
        chosen = rng.integers(len(self._pictures), size=count)
        return np.stack([self._augmentation.crop(self._pictures[int(number)], size, rng) for number in chosen])


def images_to_input(batch: NDArray[np.uint8], device: torch.device | None = None) -> Tensor:
    """Images (B, H, W, 3) uint8 to the student's input (B, 3, H, W), channels last, about −2 to 2."""
    return ((torch.from_numpy(batch).to(device).float() - INPUT_MEAN) / INPUT_STD).permute(0, 3, 1, 2)
