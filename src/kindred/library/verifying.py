"""Verifying a library: whether its index finds what its store has, and whether a copy is complete.

Counts are compared, checksums of all images and skipped files by bucket of their ids, and the rankings of some images
with exact search. All vectors, local features and their visual words are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.errors import LibraryDamaged
from kindred.index import ExactIndex
from kindred.library.library import Library
from kindred.library.stored import (
    decoded,
    facts_of,
    features_of_each,
    rows_of_each,
    vectors_of_each,
    visual_words_of_each,
)
from kindred.store import Filter, Known, Row, Store, VisualWords

__all__ = ["BUCKETS", "Damaged", "Phase", "Unlike", "VerifyReport", "verify_library"]

BUCKETS = 64
"""Images are compared in this many parts, by their ids, so that a difference is located."""
QUERIES, K = 200, 10
LEAST_RECALL = 0.95
ROWS = 512
NO_VECTOR = "its vector is missing"


class Phase(NamedTuple):
    """A part of a verification: its title, and what is counted in it."""

    title: str
    unit: str


VECTORS, FEATURES = Phase("Reading vectors", "vectors"), Phase("Reading local features", "images")
HERE, THERE = Phase("Reading images", "images"), Phase("Reading images of the other", "images")
RANKINGS, BOTH = Phase("Checking rankings", "rankings"), Phase("Comparing rankings", "rankings")

Report = Callable[[Phase, int, int], None]
"""Called with a phase, what is done of it, and its total."""


class Damaged(NamedTuple):
    """An image that cannot be found, or not verified, as its data is missing or damaged, with the reason."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Unlike:
    """A bucket whose images or skipped files differ, with their numbers here and in the other library."""

    bucket: int
    images: tuple[int, int]
    skipped: tuple[int, int]


@dataclass(frozen=True)
class VerifyReport:
    """What was found.

    images, skipped, vectors: numbers in the library; skipped files are those that could not be used. unreadable:
    vectors that were not read although the library has their images. damaged: these images, and those whose local
    features or visual words are damaged. without_features: images that have none, although the recipe stores them, as
    after an import of vectors. recall: the share of the best 10 of exact search that the index finds, over `queries`
    rankings; None if the recipe has no vectors. others: numbers of images and of skipped files in the other library.
    unlike: buckets that differ. related: whether images have the same ids in both, as in a copy. same_rankings: the
    share of rankings that are equal in both. None or empty without another library.
    """

    images: int
    skipped: int
    vectors: int
    unreadable: int
    queries: int
    recall: float | None
    others: tuple[int, int] | None = None
    unlike: tuple[Unlike, ...] = ()
    related: bool | None = None
    same_rankings: float | None = None
    damaged: tuple[Damaged, ...] = ()
    without_features: int = 0

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        found = self.recall is None or self.recall >= LEAST_RECALL
        same = self.same_rankings is None or self.same_rankings >= LEAST_RECALL
        return not self.damaged and not self.unlike and found and same


def verify_library(
    library: Library,
    other: Library | None = None,
    *,
    queries: int = QUERIES,
    seed: int = 0,
    progress: Report | None = None,
) -> VerifyReport:
    """Verify the index of a library and, if given, that `other` has the same images, described in the same way.

    If a vector is damaged, there are no rankings, and the libraries are not compared: images have to be described again
    first.
    """
    store, report = library.store, progress or _silent
    counts, ids = store.counts(), store.select(Filter())
    exact, read, damaged = _exact_index(library, report)
    lost = [row.path for row in store.rows(np.setdiff1d(ids, read).tolist()).values()]  # not what was removed meanwhile
    if exact is not None and not damaged and len(read) < counts.indexed:
        lost += _without_vector(store)
    here = None if other is None or damaged else _Buckets()
    local, without_features = _checked_features(library, here, report)
    found = VerifyReport(
        images=counts.indexed,
        skipped=counts.skipped,
        vectors=counts.vectors,
        unreadable=len(lost) + len(damaged),
        queries=0,
        recall=None,
        damaged=tuple(sorted([*(Damaged(path, NO_VECTOR) for path in lost), *damaged, *local])),
        without_features=without_features,
    )
    if damaged:
        return found
    chosen = _chosen(store, queries, seed) if exact is not None else np.empty(0, np.int64)
    _, vectors = store.fetch(chosen.tolist())
    if exact is not None and len(chosen):
        found = replace(found, queries=len(chosen), recall=_recall(library, exact, vectors, report))
    if other is None or here is None:
        return found
    return replace(
        found,
        others=_numbers(other.store),
        unlike=_unlike(library, here, other.store, report),
        related=_are_related(store, other.store),
        same_rankings=_same_rankings(library, other, vectors, report) if len(chosen) else None,
    )


def _numbers(store: Store) -> tuple[int, int]:
    counts = store.counts()
    return counts.indexed, counts.skipped


def _are_related(store: Store, other: Store) -> bool:
    """Return whether some image of a sample of one has its id in the other as well; an empty one may be any copy."""
    one, two = _sample(store), _sample(other)
    return not one or not two or bool(other.by_uid(one)) or bool(store.by_uid(two))


def _sample(store: Store) -> list[str]:
    numbers = store.select_images(Filter())
    return [row.uid for row in store.images(numbers[:: len(numbers) // QUERIES + 1].tolist()).values()]


def _exact_index(library: Library, report: Report) -> tuple[ExactIndex | None, NDArray[np.int64], list[Damaged]]:
    """Read all vectors; return an index that compares them, their ids, and the images of those that are damaged.

    There is no index for a recipe of several vectors per image.
    """
    store, read, damaged = library.store, [np.empty(0, np.int64)], list[Damaged]()
    index = None
    if not library.recipe.multi_vector:
        index = ExactIndex(store.dimension or 1, similarity=library.recipe.similarity)
    total, done = store.counts().vectors, 0
    for ids, rows in vectors_of_each(store):
        read.append(ids)
        done += len(ids)
        report(VECTORS, done, max(done, total))
        if isinstance(rows, LibraryDamaged):
            damaged += [_damaged(row, rows) for row in store.rows(ids.tolist()).values()]
        elif index is not None:
            index.add(ids, rows)
    return index, np.concatenate(read), damaged


def _without_vector(store: Store) -> list[Path]:
    """Return the images without the one vector that each image of this recipe has."""
    missing = list[Path]()
    numbers = store.select_images(Filter())
    for start in range(0, len(numbers), ROWS):
        part = numbers[start : start + ROWS]
        owners = [batch.owners for batch in store.parts(images=part)]
        known = facts_of(store, store.images(np.setdiff1d(part, np.concatenate([part[:0], *owners])).tolist()))
        missing += (facts.path for facts in known.values() if facts.state == "indexed")
    return missing


def _checked_features(library: Library, buckets: _Buckets | None, report: Report) -> tuple[list[Damaged], int]:
    """Return the images whose local features or visual words are damaged, and the number of those without features.

    That is if the recipe has any. buckets: to which they are added, if they are compared; they are read once for both.
    """
    recipe = library.recipe
    if not recipe.stored_features and buckets is None:
        return [], 0
    store, damaged, without = library.store, list[Damaged](), list[int]()
    for rows, known in _images(store, FEATURES, report):
        indexed = _indexed(rows, known)
        for number, data in features_of_each(store, indexed):
            if buckets is not None:
                buckets.add_features(rows[number], data)
            if recipe.stored_features and data is None:
                without.append(number)
            elif recipe.stored_features and (error := _error_of(rows[number], data)):
                damaged.append(_damaged(rows[number], error))
        for number, words in visual_words_of_each(store, indexed if recipe.words else {}):
            if buckets is not None:
                buckets.add_words(rows[number], words)
            if isinstance(words, LibraryDamaged):
                damaged.append(_damaged(rows[number], words))
    return damaged, len(store.images(without))  # not what was removed meanwhile


def _error_of(row: Row, data: bytes | LibraryDamaged | None) -> LibraryDamaged | None:
    """Return why the local features of an image cannot be used, if so."""
    try:
        decoded(row, data)
    except LibraryDamaged as error:
        return error
    return None


def _damaged(row: Row, error: LibraryDamaged) -> Damaged:
    return Damaged(row.path, str(error).removeprefix(f"{row.path}: ").partition(";")[0])


def _indexed(rows: Mapping[int, Row], known: Mapping[int, Known]) -> dict[int, Row]:
    return {number: row for number, row in rows.items() if known[number].state == "indexed"}


def _images(store: Store, phase: Phase, report: Report) -> Iterator[tuple[dict[int, Row], dict[int, Known]]]:
    """Yield all images and their facts, by number, many at a time."""
    numbers = store.select_images(Filter())
    for start in range(0, len(numbers), ROWS):
        report(phase, start, len(numbers))
        rows = store.images(numbers[start : start + ROWS].tolist())
        known = facts_of(store, rows)
        yield {number: row for number, row in rows.items() if number in known}, known


def _chosen(store: Store, queries: int, seed: int) -> NDArray[np.int64]:
    ids = store.select(Filter())
    return np.sort(np.random.default_rng(seed).permutation(ids)[:queries])


def _recall(library: Library, exact: ExactIndex, vectors: Vectors, report: Report) -> float:
    """Return the share of the exact results that the index finds; an equally good one is as right."""
    found = right = 0
    for number, vector in enumerate(vectors):
        report(RANKINGS, number, len(vectors))
        ranking, truth = library.search_index.search(vector[None], K), exact.search(vector[None], K)
        least = truth.scores[0, truth.ids[0] >= 0].min()
        there = ranking.scores[0, ranking.ids[0] >= 0]
        right += min(int((there >= least - 1e-4).sum()), int((truth.ids[0] >= 0).sum()))
        found += int((truth.ids[0] >= 0).sum())
    return right / found if found else 1.0


def _same_rankings(library: Library, other: Library, vectors: Vectors, report: Report) -> float:
    """Return the share of queries whose results are the same images, by id; those of equal score in any order."""
    same = 0
    for number, vector in enumerate(vectors):
        report(BOTH, number, len(vectors))
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


def _unlike(library: Library, here: _Buckets, other: Store, report: Report) -> tuple[Unlike, ...]:
    """Return the buckets that differ; `here` has the local features and visual words of the library already."""
    store, words = library.store, library.recipe.words
    for rows, known in _images(store, HERE, report):
        here.add_images(store, rows, known)
    there = _Buckets()
    for rows, known in _images(other, THERE, report):
        there.add_images(other, rows, known)
        indexed = _indexed(rows, known)
        for number, data in features_of_each(other, indexed):
            there.add_features(rows[number], data)
        for number, found in visual_words_of_each(other, indexed if words else {}):
            there.add_words(rows[number], found)
    return here.unlike(there)


@dataclass
class _Bucket:
    """The checksum of a bucket, and its numbers of images and of skipped files."""

    checksum: int = 0
    images: int = 0
    skipped: int = 0

    def add(self, *parts: bytes) -> None:
        """Add data of one image to the checksum: a sum, as the order of images differs between libraries."""
        digest = hashlib.sha256(b"".join(parts)).digest()
        self.checksum = (self.checksum + int.from_bytes(digest, "big")) % 2**256


class _Buckets:
    """All buckets: their checksums are of ids, paths, states, tags, metadata, vectors, words and local features."""

    def __init__(self) -> None:
        self._all = [_Bucket() for _ in range(BUCKETS)]

    def add_images(self, store: Store, rows: Mapping[int, Row], known: Mapping[int, Known]) -> None:
        """Add everything of images but their local features."""
        described = _descriptions(store, np.array(list(rows), np.int64))
        for number, row in rows.items():
            facts, bucket = known[number], self._of(row)
            text = repr((row.uid, str(row.path), facts.digest, facts.state, row.tags, sorted(row.metadata.items())))
            bucket.add(text.encode("utf-8", "surrogateescape"), described.get(number, b""))
            bucket.images += facts.state != "skipped"
            bucket.skipped += facts.state == "skipped"

    def add_features(self, row: Row, data: bytes | LibraryDamaged | None) -> None:
        """Add the local features of an image, as of `features_of_each`."""
        if data is not None:
            self._of(row).add(f"features {row.uid} ".encode(), b"damaged" if isinstance(data, LibraryDamaged) else data)

    def add_words(self, row: Row, found: VisualWords | LibraryDamaged | None) -> None:
        """Add the visual words of the local features of an image, as of `visual_words_of_each`."""
        if found is not None:
            name = f"words {row.uid} ".encode()
            if isinstance(found, LibraryDamaged):
                self._of(row).add(name, b"damaged")
            else:
                self._of(row).add(name, found.words.tobytes(), found.signatures.tobytes())

    def unlike(self, other: _Buckets) -> tuple[Unlike, ...]:
        """Return the buckets that differ."""
        return tuple(
            Unlike(bucket, (mine.images, theirs.images), (mine.skipped, theirs.skipped))
            for bucket, (mine, theirs) in enumerate(zip(self._all, other._all, strict=True))
            if mine != theirs
        )

    def _of(self, row: Row) -> _Bucket:
        return self._all[int(row.uid, 16) % BUCKETS]


def _descriptions(store: Store, images: NDArray[np.int64]) -> dict[int, bytes]:
    """Return a digest of the rows, boxes and words of each image that has any."""
    found: dict[int, bytes] = {}
    for number, own in rows_of_each(store, images):
        boxes = b"" if own.boxes is None else own.boxes.tobytes()
        words = b"" if own.words is None else own.words.tobytes()
        found[number] = hashlib.sha256(own.rows.tobytes() + boxes + words).digest()
    return found


def _silent(phase: Phase, done: int, total: int) -> None:
    """Report no progress."""
