"""Objectives: what a batch of vectors should be like. A loss, with what it learns or remembers beside the network."""

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
    """Vectors of a batch, and what is known of its images, to a loss."""

    def forward(self, vectors: Tensor, numbers: Tensor, relation: Tensor, labels: Tensor | None) -> Tensor:
        """Return the loss of unit vectors (B, D).

        numbers: (B,) int64, which images they are of. relation: (B, B) int8, what is known of pairs. labels: (B,)
        int64, None where only pairs are known.
        """
        raise NotImplementedError


class ClassObjective(Objective):
    """A loss on classes, each with a vector that is learned and dropped after the training."""

    def __init__(self, loss: str, *, classes: int, dimension: int, options: Mapping[str, float]) -> None:
        super().__init__()
        self._loss, self._options = LOSSES[loss].function, dict(options)
        self.classes = nn.Parameter(torch.randn(classes, dimension) / dimension**0.5)

    def forward(self, vectors: Tensor, numbers: Tensor, relation: Tensor, labels: Tensor | None) -> Tensor:
        """See `Objective`."""
        del numbers, relation
        assert labels is not None
        return self._loss(vectors, self.classes, labels, **self._options)


def _own(rows: Tensor) -> Tensor:
    return rows


class PairObjective(Objective):
    """A loss on pairs of the batch, and of the batch with the vectors of batches before where there is a memory.

    gather: rows of this process → those of all that train together. All remember the same, and a checkpoint of one is
    enough for all.
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

    def forward(self, vectors: Tensor, numbers: Tensor, relation: Tensor, labels: Tensor | None) -> Tensor:
        """See `Objective`. With a memory labels must be given: they tell which of its vectors are of the same."""
        references = vectors
        if self.memory is not None and labels is not None:
            remembered, known = self.memory.references(), self.memory.relation(labels, numbers)
            references, relation = torch.cat([vectors, remembered]), torch.cat([relation, known], dim=1)
            if self.training:
                self.memory.enqueue(*(self._gather(each) for each in (vectors.detach(), labels, numbers)))
        return self._loss(vectors, references, relation, **self._options)


def check_objective(loss: str, *, memory: int, options: Mapping[str, float | str]) -> None:
    """Raise UsageError for a loss that LOSSES has not, an option that it does not take, or a memory it cannot use."""
    known = find_loss(loss)
    check_options(f"loss {loss!r}", options, known.options, error=UsageError)
    if memory and known.kind == "classes":
        raise UsageError(f"loss {loss!r} looks at classes, not at pairs: a memory has no effect; leave it out")


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

    classes: how many there are, for losses on classes. dimension: of the vectors. memory: how many of them are
    remembered, 0 for none. gather: see `PairObjective`.
    """
    check_objective(loss, memory=memory, options=options)
    if LOSSES[loss].kind == "classes":
        return ClassObjective(loss, classes=classes, dimension=dimension, options=options)  # type: ignore[arg-type]
    kept = CrossBatchMemory(memory, dimension) if memory else None
    return PairObjective(loss, memory=kept, gather=gather, options=options)
