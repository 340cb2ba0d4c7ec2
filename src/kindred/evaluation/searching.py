"""Search the database of an evaluation: rank it completely for every query, re-rank the first results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from kindred.codes import Code
from kindred.evaluation.describing import Descriptions
from kindred.index import (
    CANDIDATES,
    INDEXES,
    LISTED,
    ArraySource,
    ExhaustiveIndex,
    IndexSettings,
    Queries,
    by_words_and_vectors,
    choose_index,
    halves,
    index_for,
    join_candidates,
)
from kindred.library.query import DescribedQuery
from kindred.matching import ImageRows, Option
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.store import VisualWords

__all__ = ["Search", "with_rest"]

BLOCK_SCORES = 1 << 22
"""Scores per block of queries (16 MB), so that no matrix of all queries by all images is in memory."""

QUERIES_AT_A_TIME = 16
"""Queries re-ranked at a time: few enough for frequent progress and little memory."""

Order = NDArray[np.int64]
Rerank = Callable[[Ranking, slice], Ranking]
Ranked = tuple[Order, NDArray[np.float32]]
"""The order of the searched images for a query, and the scores (N,) of all images."""
QuerySlice = Callable[[slice], Sequence[Queries]]
"""Returns the queries in a slice, in the form that an index takes."""


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
        # Vectors with NaN cannot be compared.
        self._usable = self.database.usable & _has_numbers(self.database)
        self._unordered = ~_has_numbers(self.queries)
        database, queries = self.database, self.queries
        if not self._usable.all():
            database = database.chosen(np.flatnonzero(self._usable))
        if self._unordered.any():
            queries = replace(queries, vectors=np.nan_to_num(queries.vectors, posinf=0, neginf=0))
        # The same index as in a library, if it compares all rows; with codes, without rescoring by vectors.
        settings = IndexSettings(code=self.code, rescore=False, options=self.options)
        source = _source(database, self.recipe)
        index = index_for(self.recipe, source, settings, exhaustive=True)
        assert isinstance(index, ExhaustiveIndex)
        self._index, self._queries_of = index, _queries(queries, self.recipe)
        self._index.sync()
        self._listed: dict[int, list[NDArray[np.int64]]] = {}
        self._words: ExhaustiveIndex | None = None
        if self.recipe.words:
            name = choose_index(self.recipe, compares="local features")
            words = INDEXES[name].open(self.recipe, source, settings)
            assert isinstance(words, ExhaustiveIndex)
            self._words = words
            self._words.sync()

    def orders(self) -> Iterator[Order]:
        """Yield for each query the order of the searched images, best first; equal scores by position."""
        for order, _ in self._ranked(slice(None)):
            yield order

    def reranked(self, rerank: Rerank, *, depth: int, by_words: bool = True) -> Iterator[Order]:
        """Yield the same orders with the first `depth` results re-ranked; all others follow in their old order.

        `rerank` receives rankings and the slice of their queries. If it returns images from below `depth` (query
        expansion searches again), they also precede the rest. With `by_words`, and if the recipe has visual words, the
        candidates include the best images by these, as many as in a library.
        """
        for start in range(0, len(self.queries), QUERIES_AT_A_TIME):
            selected = slice(start, min(start + QUERIES_AT_A_TIME, len(self.queries)))
            ranked = list(self._ranked(selected))
            began = time.perf_counter()
            better = rerank(self._candidates(ranked, selected, depth, by_words=by_words), selected)
            self.rerank_seconds += time.perf_counter() - began
            for number, head, (order, _) in zip(range(start, selected.stop), better.ids, ranked, strict=True):
                yield self._searched(with_rest(head, order), self.left_out[number])

    def candidates(self, *, depth: int) -> Iterator[tuple[Ranking, slice]]:
        """Yield what is re-ranked of some queries at a time, and which they are."""
        for start in range(0, len(self.queries), QUERIES_AT_A_TIME):
            selected = slice(start, min(start + QUERIES_AT_A_TIME, len(self.queries)))
            yield self._candidates(list(self._ranked(selected)), selected, depth, by_words=True), selected

    def further(self, number: int) -> list[NDArray[np.int64]]:
        """Return the further candidates of each pass over a query whose candidates were searched last, if there are."""
        return self._listed.get(number, [])

    def first_results(self, selected: slice, *, depth: int, by_words: bool) -> Ranking:
        """Return the first `depth` results of some of the queries, or their candidates; arguments are as above."""
        return self._candidates(list(self._ranked(selected)), selected, depth, by_words=by_words)

    def boxes_of(self, number: int) -> NDArray[np.float32]:
        """Return the box (N, 4) of what matches a query in each image, NaN where unknown.

        It is that of the best-matching row, where images have several rows and the matching method locates matches;
        otherwise that of the first row, which is the whole image.
        """
        boxes = np.full((len(self.database), 4), np.nan, np.float32)
        found = self.database
        if found.boxes is None:
            return boxes
        boxes[found.usable] = found.boxes[(np.cumsum(found.counts) - found.counts)[found.usable]]
        if self.recipe.multi_vector:
            places = np.flatnonzero(self._usable)
            (query,) = self._queries_of(slice(number, number + 1))
            ranking = self._index.search(query, len(places))
            if ranking.boxes is not None:
                ids = ranking.ids[0][ranking.ids[0] > 0]
                boxes[places[ids - 1]] = ranking.boxes[0, : len(ids)]
        return boxes

    def candidates_of(self, query: DescribedQuery, k: int, depth: int, *, left_out: Sequence[int]) -> Ranking:
        """Return the candidates of a query that is none of the queries, such as a region of one, as a library does.

        The images in `left_out` are not searched.
        """
        assert query.vector is not None
        scores = self._spread(self._index.scores(query.vector))[0]
        ranked = [(self._searched(_order(scores), left_out), scores)]
        if query.visual_words is None or self._words is None:
            return _top_results(ranked, min(max(k, depth), len(self.database)))
        votes = self._votes(query.visual_words).max(axis=0)
        voted = [(self._searched(_order(votes), left_out), votes)]
        best, short = halves(depth)
        return self._joined(ranked, voted, best=max(k, best), short=short)

    def _candidates(self, ranked: Sequence[Ranked], selected: slice, depth: int, *, by_words: bool) -> Ranking:
        """Return the candidates for re-ranking of some queries: the best by vectors, and by visual words if any."""
        if self._words is None or not by_words:
            return _top_results(ranked, min(depth, len(self.database)))
        depth = min(depth, CANDIDATES)
        start, stop, _ = selected.indices(len(self.queries))
        self._listed = {}
        voted = []
        for number, (_, scores) in zip(range(start, stop), ranked, strict=True):
            words = self.queries.words_of(number)
            assert words is not None
            of_passes = self._votes(words)
            votes = of_passes.max(axis=0)
            voted.append((self._searched(_order(votes), self.left_out[number]), votes))
            self._listed[number] = [self._by_both(each, scores, number) for each in of_passes]
        best, short = halves(depth)
        return self._joined(ranked, voted, best=best, short=short)

    def _joined(self, ranked: Sequence[Ranked], voted: Sequence[Ranked], *, best: int, short: int) -> Ranking:
        """Return the `best` results by vectors together with the `short` best by visual words."""
        best, short = (min(count, len(self.database)) for count in (best, short))
        by_vectors, by_words = _top_results(ranked, best), _top_results(voted, short)
        return join_candidates(by_vectors, by_words, lambda row, ids: (ids, ranked[row][1][ids]))

    def _votes(self, words: VisualWords) -> NDArray[np.float32]:
        """Return the votes (P, N) of the words of each pass for all images; −inf for those that are not searched."""
        assert self._words is not None
        return self._spread(self._words.scores(words))

    def _by_both(self, votes: NDArray[np.float32], scores: NDArray[np.float32], number: int) -> NDArray[np.int64]:
        """Return the images that share most words with a pass over a query, best by words and vectors first."""
        best = self._searched(_order(votes), self.left_out[number])[:LISTED]
        best = best[votes[best] > 0]
        return by_words_and_vectors(best, votes[best], scores[best])

    def _ranked(self, selected: slice) -> Iterator[Ranked]:
        """Yield for each query in `selected` the order of the database, and the scores (N,) of all of it."""
        numbers = range(*selected.indices(len(self.queries)))
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

    def _compare(self, selected: slice) -> NDArray[np.float32]:
        """Return the scores (Q, N) of all images for some of the queries; −inf for those that could not be read."""
        found = np.concatenate([self._index.scores(queries) for queries in self._queries_of(selected)])
        found[self._unordered[selected]] = np.nan
        return self._spread(found)

    def _spread(self, found: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores (Q, N) of all images for those of the searched ones; −inf for the others."""
        if self._usable.all():
            return found
        scores = np.full((len(found), len(self.database)), -np.inf, np.float32)
        scores[:, self._usable] = found
        return scores

    def _searched(self, order: Order, left_out: Sequence[int]) -> Order:
        """Return `order` without unusable images and those in `left_out`."""
        kept = order if self._usable.all() else order[self._usable[order]]
        return kept[~np.isin(kept, left_out)] if len(left_out) else kept


def _top_results(ranked: Sequence[Ranked], depth: int) -> Ranking:
    """Return the first `depth` results of rankings, given as the order and the scores of all images."""
    ids = np.full((len(ranked), depth), -1, np.int64)
    scores = np.full(ids.shape, -np.inf, np.float32)
    for row, (order, found) in enumerate(ranked):
        head = order[:depth]
        head = head[np.isfinite(found[head])]  # images that could not be compared are left out
        ids[row, : len(head)], scores[row, : len(head)] = head, found[head]
    return Ranking(ids, scores)


def _has_numbers(found: Descriptions) -> NDArray[np.bool_]:
    """Return a mask (n,) of the images without NaN or infinity in their rows."""
    with np.errstate(all="ignore"):  # a sum reveals them without an array as large as the rows
        wrong = np.flatnonzero(~np.isfinite(found.vectors.sum(axis=1)))
    numbers = np.ones(len(found), np.bool_)
    numbers[np.searchsorted(np.cumsum(found.counts), wrong, side="right")] = False
    return numbers


def _source(found: Descriptions, recipe: Recipe) -> ArraySource:
    """Return the rows of images in the form that an index reads; for images with one vector, the first row."""
    if recipe.multi_vector:
        boxes = found.boxes if found.words is None else None
        return ArraySource(found.vectors, counts=found.counts, words=found.words, boxes=boxes)
    return ArraySource(found.first_rows(), visual_words=found.visual_words)


def _queries(found: Descriptions, recipe: Recipe) -> QuerySlice:
    """Return a function that gives the queries of a slice to an index: one vector each, or the rows of one query."""
    if not recipe.multi_vector:
        vectors = found.first_rows()
        return lambda selected: [vectors[selected]]
    ends = np.cumsum(found.counts)

    def rows_of(number: int) -> ImageRows:
        rows = slice(int(ends[number] - found.counts[number]), int(ends[number]))
        words = None if found.words is None else found.words[rows]
        return ImageRows(found.vectors[rows], np.zeros(rows.stop - rows.start, np.int64), words=words)

    return lambda selected: [rows_of(number) for number in range(*selected.indices(len(found)))]


def with_rest(head: Order, order: Order) -> Order:
    """Return the ids of `head`, without its padding, and after them those of `order` that are not among them.

    >>> with_rest(np.array([4, 2, -1]), np.array([2, 0, 4, 1]))
    array([4, 2, 0, 1])
    """
    first = head[head >= 0]
    return np.concatenate([first, order[~np.isin(order, first)]])


def _order(scores: NDArray[np.float32]) -> Order:
    """Return the positions by decreasing score, equal ones by position, without those of NaN.

    Score and position are packed into one integer, whose sort is three times as fast as a stable argsort for tens of
    thousands of scores.
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
