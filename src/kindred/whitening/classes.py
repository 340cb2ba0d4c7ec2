"""Linear adaptation: a projection learned from images of known classes, of one or several sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, as_rows, l2_normalise, with_fixed_signs
from kindred.errors import UsageError

__all__ = ["SHRINKAGES", "ClassFold", "LabelledRows", "check_classes", "choose_shrinkage", "class_projection"]

SHRINKAGES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.0)
"""Shrinkages that are compared by cross-validation; 1 only rotates."""
FOLDS = 3
VALIDATED = 2000
"""Most images of a set and fold on which a projection is measured."""


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """The vectors (N, D) of one set of images and the class (N,) of each, a whole number.

    Raises UsageError for other shapes, or fewer than two classes with at least two images.
    """

    name: str
    rows: Vectors
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", as_rows(self.rows, self.name))
        if self.labels.shape != (len(self.rows),) or self.labels.dtype.kind not in "iu":
            raise UsageError(f"{self.name}: expected a class, a whole number, for each of the {len(self.rows)} vectors")
        check_classes(self.name, self.labels)

    @property
    def classes(self) -> NDArray[np.int64]:
        """The classes with at least two images; others say nothing of what varies within a class."""
        return _classes(self.labels)

    def of(self, classes: NDArray[np.int64]) -> tuple[Vectors, NDArray[np.int64]]:
        """Return the rows of these classes, and their labels."""
        chosen = np.isin(self.labels, classes)
        return self.rows[chosen], self.labels[chosen]


def check_classes(name: str, labels: NDArray[np.int64]) -> None:
    """Raise UsageError for fewer than two classes with at least two images."""
    if len(_classes(labels)) < 2:
        raise UsageError(f"{name}: expected at least two classes with two or more usable images each")


def _classes(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    found, counts = np.unique(labels, return_counts=True)
    return found[counts > 1]


@dataclass(frozen=True)
class ClassFold:
    """The mAP on classes of a set that a projection was not fitted on, before and after; means over the folds."""

    name: str
    classes: int
    images: int
    before: float
    after: float


def class_projection(
    sets: Sequence[tuple[Vectors, NDArray[np.int64]]], shrinkage: float, *, dimension: int | None = None
) -> Vectors:
    """Return P = Eᵀ L⁻¹, (D_out, D): L is the Cholesky factor of the variance within classes, E rotates.

    sets: vectors (N, D) and classes (N,) of each. The variance within classes is the mean of (x − c)(x − c)ᵀ over all
    images, where c is the mean of the image's class; it is mixed with `shrinkage`, in (0, 1], of an equal variance in
    all directions (Ledoit and Wolf 2004), so that few images suffice. E are the principal directions of all vectors,
    each set minus its mean so that what distinguishes the sets does not count, largest variance first. (Fisher 1936;
    Mikolajczyk and Matas 2007 for pairs; Kordopatis-Zilos et al. 2025 for adaptation to several sets.)
    """
    width = sets[0][0].shape[1]
    within, total, count = np.zeros((width, width)), np.zeros((width, width)), 0
    for rows, labels in sets:
        _, members = np.unique(labels, return_inverse=True)
        sizes = np.bincount(members)
        means = np.zeros((len(sizes), width))
        np.add.at(means, members, rows)
        apart = rows - (means / sizes[:, None])[members]
        centred = rows - rows.mean(axis=0, dtype=np.float64)
        within += apart.T @ apart
        total += centred.T @ centred
        count += len(rows)
    within /= count
    equal = np.trace(within) / width
    if not equal > 0:
        raise UsageError("all images of a class have equal vectors; expected different images")
    inverse = np.linalg.inv(np.linalg.cholesky((1 - shrinkage) * within + shrinkage * equal * np.eye(width)))
    spread = inverse @ (total / count) @ inverse.T
    _, directions = np.linalg.eigh((spread + spread.T) / 2)  # ascending eigenvalues, directions are columns
    kept = width if dimension is None else dimension
    return with_fixed_signs(directions.T[::-1][:kept] @ inverse, axis=1).astype(np.float32)


def choose_shrinkage(
    sets: Sequence[LabelledRows], *, dimension: int | None = None, centred: bool = True, seed: int = 0
) -> tuple[float, list[ClassFold]]:
    """Return the shrinkage of SHRINKAGES that is best on classes left out of the fit, and its folds, one per set.

    The classes of each set are divided among three folds (two if a set has fewer than six). A projection is fitted on
    the classes of the other folds and measured on those of one: every image is a query for the others of its class,
    among all images of the fold. The best has the largest mean over the sets of the mAP. centred: whether the mean over
    the sets of their means is subtracted first, as in the fitted whitening.
    """
    shift = np.mean([each.rows.mean(axis=0, dtype=np.float64) for each in sets], axis=0) if centred else 0.0
    before = np.zeros(len(sets))
    after = np.zeros((len(SHRINKAGES), len(sets)))
    splits = list(_splits(sets, seed))
    for learned, tested in splits:
        projections = [class_projection(learned, each, dimension=dimension) for each in SHRINKAGES]
        for number, (rows, labels) in enumerate(tested):
            before[number] += _mean_average_precision(rows, labels) / len(splits)
            for at, projection in enumerate(projections):
                moved = ((rows - shift) @ projection.T).astype(np.float32)
                after[at, number] += _mean_average_precision(moved, labels) / len(splits)
    best = int(np.argmax(after.mean(axis=1)))
    folds = [
        ClassFold(each.name, len(each.classes), len(each.rows), float(before[at]), float(after[best, at]))
        for at, each in enumerate(sets)
    ]
    return SHRINKAGES[best], folds


_Part = list[tuple[Vectors, NDArray[np.int64]]]


def _splits(sets: Sequence[LabelledRows], seed: int) -> Iterator[tuple[_Part, _Part]]:
    """Yield for each fold what is fitted on and what is measured, of every set."""
    random = np.random.default_rng(seed)
    folds = FOLDS if min(len(each.classes) for each in sets) >= 2 * FOLDS else 2
    shuffled = [random.permutation(each.classes) for each in sets]
    for fold in range(folds):
        held = [classes[fold::folds] for classes in shuffled]
        learned = [each.of(np.setdiff1d(each.classes, out)) for each, out in zip(sets, held, strict=True)]
        tested = []
        for each, out in zip(sets, held, strict=True):
            rows, labels = each.of(out)
            chosen = np.sort(random.permutation(len(rows))[:VALIDATED])
            tested.append((rows[chosen], labels[chosen]))
        yield learned, tested


def _mean_average_precision(rows: Vectors, labels: NDArray[np.int64]) -> float:
    """Return the mAP of every image as a query for the others of its class; images alone in theirs are no query."""
    unit = l2_normalise(rows)
    scores = unit @ unit.T
    np.fill_diagonal(scores, -np.inf)
    precisions = []
    for row, label in zip(scores, labels, strict=True):
        order = np.argsort(-row, kind="stable")[:-1]  # the query itself is last
        ranks = np.flatnonzero(labels[order] == label) + 1
        if len(ranks):
            precisions.append(float((np.arange(1, len(ranks) + 1) / ranks).mean()))
    return float(np.mean(precisions)) if precisions else 0.0
