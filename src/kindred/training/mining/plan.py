"""Plans: the batches of an epoch, determined before it begins.

A plan follows from the seed, the epoch and, where it is mined, the vectors of the images by the network at that time;
stored in the checkpoint, it lets a killed run resume with exactly the same batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import Vectors, as_rows
from kindred.errors import UsageError
from kindred.training.mining.relations import relation_of

__all__ = ["Plan", "Planner", "as_labels", "checked_vectors", "epoch_rng", "in_batches"]

Numbers = NDArray[np.int64]
LENGTH_TOLERANCE = 0.01
"""Vectors computed in bfloat16 are up to this far from length 1."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The batches of one epoch, S steps of B images.

    indices: (S, B) int64, of the images. labels: (S, B) int64, the class or pseudo-label of each, below 0 where
    unknown; for losses on classes, and for relations. relations: (S, B, B) int8, where labels do not determine them.
    facts: numbers for the log. Raises UsageError if the shapes do not agree.
    """

    indices: Numbers
    labels: Numbers | None = None
    relations: NDArray[np.int8] | None = None
    facts: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.indices.shape
        if len(shape) != 2 or 0 in shape:
            raise UsageError(f"indices: got shape {shape}; expected (S, B), neither of them 0")
        if self.labels is not None and self.labels.shape != shape:
            raise UsageError(f"labels: got shape {self.labels.shape}; expected {shape}, as the indices")
        if self.relations is not None and self.relations.shape != (*shape, shape[1]):
            raise UsageError(f"relations: got shape {self.relations.shape}; expected {(*shape, shape[1])}")

    def __len__(self) -> int:
        """Return S, the number of steps."""
        return len(self.indices)

    @property
    def batch(self) -> int:
        """B, the number of images of a step."""
        return int(self.indices.shape[1])

    def relation(self, step: int) -> NDArray[np.int8]:
        """Return the relation (B, B) of the pairs of a batch: 1 positive, −1 negative, 0 unknown.

        An image with itself is 0, also where it is in the batch twice. Raises UsageError for a plan with neither labels
        nor relations.
        """
        images = self.indices[step]
        if self.relations is not None:
            return np.where(images[:, None] == images[None, :], np.int8(0), self.relations[step])
        if self.labels is None:
            raise UsageError("plan: got neither labels nor relations; a loss on pairs needs one of them")
        return relation_of(self.labels[step], images=images)


class Planner(Protocol):
    """Makes the plan of each epoch; with `needs_vectors` from the vectors of all images by the current network."""

    @property
    def needs_vectors(self) -> bool:
        """Whether `vectors` must be given."""
        ...

    def __call__(self, *, epoch: int, seed: int, vectors: Vectors | None = None) -> Plan:
        """Return the plan of an epoch; the same arguments give the same plan.

        vectors: (N, D) unit vectors; images with a row of zeros, which could not be read, are left out.
        """
        ...


def epoch_rng(seed: int, epoch: int) -> np.random.Generator:
    """Return the random generator of an epoch. Raises UsageError for a negative seed or epoch."""
    if seed < 0 or epoch < 0:
        raise UsageError(f"got seed {seed} and epoch {epoch}; expected whole numbers of at least 0")
    return np.random.default_rng([seed, epoch])


def as_labels(labels: ArrayLike) -> Numbers:
    """Return labels (N,) as int64; raises UsageError for anything but a list of whole numbers."""
    given = np.asarray(labels)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise UsageError(
            f"labels: got {given.dtype} of shape {given.shape}; expected a whole number for each image, (N,)"
        )
    return given.astype(np.int64)


def checked_vectors(vectors: Vectors | None, count: int | None = None) -> tuple[Vectors, Numbers]:
    """Return the vectors (N, D) of `count` images, and the indices (n,) of those that are not zero.

    Raises UsageError for None, for another number of rows, and for a row that is neither zero nor of unit length.
    """
    if vectors is None:
        raise UsageError("vectors: got none; this planner needs the vectors (N, D) of all images")
    rows = as_rows(vectors, "vectors")
    if count is not None and len(rows) != count:
        raise UsageError(f"vectors: got {len(rows)} rows; expected {count}, one for each image")
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    wrong = np.flatnonzero((np.abs(lengths - 1) > LENGTH_TOLERANCE) & (lengths > 0))
    if wrong.size:
        raise UsageError(f"vectors: row {wrong[0]} has length {lengths[wrong[0]]:.3g}; expected unit vectors")
    return rows, np.flatnonzero(lengths > 0)


def in_batches(order: Numbers, size: int) -> Numbers:
    """Return all of `order` (n, …) in rows of `size`, the last one filled up from the beginning: (S, size, …).

    `order` must not be empty; it may be shorter than a row.
    """
    steps = -(-len(order) // size)
    return order[np.resize(np.arange(len(order)), (steps, size))]
