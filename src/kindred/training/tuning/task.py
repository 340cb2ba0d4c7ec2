"""Tuning: the task of making an embedder fit one's own images, for the loop to carry out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kindred.errors import ImageError, TrainingError
from kindred.training.augment import Augmentation
from kindred.training.image_cache import ImageCache
from kindred.training.mining import Plan, Planner
from kindred.training.process_group import ProcessGroup
from kindred.training.tuning.describing import describe
from kindred.training.tuning.embedder import Embedder
from kindred.training.tuning.objective import Objective
from kindred.training.tuning.validation import Validation

__all__ = ["SHOWN", "Batch", "TuningTask", "ValidationData"]

SHOWN = 10  # answers of a validation that are kept, for the report


@dataclass(frozen=True, eq=False)
class Batch:
    """Crops (B, S, S, 3) uint8 of the images `numbers` (B,), their relation (B, B) and, where known, labels (B,)."""

    pixels: Tensor
    numbers: Tensor
    relation: Tensor
    labels: Tensor | None


@dataclass(frozen=True, eq=False)
class ValidationData:
    """A validation, and the images it needs."""

    validation: Validation
    pictures: ImageCache


class TuningTask:
    """An embedder, the images it learns from, in batches of a planner, by an objective; a `kindred.training.loop.Task`.

    size: longest side of whole images that are described; crop: side of the crops that are learned from, 0 for `size`;
    both in pixels. head_scale: how many times as fast what starts from nothing (the objective's classes) learns. seed:
    of crops and plans.
    """

    monitor = "mAP"

    def __init__(
        self,
        embedder: Embedder,
        objective: Objective,
        planner: Planner,
        pictures: ImageCache,
        *,
        size: int,
        crop: int = 0,
        processes: ProcessGroup,
        augmentation: Augmentation | None = None,
        validation_data: ValidationData | None = None,
        identity: Mapping[str, object] | None = None,
        head_scale: float = 10.0,
        seed: int = 0,
    ) -> None:
        self.embedder, self.objective = embedder, objective
        self.module: nn.Module = nn.ModuleDict({"embedder": embedder, "objective": objective}).to(processes.device)
        self.identity = dict(identity or {})
        self.before: NDArray[np.int64] | None = None
        self.after: NDArray[np.int64] | None = None
        self._planner, self._pictures, self.validation_data = planner, pictures, validation_data
        self._augmentation = augmentation or Augmentation()
        self._size, self._crop, self._processes = size, crop or size, processes
        self._head_scale, self._seed = head_scale, seed
        self._plan: Plan | None = None
        self._epoch = 0

    def parameter_groups(self) -> Sequence[Mapping[str, object]]:
        """Weights decay; what has one dimension (norms, biases, exponents) does not (He et al. 2019)."""
        learned = list(self.embedder.parameters())
        return [
            {"params": [each for each in learned if each.ndim > 1]},
            {"params": [each for each in learned if each.ndim <= 1], "weight_decay": 0.0},
            {"params": list(self.objective.parameters()), "scale": self._head_scale},
        ]

    def begin_epoch(self, epoch: int) -> Mapping[str, float]:
        """Plan an epoch; where the planner mines, all images are described as the network sees them now."""
        vectors = None
        if self._planner.needs_vectors:
            numbers = np.arange(len(self._pictures))
            vectors = describe(self.embedder, self._pictures, numbers, size=self._size, processes=self._processes)
        self._plan, self._epoch = self._planner(epoch=epoch, seed=self._seed, vectors=vectors), epoch
        return {"batches": float(self.steps), **self._plan.facts}

    @property
    def plan(self) -> Plan:
        """The plan of the epoch that was begun."""
        if self._plan is None:
            raise RuntimeError("no epoch was begun")
        return self._plan

    @property
    def steps(self) -> int:
        """How many batches the epoch has."""
        return len(self.plan.indices)

    def make_batch(self, step: int) -> Batch:
        """Make a batch; an image whose file went away in the meantime is left out of it."""
        plan, crops, rows = self.plan, [], []
        for row, number in enumerate(plan.indices[step].tolist()):
            rng = np.random.default_rng([self._seed, self._epoch, step, row])
            try:
                crops.append(self._augmentation.crop(self._pictures[number], self._crop, rng))
                rows.append(row)
            except ImageError:
                continue
        if not crops:
            raise TrainingError("none of the images of a batch can be read any more; are their files still there?")
        relation = plan.relation(step)[np.ix_(rows, rows)]
        labels = None if plan.labels is None else self._tensor(plan.labels[step][rows])
        return Batch(
            self._tensor(np.stack(crops)), self._tensor(plan.indices[step][rows]), self._tensor(relation), labels
        )

    def losses(self, batch: Batch, *, done: float) -> Mapping[str, Tensor]:
        """Return the objective's loss; the network runs in bfloat16, the loss is taken in float32."""
        del done
        processes = self._processes
        pixels, numbers, relation = (
            each.to(processes.device, non_blocking=True) for each in (batch.pixels, batch.numbers, batch.relation)
        )
        labels = None if batch.labels is None else batch.labels.to(processes.device, non_blocking=True)
        with torch.autocast(processes.device.type, torch.bfloat16):
            vectors = self.embedder(pixels)
        return {"loss": self.objective(vectors.float(), numbers, relation, labels)}

    def describe_batch(self, batch: Batch) -> str:
        """Name the first images of a batch."""
        names = [str(self._pictures.paths[number]) for number in batch.numbers[:3].tolist()]
        more = len(batch.numbers) - len(names)
        return ", ".join(names) + (f" and {more} more" if more else "")

    def validate(self) -> Mapping[str, float]:
        """Return mAP and recall of the validation's queries.

        The best answers to each query, (Q, 10) places in the database, −1 where there are no more, are kept: those of
        the first time in a run as `before`, those of the last as `after`.
        """
        if self.validation_data is None:
            return {}
        pictures, validation = self.validation_data.pictures, self.validation_data.validation
        everything = np.arange(len(pictures))
        vectors = describe(self.embedder, pictures, everything, size=self._size, processes=self._processes)
        rankings = validation.ranked(vectors)
        self.after = validation.best(rankings, SHOWN)
        self.before = self.after if self.before is None else self.before
        return validation.figures(rankings)

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the plan of the epoch: mined with a network that is there no more, it cannot be made again."""
        arrays: dict[str, NDArray[np.generic] | None] = {"before": self.before}
        if self._plan is not None:
            plan = self._plan
            arrays |= {"indices": plan.indices, "labels": plan.labels, "relations": plan.relations}
        kept = {name: torch.from_numpy(array) for name, array in arrays.items() if array is not None}
        return {**kept, "epoch": torch.tensor(self._epoch)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back the plan, and the first answers."""
        arrays = {name: value.numpy() for name, value in state.items()}
        self.before = arrays.get("before")
        if "indices" in arrays:
            self._plan = Plan(arrays["indices"], arrays.get("labels"), arrays.get("relations"))
        self._epoch = int(state["epoch"])

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.pin_memory() if self._processes.device.type == "cuda" else tensor
