"""Validation: retrieval metrics of a network that is being trained."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.errors import UsageError
from kindred.evaluation.groundtruth import GroundTruth
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
from kindred.training.tuning.labels import LabelledImages

__all__ = ["Validation", "class_validation", "hold_out", "view_validation"]

VIEW = Augmentation(area=(0.3, 0.6), colour=0.3, coarse=0.3)


@dataclass(frozen=True, eq=False)
class Validation:
    """Queries, a database, and which images of it are relevant.

    paths: all images to describe. queries: (Q,) indices into `paths`. database: (N,) indices into `paths`. relevant,
    junk: for each query, positions in the database; junk is ignored. An image is never among its own results.
    trapezoids: whether average precision is a sum of trapezoids, as in the protocols of Oxford5k and Holidays.
    """

    paths: tuple[Path, ...]
    queries: NDArray[np.int64]
    database: NDArray[np.int64]
    relevant: tuple[NDArray[np.int64], ...]
    junk: tuple[NDArray[np.int64], ...]
    trapezoids: bool = False

    @classmethod
    def from_groundtruth(cls, truth: GroundTruth) -> Validation:
        """Take the first setting of a ground truth; the queries' boxes are ignored.

        Paths of one file, however they are written, are one image. Raises UsageError if a file is missing.
        """
        database, queries = truth.locate()
        firsts: dict[Hashable, Path] = {}
        for path in (*queries, *database):
            firsts.setdefault(file_key(path), path)
        indices = {key: index for index, key in enumerate(firsts)}
        query_indices = np.array([indices[file_key(path)] for path in queries])
        database_indices = np.array([indices[file_key(path)] for path in database])
        judged = [query.judgement for query in truth.queries]
        return cls(
            tuple(firsts.values()),
            query_indices,
            database_indices,
            # A query that counts as its own result, as in Oxford5k, could not be found here.
            tuple(
                each.relevant[database_indices[each.relevant] != own]
                for each, own in zip(judged, query_indices, strict=True)
            ),
            tuple(each.junk for each in judged),
            trapezoids=METRICS[truth.protocol]["mAP"] is trapezoidal_average_precision,
        )

    def rank(self, vectors: Vectors) -> list[NDArray[np.int64]]:
        """Return for each query the positions in the database, best first, by the vectors (M, D) of `paths`.

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
    def top(rankings: Sequence[NDArray[np.int64]], most: int) -> NDArray[np.int64]:
        """Return the first `most` positions of each ranking: (Q, most), −1 if there are fewer."""
        return np.stack([np.pad(order[:most], (0, most), constant_values=-1)[:most] for order in rankings])

    def metrics(self, rankings: Sequence[NDArray[np.int64]]) -> dict[str, float]:
        """Return mAP, recall@1 and recall@10 of whole rankings by `rank`, over the queries with relevant images."""
        found = [
            (relevant_ranks(order, relevant), relevant)
            for order, relevant in zip(rankings, self.relevant, strict=True)
            if len(relevant)
        ]
        precision = trapezoidal_average_precision if self.trapezoids else average_precision
        return {
            "mAP": mean(precision(ranks, len(relevant)) for ranks, relevant in found),
            "recall@1": mean(recall_at_k(ranks, 1) for ranks, _ in found),
            "recall@10": mean(recall_at_k(ranks, 10) for ranks, _ in found),
        }


def class_validation(
    paths: Sequence[Path], labels: NDArray[np.int64], queries: NDArray[np.int64], database: NDArray[np.int64]
) -> Validation:
    """Return the validation in which the relevant images are those of the query's class.

    queries, database: indices into `paths`. A query without another image of its class is left out. Raises UsageError
    if none is left.
    """
    relevant = [np.flatnonzero((labels[database] == labels[query]) & (database != query)) for query in queries]
    usable = [query for query, positions in enumerate(relevant) if len(positions)]
    if not usable:
        raise UsageError("validation: no query has another image of its class to find; expected classes of two or more")
    empty = np.zeros(0, np.int64)
    return Validation(
        tuple(paths), queries[usable], database, tuple(relevant[query] for query in usable), (empty,) * len(usable)
    )


def hold_out(
    data: LabelledImages, *, share: float, seed: int, most_queries: int = 500, most_database: int = 2000
) -> tuple[NDArray[np.int64], Validation | None]:
    """Hold out a share of each class as the queries of a validation, with the rest as its database.

    Returns the indices of the images that are left to train on, and the validation, None where no class has the three
    images that it takes. What is drawn follows from `seed`.
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
    # The relevant images first: drawn among thousands of classes, few would be in the database.
    relevant = np.isin(data.labels[left], data.labels[queries])
    own = _drawn(left[relevant], most_database, rng)
    others = _drawn(left[~relevant], most_database - len(own), rng)
    return left, class_validation(data.paths, data.labels, queries, np.union1d(own, others))


def view_validation(images: ImageCache, *, seed: int, most: int) -> tuple[Validation, ImageCache]:
    """Return a validation without labels: augmented views of at most `most` images are the queries for the images.

    A view is a part of its image in other light, half of them mirrored. Returns the validation and its images, views
    first. It shows whether a network still recognises the same image, not whether it finds images of the same class.
    """
    rng = np.random.default_rng([seed, 0x71E5])
    chosen = _drawn(np.arange(len(images)), most, rng)
    whole = [images[index] for index in chosen.tolist()]
    views = [VIEW.crop(image, max(32, round(0.7 * max(image.shape[:2]))), rng) for image in whole]
    count, empty = len(chosen), np.zeros(0, np.int64)
    paths = tuple(images.paths[index] for index in chosen)
    names = tuple(path.with_name(f"view of {path.name}") for path in paths)
    validation = Validation(
        (*names, *paths),
        np.arange(count),
        np.arange(count, 2 * count),
        tuple(np.array([position]) for position in range(count)),
        (empty,) * count,
    )
    return validation, ImageCache.from_arrays([*views, *whole])


def _drawn(indices: NDArray[np.int64], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    if len(indices) <= most:
        return indices
    return np.sort(rng.choice(indices, most, replace=False))
