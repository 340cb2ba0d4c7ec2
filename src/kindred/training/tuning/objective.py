"""Objectives: a loss, with the parameters and the memory that it needs beside the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from kindred.errors import UsageError
from kindred.hints import check_options
from kindred.training.losses import LOSSES, find_loss
from kindred.training.tuning.memory import CrossBatchMemory

__all__ = ["ClassObjective", "Objective", "PairObjective", "build_objective", "check_objective"]


class Objective(nn.Module):
    """From the vectors of a batch, and what is known of its images, to a loss."""

    def forward(self, vectors: Tensor, indices: Tensor, relation: Tensor, labels: Tensor | None) -> Tensor:
        """Return the loss of unit vectors (B, D).

        indices: (B,) int64, of the images. relation: (B, B) int8, see `relation_of`. labels: (B,) int64, None where
        only pairs are known.
        """
        raise NotImplementedError


class ClassObjective(Objective):
    """A loss on classes: each class has a trained vector, which is dropped after the training."""

    def __init__(self, loss: str, *, classes: int, dimension: int, options: Mapping[str, float]) -> None:
        super().__init__()
        self._loss, self._options = LOSSES[loss].function, dict(options)
        self.classes = nn.Parameter(torch.randn(classes, dimension) / dimension**0.5)

    def forward(self, vectors: Tensor, indices: Tensor, relation: Tensor, labels: Tensor | None) -> Tensor:
        """See `Objective`."""
        del indices, relation
        assert labels is not None
        return self._loss(vectors, self.classes, labels, **self._options)


def _own(rows: Tensor) -> Tensor:
    return rows


class PairObjective(Objective):
    """A loss on pairs of the batch and, with a memory, on pairs of the batch and the vectors of earlier batches.

    gather: rows of this process → rows of all processes. With it the memories of all processes are the same, so that
    the checkpoint of one holds for all.
    """

    def __init__(
        self,
        loss: str,
        *,
        memory: CrossBatchMemory | None = None,
        gather: Callable[[Tensor], Tensor] = _own,
        options: Mapping[str, float | str],
    ) -> None:
        super().__init__()
        self._loss, self._options, self._gather = LOSSES[loss].function, dict(options), gather
        self.memory = memory

    def forward(self, vectors: Tensor, indices: Tensor, relation: Tensor, labels: Tensor | None) -> Tensor:
        """See `Objective`. A memory is used only where labels are given, which relate its vectors to the batch."""
        references = vectors
        if self.memory is not None and labels is not None:
            stored, known = self.memory.references(), self.memory.relation(labels, indices)
            references, relation = torch.cat([vectors, stored]), torch.cat([relation, known], dim=1)
            if self.training:
                self.memory.enqueue(*(self._gather(each) for each in (vectors.detach(), labels, indices)))
        return self._loss(vectors, references, relation, **self._options)


def check_objective(loss: str, *, memory: int, options: Mapping[str, float | str]) -> None:
    """Raise UsageError for an unknown loss or option, an option of the wrong type, or a memory without effect."""
    known = find_loss(loss)
    check_options(f"loss {loss!r}", options, known.options, error=UsageError)
    if memory and known.kind == "classes":
        raise UsageError(f"loss {loss!r} is on classes, not on pairs: a memory has no effect; leave it out")


def build_objective(
    loss: str,
    *,
    classes: int,
    dimension: int,
    memory: int,
    options: Mapping[str, float | str],
    gather: Callable[[Tensor], Tensor] = _own,
) -> Objective:
    """Return the objective of a loss of LOSSES; raises UsageError as `check_objective` does.

    classes: their number, for losses on classes. dimension: of the vectors. memory: vectors of earlier batches that are
    stored, 0 for none. options: of the loss. gather: see `PairObjective`.
    """
    check_objective(loss, memory=memory, options=options)
    if LOSSES[loss].kind == "classes":
        return ClassObjective(loss, classes=classes, dimension=dimension, options=options)  # type: ignore[arg-type]
    stored = CrossBatchMemory(memory, dimension) if memory else None
    return PairObjective(loss, memory=stored, gather=gather, options=options)
