"""Tuples of an anchor, a positive and negatives, with known relations only within a tuple."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.training.mining.plan import Numbers, Plan, in_batches

__all__ = ["mean_cosine", "plan_of_tuples", "tuple_relation"]


def plan_of_tuples(
    tuples: Numbers, *, per_batch: int, positive_has_negatives: bool, labels: Numbers | None, facts: Mapping[str, float]
) -> Plan:
    """Return the plan of tuples (T, 2 + n) of an anchor, a positive and n negatives, `per_batch` of them per step.

    The last batch is filled up with the first tuples. positive_has_negatives: see `tuple_relation`. labels: (N,) of all
    images, which relate all pairs; None for relations within each tuple alone. facts: numbers for the log.
    """
    indices = in_batches(tuples, per_batch).reshape(-1, per_batch * tuples.shape[1])
    if labels is not None:
        return Plan(indices, labels[indices], None, facts)
    relation = tuple_relation(tuples.shape[1], per_batch, positive_has_negatives=positive_has_negatives)
    return Plan(indices, None, np.repeat(relation[None], len(indices), axis=0), facts)


def tuple_relation(size: int, count: int, *, positive_has_negatives: bool) -> NDArray[np.int8]:
    """Return the relation (count·size, count·size) of a batch of `count` tuples of `size` images.

    In a tuple the first and the second image are a positive pair, the first and each of the others negative pairs;
    with `positive_has_negatives` also the second and each of the others. All else is unknown.
    """
    own = np.zeros((size, size), np.int8)
    own[0, 1] = 1
    own[: 1 + positive_has_negatives, 2:] = -1
    return np.kron(np.eye(count, dtype=np.int8), own + own.T)


def mean_cosine(vectors: Vectors, first: Numbers, others: Numbers) -> float:
    """Return the mean dot product of rows `first` (T,) with rows `others` (T, n), n columns one after the other."""
    columns = [np.einsum("td,td->t", vectors[first], vectors[column]).mean() for column in others.T]
    return float(np.mean(columns))
