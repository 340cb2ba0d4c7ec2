"""The task of fine-tuning an embedder on one's own images, for the training loop."""

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
from kindred.training.tuning.objective import ClassObjective, Objective
from kindred.training.tuning.validation import Validation

__all__ = ["REPORTED_RESULTS", "Batch", "TuningTask", "ValidationData"]

REPORTED_RESULTS = 10  # of each query of a validation, for the report


@dataclass(frozen=True, eq=False)
class Batch:
    """Crops (B, S, S, 3) uint8 of the images `indices` (B,), their relation (B, B) and, where known, labels (B,)."""

    pixels: Tensor
    indices: Tensor
    relation: Tensor
    labels: Tensor | None


@dataclass(frozen=True, eq=False)
class ValidationData:
    """A validation, and the images of its `paths`, in the same order."""

    validation: Validation
    images: ImageCache


class TuningTask:
    """An embedder trained on images, in the batches of a planner, by an objective; a `kindred.training.loop.Task`.

    images: to train on. size: longest side of whole images that are described; crop: side of the crops that are
    trained on, 0 for `size`; both in pixels. validation_data: None to validate nothing. identity: what a checkpoint
    must agree with. head_scale: factor on the learning rate of the objective's own parameters (class weights or
    proxies), which start from random values. seed: of crops and plans.
    """

    monitor = "mAP"

    def __init__(
        self,
        embedder: Embedder,
        objective: Objective,
        planner: Planner,
        images: ImageCache,
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
        self._planner, self._images, self.validation_data = planner, images, validation_data
        self._augmentation = augmentation or Augmentation()
        self._size, self._crop, self._processes = size, crop or size, processes
        self._head_scale, self._seed = head_scale, seed
        self._plan: Plan | None = None
        self._epoch = 0

    def parameter_groups(self) -> Sequence[Mapping[str, object]]:
        """Return filters and matrices with weight decay, norms, biases and exponents without (He et al. 2019)."""
        parameters = list(self.embedder.parameters())
        return [
            {"params": [each for each in parameters if each.ndim > 1]},
            {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
            {"params": list(self.objective.parameters()), "scale": self._head_scale},
        ]

    def begin_epoch(self, epoch: int) -> Mapping[str, float]:
        """Plan an epoch; where the planner mines, all images are described by the network as it is."""
        vectors = None
        if self._planner.needs_vectors:
            everything = np.arange(len(self._images))
            vectors = describe(self.embedder, self._images, everything, size=self._size, processes=self._processes)
        self._plan, self._epoch = self._planner(epoch=epoch, seed=self._seed, vectors=vectors), epoch
        return {"batches": float(self.steps), **self._plan.facts}

    @property
    def plan(self) -> Plan:
        """The plan of the current epoch."""
        if self._plan is None:
            raise RuntimeError("no epoch was begun")
        return self._plan

    @property
    def steps(self) -> int:
        """How many batches the epoch has."""
        return len(self.plan.indices)

    def make_batch(self, step: int) -> Batch:
        """Make a batch; an image whose file can no longer be read is left out of it."""
        plan, crops, rows = self.plan, [], []
        for row, index in enumerate(plan.indices[step].tolist()):
            rng = np.random.default_rng([self._seed, self._epoch, step, row])
            try:
                crops.append(self._augmentation.crop(self._images[index], self._crop, rng))
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
        """Return the objective's loss; the network runs in bfloat16, the loss is computed in float32."""
        del done
        device = self._processes.device
        pixels, indices, relation = (
            each.to(device, non_blocking=True) for each in (batch.pixels, batch.indices, batch.relation)
        )
        labels = None if batch.labels is None else batch.labels.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16):
            vectors = self.embedder(pixels)
        return {"loss": self.objective(vectors.float(), indices, relation, labels)}

    def describe_batch(self, batch: Batch) -> str:
        """Name the first images of a batch."""
        names = [str(self._images.paths[index]) for index in batch.indices[:3].tolist()]
        more = len(batch.indices) - len(names)
        return ", ".join(names) + (f" and {more} more" if more else "")

    def validate(self) -> Mapping[str, float]:
        """Return mAP and recall of the validation's queries; empty if there is no validation.

        The best results of each query, (Q, 10) positions in the database, −1 if there are fewer, are stored: those
        of the first validation of a run as `before`, those of the last one as `after`.
        """
        if self.validation_data is None:
            return {}
        images, validation = self.validation_data.images, self.validation_data.validation
        everything = np.arange(len(images))
        vectors = describe(self.embedder, images, everything, size=self._size, processes=self._processes)
        rankings = validation.rank(vectors)
        self.after = validation.top(rankings, REPORTED_RESULTS)
        self.before = self.after if self.before is None else self.before
        return validation.metrics(rankings)

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the first results and the epoch's plan, which the network as it is now would not mine again."""
        arrays: dict[str, NDArray[np.generic] | None] = {"before": self.before}
        if self._plan is not None:
            plan = self._plan
            arrays |= {"indices": plan.indices, "labels": plan.labels, "relations": plan.relations}
        stored = {name: torch.from_numpy(array) for name, array in arrays.items() if array is not None}
        return {**stored, "epoch": torch.tensor(self._epoch)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned; raises ValueError, KeyError or UsageError for anything else."""
        if unknown := sorted(state.keys() - {"before", "indices", "labels", "relations", "epoch"}):
            raise ValueError(f"unknown tensor {unknown[0]!r}")
        arrays = {name: value.numpy() for name, value in state.items()}
        epoch, before, indices = arrays["epoch"], arrays.get("before"), arrays.get("indices")
        if epoch.shape != () or epoch.dtype.kind != "i" or epoch < 0:
            raise ValueError("epoch is not a number from 0")
        if before is not None:
            self._check_results(before)
        if indices is not None:
            _check_range("indices", indices, 0, len(self._images))
            labels, relations = arrays.get("labels"), arrays.get("relations")
            if labels is not None:
                classes = len(self.objective.classes) if isinstance(self.objective, ClassObjective) else 2**31
                _check_range("labels", labels, -1, classes)
            if relations is not None:
                if relations.dtype != np.int8:
                    raise ValueError("relations are not of type int8")
                _check_range("relations", relations, -1, 2)
            self._plan = Plan(indices, labels, relations)
        self.before, self._epoch = before, int(epoch)

    def _check_results(self, results: NDArray[np.generic]) -> None:
        if self.validation_data is None:
            raise ValueError("results of a validation that this run has not")
        validation = self.validation_data.validation
        if results.shape != (len(validation.queries), REPORTED_RESULTS):
            raise ValueError("the results are not those of this validation")
        _check_range("results", results, -1, len(validation.database))

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.pin_memory() if self._processes.device.type == "cuda" else tensor


def _check_range(name: str, values: NDArray[np.generic], low: int, end: int) -> None:
    """Raise ValueError unless all values are whole numbers from `low` to below `end`."""
    if values.dtype.kind != "i" or (values.size and not (low <= values.min() and values.max() < end)):
        raise ValueError(f"{name} are not whole numbers from {low} to {end - 1}")
