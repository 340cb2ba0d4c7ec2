from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.arrays import Vectors, l2_normalise
from kindred.errors import UsageError
from kindred.ranking import Ranking
from kindred.rerank import ArrayGallery, Context
from kindred.rerank.reciprocal import _neighbourhoods, k_reciprocal


class Literal:
    """Zhong et al. 2017 for one query and the whole gallery, with sets and dictionaries; point 0 is the query."""

    def __init__(self, query: NDArray[np.float32], rows: Vectors) -> None:
        points = np.concatenate((query[None], rows)).astype(np.float64)
        self.distance = 1 - points @ points.T
        np.fill_diagonal(self.distance, 0)
        self.count = len(points)
        # A point is the first of its own neighbours, whatever copies of it there are.
        self.order = [sorted(range(self.count), key=lambda j: (j != i, self.distance[i, j])) for i in range(self.count)]

        self.sets: dict[tuple[int, int], set[int]] = {}

    def near(self, i: int, k: int) -> set[int]:
        return self.sets.setdefault((i, k), set(self.order[i][: k + 1]))

    def reciprocal(self, i: int, k: int) -> set[int]:
        return {j for j in self.near(i, k) if i in (self.sets.get((j, k)) or self.near(j, k))}

    def expanded(self, i: int, k1: int) -> set[int]:
        start = self.reciprocal(i, k1)
        result = set(start)
        for j in start:
            half = self.reciprocal(j, max(1, round(k1 / 2)))
            if len(start & half) >= 2 / 3 * len(half):
                result |= half
        return result

    def vector(self, i: int, k1: int) -> list[float]:
        members = self.expanded(i, k1)
        return [math.exp(-self.distance[i, j]) if j in members else 0.0 for j in range(self.count)]

    def distances(self, k1: int, k2: int, weight: float) -> NDArray[np.float64]:
        plain = [self.vector(i, k1) for i in range(self.count)]
        local = np.array([np.mean([plain[j] for j in self.order[i][:k2]], axis=0) for i in range(self.count)])
        jaccard = 1 - np.minimum(local[0], local).sum(axis=1) / np.maximum(local[0], local).sum(axis=1)
        final: NDArray[np.float64] = (1 - weight) * jaccard + weight * self.distance[0]
        return final[1:]


@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 6, 0.3), (7, 3, 0.0), (5, 1, 0.5), (1, 1, 0.3), (4, 10, 0.3)])
def test_on_all_images_it_is_the_definition(
    rows: Vectors, queries: Vectors, context: Context, k1: int, k2: int, weight: float
) -> None:
    ranking = context.gallery.search(queries, 90)
    found = k_reciprocal(ranking, context, k1=k1, k2=k2, weight=weight)
    for q, query in enumerate(queries):
        expected = 1 - Literal(query, rows).distances(k1, k2, weight)
        np.testing.assert_allclose(found.scores[q], -np.sort(-expected), atol=2e-6)
        np.testing.assert_allclose(expected[found.ids[q]], found.scores[q], atol=2e-6)


def test_neighbourhoods_may_be_larger_than_the_gallery(rows: Vectors, queries: Vectors) -> None:
    context = Context(queries[:1], ArrayGallery(rows[:15]))
    found = k_reciprocal(context.gallery.search(queries[:1], 15), context, k1=40, k2=30)
    expected = 1 - Literal(queries[0], rows[:15]).distances(40, 30, 0.3)
    np.testing.assert_allclose(found.scores[0], -np.sort(-expected), atol=2e-6)


def test_a_short_list_is_a_gallery_of_its_own(rows: Vectors, queries: Vectors, context: Context) -> None:
    ranking = context.gallery.search(queries, 60)
    found = k_reciprocal(ranking, context, k1=20, k2=6, depth=25)
    for q, query in enumerate(queries):
        short = ranking.ids[q, :25]
        expected = 1 - Literal(query, rows[short]).distances(20, 6, 0.3)
        np.testing.assert_allclose(found.scores[q, :25], -np.sort(-expected), atol=2e-6)
        np.testing.assert_array_equal(found.ids[q, 25:], ranking.ids[q, 25:])
        assert set(found.ids[q, :25]) == set(short)


def test_defaults_suit_the_size_of_the_gallery(queries: Vectors) -> None:
    generator = np.random.default_rng(3)
    for count, k1, k2 in ((90, 3, 1), (400, 10, 3), (900, 20, 6)):
        rows = l2_normalise(generator.standard_normal((count, queries.shape[1])).astype(np.float32))
        gallery = ArrayGallery(rows)
        ranking, context = gallery.search(queries, 60), Context(queries, gallery)
        found, expected = k_reciprocal(ranking, context), k_reciprocal(ranking, context, k1=k1, k2=k2)
        np.testing.assert_array_equal(found.scores, expected.scores)


def test_only_the_cosine_counts_with_weight_1(queries: Vectors, context: Context) -> None:
    ranking = context.gallery.search(queries, 40)
    found = k_reciprocal(ranking, context, weight=1.0)
    np.testing.assert_array_equal(found.ids, ranking.ids)
    np.testing.assert_allclose(found.scores, ranking.scores, atol=1e-6)


def test_copies_of_the_query_do_not_push_it_out_of_its_own_set() -> None:
    rows = np.array([[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 5, np.float32)
    context = Context(rows[:1], ArrayGallery(rows))
    found = k_reciprocal(context.gallery.search(rows[:1], 10), context, k1=2, k2=1)
    expected = 1 - Literal(rows[0], rows).distances(2, 1, 0.3)
    np.testing.assert_allclose(found.scores[0], -np.sort(-expected), atol=1e-6)
    assert np.isfinite(found.scores).all()


def test_equal_results_keep_their_order(rows: Vectors) -> None:
    doubled = np.repeat(rows[:8], 2, axis=0)
    context = Context(rows[40:41], ArrayGallery(doubled))
    ranking = context.gallery.search(rows[40:41], 16)
    once, twice = (k_reciprocal(ranking, context, k1=3, k2=1) for _ in range(2))
    np.testing.assert_array_equal(once.ids, twice.ids)


def test_a_weight_out_of_range_is_refused(queries: Vectors, context: Context) -> None:
    ranking: Ranking = context.gallery.search(queries, 5)
    with pytest.raises(UsageError, match=r"weight: got 1.5; expected 0 \(Jaccard alone\) to 1"):
        k_reciprocal(ranking, context, weight=1.5)
    with pytest.raises(UsageError, match=r"k2: got -1"):
        k_reciprocal(ranking, context, k2=-1)


@pytest.mark.parametrize("k", [1, 3, 8, 20])
def test_neighbourhoods_are_those_of_a_stable_sort(k: int) -> None:
    similarities = np.random.default_rng(0).integers(0, 4, (12, 12)).astype(np.float32)
    expected = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(_neighbourhoods(similarities, k), expected)
