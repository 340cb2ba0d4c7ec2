"""The task of distillation, for the training loop.

The first teacher leads: the student is a cascade with one segment for each of its taps. For the first part of the run
each segment is trained separately on the teacher's map of the tap before (blockwise distillation: Wang et al. 2018, Li
et al. 2020), which is many times faster than training all depths at once. A segment is trained the more often the
larger its error is: an error at the beginning is passed on to all that follow, and most segments are soon good enough.
Then the segments are one network, trained to follow the teacher end to end. Further teachers contribute their last map,
each followed by a branch and a head of its own. A teacher can be added to an earlier student, whose chains may be
frozen: then only the new branch is trained, behind maps as the earlier student computes them; only its teacher runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kindred.errors import TrainingError
from kindred.training.architectures.student import Maps, Student
from kindred.training.augment import Augmentation, degraded
from kindred.training.distillation.frozen import FrozenLayers
from kindred.training.distillation.layout import Teacher, plan_student
from kindred.training.distillation.losses import descriptors, feature_loss, pooled_loss, relational_loss
from kindred.training.distillation.settings import DistillationSettings
from kindred.training.distillation.targets import Targets
from kindred.training.distillation.warm_start import warm_start
from kindred.training.image_cache import ImageCache
from kindred.training.process_group import ProcessGroup

__all__ = ["INPUT_MEAN", "INPUT_STD", "DistillationTask", "images_to_input"]

INPUT_MEAN, INPUT_STD = 127.5, 64.0  # of the student's input, in pixel units
CALIBRATION_BATCHES = 20
VALIDATION_CROPS = 64
MEMORY = 0.9  # weight of the earlier steps in the running mean of a segment's error


@dataclass(frozen=True, eq=False)
class Crops:
    """A batch of crops: what the teachers and the student see, (B, S, S, 3) uint8 RGB each.

    same: (B,) bool, whether both see the same pixels.
    """

    teacher: NDArray[np.uint8]
    student: NDArray[np.uint8]
    same: NDArray[np.bool_]


class DistillationTask:
    """A student that learns its teachers' maps on crops of `images`; a `kindred.training.loop.Task`.

    start: the `.onnx` of an earlier student of these teachers, or of the first of them, to be trained further.
    identity: what beside the settings and the teachers decides the result, such as a digest of the images. Raises
    TrainingError where the start does not fit, or leaves nothing to be trained.
    """

    monitor = ""

    def __init__(
        self,
        teachers: Sequence[Teacher],
        images: ImageCache,
        settings: DistillationSettings,
        *,
        processes: ProcessGroup,
        start: Path | None = None,
        identity: Mapping[str, object] | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        chains = plan_student(teachers)
        self.student = Student(chains)
        self.student.to(processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub
        self.module: nn.Module = self.student
        self.settings = settings
        self.identity: Mapping[str, object] = {
            **settings.as_json(),
            "teachers": [f"{teacher.name} {teacher.digest}" for teacher in teachers],
            **(identity or {}),
        }
        self._processes, self._images = processes, images
        strong = settings.strong_augmentation
        self._augmentation = Augmentation(area=(0.08 if strong else 0.2, 1.0), coarse=0.2 * strong)
        self._epoch = 0
        self._warm_start(start)
        self._frozen: FrozenLayers | None = None
        self._errors = {segment.name: 1.0 for segment in self.student.trainable}
        asked = {segment.chain for segment in self.student.trainable}
        self._heads = [chain.teacher for chain in chains if chain.teacher in self._errors]
        self.targets = Targets(
            [teacher for number, teacher in enumerate(teachers) if number in asked],
            [chain for number, chain in enumerate(chains) if number in asked],
            device=processes.device,
        )

    def _warm_start(self, start: Path | None) -> None:
        """Set the stem's basis, and the weights from an earlier student, and freeze what is to stay of it."""
        crops = images_to_input(self.validation_crops, self._processes.device)
        self.student.stem.whiten(crops)
        if start is None:
            return
        chains, stride = warm_start(self.student, start, crops), self.settings.freeze
        self.student.freeze(chains, stride=stride)
        if not self.student.trainable:
            raise TrainingError(
                f"{start}: has the heads of all {chains} teachers, and all its layers are frozen; "
                f"name a further teacher, or a stride below {stride}"
            )

    def _frozen_maps(self, crops: NDArray[np.uint8]) -> Maps | None:
        """Return what the trainable layers begin with, or None where the student is to compute it."""
        if not self.student.frontier or self._processes.device.type != "cpu":
            return None
        if self._frozen is None:
            self._frozen = FrozenLayers(self.student, mean=INPUT_MEAN, std=INPUT_STD)
        return self._frozen(crops)

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        return -(-self.settings.steps // self.settings.epochs)

    @property
    def _all_steps(self) -> int:
        return self.steps * self.settings.epochs

    @property
    def validation_crops(self) -> NDArray[np.uint8]:
        """Crops (64, S, S, 3) uint8 RGB to validate on; no step is trained on them."""
        return self._crops(VALIDATION_CROPS, self.settings.sizes[-1], [self.settings.seed, 3])

    def parameter_groups(self) -> Sequence[Mapping[str, object]]:
        """Return all parameters as one group."""
        return [{"params": list(self.student.parameters())}]

    def begin_epoch(self, epoch: int) -> Mapping[str, float]:
        """Begin an epoch, the first one by measuring the teachers' maps."""
        self._epoch = epoch
        self.calibrate()
        return {}

    def calibrate(self) -> None:
        """Measure mean and variance of the teachers' maps, unless this was done before."""
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
        crops = self._crops(settings.batch, int(rng.choice(settings.sizes)), [settings.seed, number, 1])
        end_to_end = number >= settings.blockwise * self._all_steps
        same = rng.permutation(len(crops)) >= int(settings.noisy * len(crops) * end_to_end)
        seen = [crop if alike else degraded(crop, rng) for crop, alike in zip(crops, same, strict=True)]
        return Crops(crops, np.stack(seen), same)

    def losses(self, batch: Crops, *, done: float) -> Mapping[str, Tensor]:
        """Return the loss of each map, and for each teacher those of the descriptors and their relations."""
        targets = self.targets(batch.teacher)
        blockwise = done < self.settings.blockwise
        names = self.trained_segments(done) if blockwise else set(self._errors)
        device, frozen = self._processes.device, self._frozen_maps(batch.student)
        with torch.autocast(device.type, torch.bfloat16):
            images = images_to_input(batch.student, device)
            maps = self.student(images, targets if blockwise else None, names, frozen_maps=frozen)
        losses = self._losses(maps, targets, same=torch.from_numpy(batch.same).to(device))
        if blockwise:
            self._remember_errors({name: losses[name].item() for name in sorted(names)})
        return losses

    def trained_segments(self, done: float) -> set[str]:
        """Return the segments that a blockwise step trains: the deepest ones, and others drawn by their errors."""
        strides = {segment.name: segment.stride for segment in self.student.trainable}
        deepest = {name for name, stride in strides.items() if stride == max(strides.values())}
        others = [name for name in self._errors if name not in deepest]
        count = math.ceil(self.settings.shallow * len(others))
        if not count:
            return deepest
        errors = np.array([self._errors[name] for name in others])
        rng = np.random.default_rng([self.settings.seed, round(done * self._all_steps), 4])
        return deepest | set(rng.choice(others, count, replace=False, p=errors / errors.sum()).tolist())

    def describe_batch(self, batch: Crops) -> str:
        """Say what a batch consists of."""
        return f"{len(batch.teacher)} crops of {batch.teacher.shape[1]} pixels"

    def validate(self) -> Mapping[str, float]:
        """Return the unweighted losses of the whole student on the validation crops."""
        self.calibrate()
        crops, device = self.validation_crops, self._processes.device
        targets, frozen = self.targets(crops), self._frozen_maps(crops)
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
            maps = self.student(images_to_input(crops, device), names=set(self._errors), frozen_maps=frozen)
        return {name: loss.item() for name, loss in self._losses(maps, targets, weighted=False).items()}

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the epoch, the segments' errors, and what was measured of the teachers' maps."""
        errors = torch.tensor(list(self._errors.values()), dtype=torch.float64)
        return {"epoch": torch.tensor(self._epoch), "errors": errors, **self.targets.state_dict()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned; raises ValueError or KeyError for anything else."""
        epoch, errors = state["epoch"], state["errors"]
        if epoch.shape != () or not 0 <= int(epoch) <= self.settings.epochs:
            raise ValueError("epoch is out of range")
        if errors.shape != (len(self._errors),) or not bool((errors.isfinite() & (errors >= 0)).all()):
            raise ValueError("errors is not one number for each segment")
        self._epoch = int(epoch)
        self._errors = dict(zip(self._errors, errors.tolist(), strict=True))
        self.targets.load_state_dict({name: value for name, value in state.items() if name not in ("epoch", "errors")})

    def _remember_errors(self, losses: Mapping[str, float]) -> None:
        """Follow the segments' losses by a running mean, the same on all processes, which draw by it."""
        mean = self._processes.sum(torch.tensor(list(losses.values()), device=self._processes.device))
        for name, loss in zip(losses, (mean / self._processes.world_size).tolist(), strict=True):
            self._errors[name] = MEMORY * self._errors[name] + (1 - MEMORY) * loss

    def _losses(
        self,
        maps: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        *,
        same: Tensor | None = None,
        weighted: bool = True,
    ) -> dict[str, Tensor]:
        """Return the losses; inner maps count only for crops that student and teacher see alike, `same` (B,)."""
        settings = self.settings
        losses = {}
        for name in maps:
            target = targets[name]
            masked = same is not None and name not in self._heads
            losses[name] = feature_loss(maps[name][same], target[same]) if masked else feature_loss(maps[name], target)
        for name in [head for head in self._heads if head in maps]:
            student, teacher = descriptors(maps[name]), descriptors(targets[name])
            for kind, loss, weight in (
                ("gem", pooled_loss(student, teacher), settings.pooled),
                ("relations", relational_loss(student, teacher), settings.relational),
            ):
                if weight:
                    losses[f"{name}.{kind}"] = loss * weight if weighted else loss
        return losses

    def _crops(self, count: int, size: int, seed: Sequence[int]) -> NDArray[np.uint8]:
        rng = np.random.default_rng(seed)
        chosen = rng.integers(len(self._images), size=count)
        return np.stack([self._augmentation.crop(self._images[int(index)], size, rng) for index in chosen])


def images_to_input(batch: NDArray[np.uint8], device: torch.device | None = None) -> Tensor:
    """Images (B, H, W, 3) uint8 to the student's input (B, 3, H, W), channels last, about −2 to 2."""
    return ((torch.from_numpy(batch).to(device).float() - INPUT_MEAN) / INPUT_STD).permute(0, 3, 1, 2)
