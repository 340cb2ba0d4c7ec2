"""Validation: how often a network that is being trained finds the right image, and on which queries it changed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.errors import UsageError
from kindred.evaluation.metrics import (
    average_precision,
    mean,
    recall_at_k,
    relevant_ranks,
    trapezoidal_average_precision,
)
from kindred.evaluation.own_images import file_key
from kindred.evaluation.scoring import METRICS
from kindred.evaluation.ties import tie_order
from kindred.training.augment import Augmentation
from kindred.training.image_cache import ImageCache

if TYPE_CHECKING:
    from kindred.evaluation.groundtruth import GroundTruth
    from kindred.training.tuning.labels import LabelledImages

__all__ = ["Validation", "class_validation", "hold_out", "view_validation"]

VIEW = Augmentation(area=(0.3, 0.6), colour=0.3, coarse=0.3)


@dataclass(frozen=True, eq=False)
class Validation:
    """Queries, a database, and which images of it are right.

    paths: all images that must be described. queries: (Q,) numbers in `paths`. database: (N,) numbers in `paths`.
    relevant, junk: for each query, places in the database. An image is never an answer to itself. trapezoids: whether
    average precision is summed by trapezoids, as the protocols of Oxford5k and Holidays have it.
    """

    paths: tuple[Path, ...]
    queries: NDArray[np.int64]
    database: NDArray[np.int64]
    relevant: tuple[NDArray[np.int64], ...]
    junk: tuple[NDArray[np.int64], ...]
    trapezoids: bool = False

    @classmethod
    def from_groundtruth(cls, truth: GroundTruth) -> Validation:
        """Take the first setting of a ground truth; boxes of queries are not looked at.

        Paths of one file, however they are written, are one image. Raises UsageError where a file is missing.
        """
        database, queries = truth.locate()
        firsts: dict[Hashable, Path] = {}
        for path in (*queries, *database):
            firsts.setdefault(file_key(path), path)
        numbers = {key: number for number, key in enumerate(firsts)}
        asked = np.array([numbers[file_key(path)] for path in queries])
        searched = np.array([numbers[file_key(path)] for path in database])
        judged = [next(iter(query.judgements.values())) for query in truth.queries]
        return cls(
            tuple(firsts.values()),
            asked,
            searched,
            # A query that counts as its own answer, as in Oxford5k, could not be found here.
            tuple(each.relevant[searched[each.relevant] != own] for each, own in zip(judged, asked, strict=True)),
            tuple(each.junk for each in judged),
            trapezoids=METRICS[truth.protocol]["mAP"] is trapezoidal_average_precision,
        )

    def ranked(self, vectors: Vectors) -> list[NDArray[np.int64]]:
        """Return, for each query, the places in the database by vectors (M, D) of `paths`, best first.

        The query itself, junk and images whose vector is not finite are left out. Equal scores go by a fixed random
        order.
        """
        rankings, turns = [], tie_order(len(self.database))
        for query, junk in zip(self.queries, self.junk, strict=True):
            scores = vectors[self.database] @ vectors[query]
            scores[junk] = -np.inf
            scores[self.database == query] = -np.inf
            order = turns[np.argsort(-scores[turns], kind="stable")]
            rankings.append(order[np.isfinite(scores[order])])
        return rankings

    @staticmethod
    def best(rankings: Sequence[NDArray[np.int64]], most: int) -> NDArray[np.int64]:
        """Return the first `most` places of each ranking: (Q, most), −1 where there are no more."""
        return np.stack([np.pad(order[:most], (0, most), constant_values=-1)[:most] for order in rankings])

    def figures(self, rankings: Sequence[NDArray[np.int64]]) -> dict[str, float]:
        """Return recall@1, recall@10 and mAP of whole rankings, as `ranked` returns them."""
        ranks = [relevant_ranks(order, relevant) for order, relevant in zip(rankings, self.relevant, strict=True)]
        found = [(places, relevant) for places, relevant in zip(ranks, self.relevant, strict=True) if len(relevant)]
        precision = trapezoidal_average_precision if self.trapezoids else average_precision
        return {
            "mAP": mean(precision(places, len(relevant)) for places, relevant in found),
            "recall@1": mean(recall_at_k(places, 1) for places, _ in found),
            "recall@10": mean(recall_at_k(places, 10) for places, _ in found),
        }


def class_validation(
    paths: Sequence[Path], labels: NDArray[np.int64], queries: NDArray[np.int64], database: NDArray[np.int64]
) -> Validation:
    """Let the images `queries` look for their class among the images `database`; both are numbers in `paths`.

    A query whose class nobody else has is left out. Raises UsageError where none is left.
    """
    relevant = [np.flatnonzero((labels[database] == labels[query]) & (database != query)) for query in queries]
    asked = [number for number, places in enumerate(relevant) if len(places)]
    if not asked:
        raise UsageError("validation: no query has another image of its class to find; expected classes of two or more")
    empty = np.zeros(0, np.int64)
    return Validation(
        tuple(paths), queries[asked], database, tuple(relevant[number] for number in asked), (empty,) * len(asked)
    )


def hold_out(
    data: LabelledImages, *, share: float, seed: int, most_queries: int = 500, most_database: int = 2000
) -> tuple[NDArray[np.int64], Validation | None]:
    """Take a share of each class out of training, to be the queries of a validation among the rest.

    Returns the numbers of the images that are left to learn from, and the validation, None where no class has enough
    images (three) to spare one. Both are drawn by `seed`.
    """
    rng = np.random.default_rng([seed, 0x0A11])
    held: list[int] = []
    for label in range(len(data.classes)):
        members = np.flatnonzero(data.labels == label)
        if len(members) >= 3 and share > 0:
            count = min(max(1, round(share * len(members))), len(members) - 2)
            held += rng.choice(members, count, replace=False).tolist()
    if not held:
        return np.arange(len(data)), None
    left = np.setdiff1d(np.arange(len(data)), held)
    queries = _drawn(np.array(sorted(held)), most_queries, rng)
    # What the queries look for comes first: of thousands of classes few of theirs would be drawn.
    sought = np.isin(data.labels[left], data.labels[queries])
    own = _drawn(left[sought], most_database, rng)
    others = _drawn(left[~sought], most_database - len(own), rng)
    return left, class_validation(data.paths, data.labels, queries, np.union1d(own, others))


def view_validation(pictures: ImageCache, *, seed: int, most: int) -> tuple[Validation, ImageCache]:
    """Let changed views of some images, a mirrored part of them in other light, look for the images: no label is read.

    Returns the validation and the images that it needs, both views and whole ones. It tells whether things are still
    known again, not whether what is alike in kind is found.
    """
    rng = np.random.default_rng([seed, 0x71E5])
    chosen = _drawn(np.arange(len(pictures)), most, rng)
    whole = [pictures[number] for number in chosen.tolist()]
    views = [VIEW.crop(image, max(32, round(0.7 * max(image.shape[:2]))), rng) for image in whole]
    count, empty = len(chosen), np.zeros(0, np.int64)
    paths = tuple(pictures.paths[number] for number in chosen)
    names = tuple(path.with_name(f"view of {path.name}") for path in paths)
    validation = Validation(
        (*names, *paths),
        np.arange(count),
        np.arange(count, 2 * count),
        tuple(np.array([number]) for number in range(count)),
        (empty,) * count,
    )
    return validation, ImageCache.from_arrays([*views, *whole])


def _drawn(numbers: NDArray[np.int64], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    if len(numbers) <= most:
        return numbers
    return np.sort(rng.choice(numbers, most, replace=False))
