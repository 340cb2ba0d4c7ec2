"""Search the database of an evaluation: rank all of it for every query, re-rank the head of each ranking."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kindred.codes import Code
from kindred.evaluation.describing import Descriptions
from kindred.index.multi_vector import MultiVectorIndex
from kindred.matching import ImageRows, Option
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.similarity import SIMILARITIES

__all__ = ["Search", "followed_by"]

BLOCK_SCORES = 1 << 22
"""Queries are ranked in blocks of so many scores (16 MB): no matrix of all queries by all images is held."""

TOGETHER = 16
"""So many queries are re-ranked at a time: few enough to tell how far it is, and to hold little."""

Order = NDArray[np.int64]
Rerank = Callable[[Ranking, slice], Ranking]
Compare = Callable[[slice], NDArray[np.float32]]
"""Returns the scores (Q, N) of all images for the queries in a slice."""


@dataclass(eq=False)
class Search:
    """Queries that search a database as a recipe compares images; it counts the seconds that it takes.

    left_out: for each query the images of the database that are left out of its ranking. code: ranks the database by
    codes in place of vectors. options: those of the matching of rows. Images that could not be read, or whose score is
    NaN, are in no ranking.
    """

    recipe: Recipe
    queries: Descriptions
    database: Descriptions
    left_out: Sequence[Sequence[int]]
    code: Code | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    seconds: float = 0.0
    rerank_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._usable = self.database.usable
        if self.code is not None:
            self._compare = _by_codes(self, self.code)
        else:
            self._compare = _by_rows(self) if self.recipe.multi_vector else _by_vectors(self)

    def orders(self) -> Iterator[Order]:
        """Yield for each query the order of all that is searched, best first; equal scores by position."""
        for order, _ in self._ranked(slice(None)):
            yield order

    def reranked(self, rerank: Rerank, *, depth: int) -> Iterator[Order]:
        """Yield the same, the first `depth` of each re-ranked; those that are not among them follow as they were.

        `rerank` is given rankings, and which of the queries they belong to. Where it brings up images from below
        `depth` (as query expansion, which searches anew), they come before the rest too.
        """
        for start in range(0, len(self.queries), TOGETHER):
            asked = slice(start, min(start + TOGETHER, len(self.queries)))
            ranked = list(self._ranked(asked))
            began = time.perf_counter()
            better = rerank(_heads(ranked, min(depth, len(self.database))), asked)
            self.rerank_seconds += time.perf_counter() - began
            for number, head, (order, _) in zip(range(start, asked.stop), better.ids, ranked, strict=True):
                yield self._searched(followed_by(head, order), self.left_out[number])

    def heads(self, asked: slice, *, depth: int) -> Ranking:
        """Return the first `depth` answers of some of the queries, with their scores."""
        return _heads(list(self._ranked(asked)), min(depth, len(self.database)))

    def _ranked(self, asked: slice) -> Iterator[tuple[Order, NDArray[np.float32]]]:
        """Yield for each query in `asked` the order of the database, and the scores (N,) of all of it."""
        numbers = range(*asked.indices(len(self.queries)))
        step = max(1, BLOCK_SCORES // len(self.database))
        for start in range(0, len(numbers), step):
            block = numbers[start : start + step]
            began = time.perf_counter()
            found = self._compare(slice(block.start, block.stop))
            self.seconds += time.perf_counter() - began
            for number, scores in zip(block, found, strict=True):
                began = time.perf_counter()
                order = _order(scores)
                self.seconds += time.perf_counter() - began
                yield self._searched(order, self.left_out[number]), scores

    def _searched(self, order: Order, left_out: Sequence[int]) -> Order:
        """Return `order` without the images that are not searched."""
        kept = order if self._usable.all() else order[self._usable[order]]
        for place in left_out:
            kept = kept[kept != place]
        return kept


def _heads(ranked: Sequence[tuple[Order, NDArray[np.float32]]], depth: int) -> Ranking:
    """Return the first `depth` answers of rankings, given as the order and the scores of all images."""
    ids = np.full((len(ranked), depth), -1, np.int64)
    scores = np.full(ids.shape, -np.inf, np.float32)
    for row, (order, found) in enumerate(ranked):
        head = order[:depth]
        head = head[np.isfinite(found[head])]  # those that could not be compared are no answers
        ids[row, : len(head)], scores[row, : len(head)] = head, found[head]
    return Ranking(ids, scores)


def _by_vectors(search: Search) -> Compare:
    """Compare images by one vector each."""
    similarity = search.recipe.similarity
    # The describer's vectors are unit vectors: the dot product is their cosine, with no norm at each block.
    compare = SIMILARITIES["dot" if similarity == "cosine" else similarity]
    queries, rows = search.queries.first_rows(), search.database.first_rows()
    return lambda asked: compare(queries[asked], rows)


def _by_codes(search: Search, code: Code) -> Compare:
    """Compare a query's vector with the codes of images."""
    queries, codes = search.queries.first_rows(), code.encode(search.database.first_rows())

    def compare(asked: slice) -> NDArray[np.float32]:
        places, found = code.search(queries[asked], codes, len(codes))
        scores = np.empty(found.shape, np.float32)
        np.put_along_axis(scores, places, found, axis=1)
        return scores

    return compare


def _by_rows(search: Search) -> Compare:
    """Compare images by all their rows, as the recipe's matching does."""
    recipe, database, queries = search.recipe, search.database, search.queries
    asmk = recipe.embedding == "asmk"
    method = "asmk" if asmk else recipe.matching
    index = MultiVectorIndex(database.vectors.shape[1], method=method, options=search.options)
    ids = np.arange(1, len(database) + 1)  # an index takes no 0
    index.add(np.repeat(ids, database.counts), database.vectors, words=database.words)
    ends = np.cumsum(queries.counts)

    def image_rows(number: int) -> ImageRows:
        # "best" looks for the query as a whole, wherever it lies in an image.
        count = 1 if recipe.matching == "best" and not asmk else int(queries.counts[number])
        start = int(ends[number] - queries.counts[number])
        rows = slice(start, start + count)
        words = None if queries.words is None else queries.words[rows]
        return ImageRows(queries.vectors[rows], np.zeros(count, np.int64), words=words)

    def compare(asked: slice) -> NDArray[np.float32]:
        numbers = range(*asked.indices(len(queries)))
        scores = np.full((len(numbers), len(database)), -np.inf, np.float32)
        for row, number in zip(scores, numbers, strict=True):
            found = index.search(image_rows(number), len(database))
            answers = found.ids[0] > 0
            row[found.ids[0][answers] - 1] = found.scores[0][answers]
        return scores

    return compare


def followed_by(head: Order, order: Order) -> Order:
    """Return the ids of `head`, without its padding, and after them those of `order` that are not among them.

    >>> followed_by(np.array([4, 2, -1]), np.array([2, 0, 4, 1]))
    array([4, 2, 0, 1])
    """
    first = head[head >= 0]
    return np.concatenate([first, order[~np.isin(order, first)]])


def _order(scores: NDArray[np.float32]) -> Order:
    """Return the positions from the highest score to the lowest, equal ones by position; those of NaN are left out.

    Score and position are packed into one whole number each, whose sort is three times as fast as a stable
    argsort for tens of thousands.
    """
    bits = (0.0 - scores.astype(np.float32)).view(np.int32).astype(np.int64)
    # The bits of a float ascend with it; for a negative one they descend below its sign.
    keys = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
    unordered = np.isnan(scores)
    keys[unordered] = 0x7FFFFFFF  # the bits of NaN have a sign as well, by which it would come first or last
    packed = (keys << 32) | np.arange(len(scores))
    packed.sort()
    order: Order = packed & 0xFFFFFFFF
    return order[: len(order) - np.count_nonzero(unordered)]
