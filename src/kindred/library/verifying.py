"""Verifying a library: whether its index finds what its store has, and whether a copy is complete.

Counts are compared, checksums of all images by bucket of their ids, and the rankings of some images with exact search.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.index import ExactIndex
from kindred.library.library import Library
from kindred.library.stored import facts_of, rows_of_each
from kindred.store import Filter, Store

__all__ = ["BUCKETS", "VerifyReport", "verify_library"]

BUCKETS = 64
"""Images are compared in this many parts, by their ids, so that a difference is located."""
QUERIES, K = 200, 10
LEAST_RECALL = 0.95
ROWS = 512


@dataclass(frozen=True)
class VerifyReport:
    """What was found.

    images, vectors: numbers in the library. unreadable: vectors that are counted but were not read. recall: the share
    of the best 10 of exact search that the index finds, over `queries` rankings; None if the recipe has no vectors.
    unlike: buckets whose images differ from those of the other library, with the number of images in each, here and
    there. same_rankings: the share of rankings that are equal in both; None without another library.
    """

    images: int
    vectors: int
    unreadable: int
    queries: int
    recall: float | None
    unlike: tuple[tuple[int, int, int], ...] = ()
    same_rankings: float | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        found = self.recall is None or self.recall >= LEAST_RECALL
        same = self.same_rankings is None or self.same_rankings >= LEAST_RECALL
        return not self.unreadable and not self.unlike and found and same


def verify_library(
    library: Library, other: Library | None = None, *, queries: int = QUERIES, seed: int = 0
) -> VerifyReport:
    """Verify the index of a library and, if given, that `other` has the same images, described in the same way."""
    store = library.store
    counts = store.counts()
    exact, readable = _exact_index(library)
    chosen = _chosen(store, queries, seed) if exact is not None else np.empty(0, np.int64)
    _, vectors = store.fetch(chosen.tolist())
    return VerifyReport(
        images=counts.images,
        vectors=counts.vectors,
        unreadable=counts.vectors - readable,
        queries=len(chosen),
        recall=_recall(library, exact, vectors) if exact is not None and len(chosen) else None,
        unlike=() if other is None else _unlike(store, other.store),
        same_rankings=None if other is None or not len(chosen) else _same_rankings(library, other, vectors),
    )


def _exact_index(library: Library) -> tuple[ExactIndex | None, int]:
    """Return an index that compares all vectors, and how many were read; none for recipes of several rows per image."""
    if library.recipe.multi_vector:
        return None, sum(len(ids) for ids, _ in library.store.vectors())
    index = ExactIndex(library.store.dimension or 1, similarity=library.recipe.similarity)
    for ids, rows in library.store.vectors():
        index.add(ids, rows)
    return index, len(index)


def _chosen(store: Store, queries: int, seed: int) -> NDArray[np.int64]:
    ids = store.select(Filter())
    return np.sort(np.random.default_rng(seed).permutation(ids)[:queries])


def _recall(library: Library, exact: ExactIndex, vectors: Vectors) -> float:
    """Return the share of the exact results that the index finds; an equally good one is as right."""
    found = right = 0
    for vector in vectors:
        ranking, truth = library.search_index.search(vector[None], K), exact.search(vector[None], K)
        least = truth.scores[0, truth.ids[0] >= 0].min()
        there = ranking.scores[0, ranking.ids[0] >= 0]
        right += min(int((there >= least - 1e-4).sum()), int((truth.ids[0] >= 0).sum()))
        found += int((truth.ids[0] >= 0).sum())
    return right / found if found else 1.0


def _same_rankings(library: Library, other: Library, vectors: Vectors) -> float:
    """Return the share of queries whose results are the same images, by id; those of equal score in any order."""
    same = 0
    for vector in vectors:
        mine, theirs = (_results(each, vector) for each in (library, other))
        same += sorted(mine) == sorted(theirs) or _differ_in_ties(mine, theirs)
    return same / len(vectors)


def _results(library: Library, vector: Vectors) -> list[tuple[str, float]]:
    ranking = library.search_index.search(vector[None], K)
    rows = library.store.rows(ranking.ids[0].tolist())
    pairs = zip(ranking.ids[0].tolist(), ranking.scores[0].tolist(), strict=True)
    return [(rows[number].uid, round(score, 4)) for number, score in pairs if number in rows]


def _differ_in_ties(mine: list[tuple[str, float]], theirs: list[tuple[str, float]]) -> bool:
    """Return whether two rankings differ only in images that score as the last one does."""
    if len(mine) != len(theirs) or not mine:
        return False
    last = mine[-1][1] + 2e-4
    better = [[each for each, score in results if score > last] for results in (mine, theirs)]
    scores = np.array([[score for _, score in results] for results in (mine, theirs)])
    return sorted(better[0]) == sorted(better[1]) and bool(np.abs(scores[0] - scores[1]).max() < 1e-3)


def _unlike(store: Store, other: Store) -> tuple[tuple[int, int, int], ...]:
    mine, theirs = _buckets(store), _buckets(other)
    return tuple(
        (bucket, mine[bucket][1], theirs[bucket][1]) for bucket in range(BUCKETS) if mine[bucket] != theirs[bucket]
    )


def _buckets(store: Store) -> list[tuple[bytes, int]]:
    """Return the checksum and the number of images of each bucket: ids, paths, states, tags, metadata and vectors."""
    sums, counts = [0] * BUCKETS, [0] * BUCKETS
    numbers = store.select_images(Filter())
    for start in range(0, len(numbers), ROWS):
        part = numbers[start : start + ROWS]
        rows = store.images(part.tolist())
        known = facts_of(store, rows)
        described = _descriptions(store, part)
        for number, row in rows.items():
            facts = known[number]
            text = repr((row.uid, str(row.path), facts.digest, facts.state, row.tags, sorted(row.metadata.items())))
            digest = hashlib.sha256(text.encode("utf-8", "surrogateescape") + described.get(number, b"")).digest()
            bucket = int(row.uid, 16) % BUCKETS
            # A sum, as the order of images differs between libraries.
            sums[bucket] = (sums[bucket] + int.from_bytes(digest, "big")) % 2**256
            counts[bucket] += 1
    return [(total.to_bytes(32, "big"), count) for total, count in zip(sums, counts, strict=True)]


def _descriptions(store: Store, images: NDArray[np.int64]) -> dict[int, bytes]:
    """Return a digest of the rows, boxes and words of each image that has any."""
    found: dict[int, bytes] = {}
    for number, own in rows_of_each(store, images):
        boxes = b"" if own.boxes is None else own.boxes.tobytes()
        words = b"" if own.words is None else own.words.tobytes()
        digest = hashlib.sha256(own.rows.tobytes() + boxes + words)
        digest.update(store.features(number) or b"")
        found[number] = digest.digest()
    return found
