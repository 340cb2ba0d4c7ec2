"""Plan: what one epoch looks at, decided before it begins.

A plan follows from the seed, the number of the epoch and, for some, the vectors of the images by the network as it
was; so a run that was killed goes on with the batches that it would have had.
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
"""Vectors that went through bfloat16 are this far from length 1."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The batches of one epoch, S steps of B images.

    indices: (S, B) int64, numbers of images. labels: (S, B) int64, the class or pseudo-class of each, below 0 where it
    is not known; for losses on classes, and for relations. relations: (S, B, B) int8, where labels do not say it.
    facts: for the log, in numbers. Raises UsageError where the shapes do not fit.
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
        """Return what is known of the pairs of a batch: (B, B), 1 the same thing, −1 another, 0 not known.

        An image with itself is 0, also where it is in the batch twice. Raises UsageError for a plan that says nothing.
        """
        images = self.indices[step]
        if self.relations is not None:
            return np.where(images[:, None] == images[None, :], np.int8(0), self.relations[step])
        if self.labels is None:
            raise UsageError("plan: got neither labels nor relations; a loss on pairs needs one of them")
        return relation_of(self.labels[step], images=images)


class Planner(Protocol):
    """What makes the plan of each epoch. `needs_vectors`: it wants the vectors of all images by the current network."""

    @property
    def needs_vectors(self) -> bool:
        """Whether `vectors` must be given."""
        ...

    def __call__(self, *, epoch: int, seed: int, vectors: Vectors | None = None) -> Plan:
        """Return the plan of an epoch; the same arguments give the same plan.

        `vectors` (N, D) are unit vectors, zeros where an image has none: such images are left out.
        """
        ...


def epoch_rng(seed: int, epoch: int) -> np.random.Generator:
    """Return the random numbers of one epoch. Raises UsageError for a negative seed or epoch."""
    if seed < 0 or epoch < 0:
        raise UsageError(f"got seed {seed} and epoch {epoch}; expected whole numbers of at least 0")
    return np.random.default_rng([seed, epoch])


def as_labels(labels: ArrayLike) -> Numbers:
    """Return labels (N,) as int64; raises UsageError for what is not a list of whole numbers."""
    given = np.asarray(labels)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise UsageError(
            f"labels: got {given.dtype} of shape {given.shape}; expected a whole number for each image, (N,)"
        )
    return given.astype(np.int64)


def checked_vectors(vectors: Vectors | None, count: int | None = None) -> tuple[Vectors, Numbers]:
    """Return the vectors (N, D) of the `count` images, and which (n,) of them have one: an image without has zeros.

    Raises UsageError for none, another number of them, or one that is not of unit length.
    """
    if vectors is None:
        raise UsageError("vectors: got none; this plan is made with the vectors (N, D) of all images")
    rows = as_rows(vectors, "vectors")
    if count is not None and len(rows) != count:
        raise UsageError(f"vectors: got {len(rows)} rows; expected {count}, one for each image")
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    wrong = np.flatnonzero((np.abs(lengths - 1) > LENGTH_TOLERANCE) & (lengths > 0))
    if wrong.size:
        raise UsageError(f"vectors: row {wrong[0]} has length {lengths[wrong[0]]:.3g}; expected unit vectors")
    return rows, np.flatnonzero(lengths > 0)


def in_batches(order: Numbers, size: int) -> Numbers:
    """Return all of `order` (n, …) in rows of `size`, the last row filled up from the beginning: (S, size, …).

    `order` must not be empty; it may be shorter than one row.
    """
    steps = -(-len(order) // size)
    return order[np.resize(np.arange(len(order)), (steps, size))]
