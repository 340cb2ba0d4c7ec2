from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from diffusion_oracles import SparseIds, affinities, normalised, solved, start
from kindred.arrays import Vectors, l2_normalise
from kindred.errors import UsageError
from kindred.ranking import Ranking
from kindred.rerank import ArrayGallery, Context, Diffusion, NeighbourGraph, RerankCache
from kindred.rerank.diffusion import default_neighbours, diffusion
from kindred.rerank.offline import offline_diffusion

MANY: dict[str, Any] = {"iterations": 500, "tolerance": 1e-12}


@pytest.mark.parametrize(("k", "kq", "gamma", "alpha"), [(20, 10, 3.0, 0.9), (8, 3, 2.0, 0.5), (50, 90, 1.0, 0.99)])
def test_it_is_the_definition(
    rows: Vectors, queries: Vectors, context: Context, k: int, kq: int, gamma: float, alpha: float
) -> None:
    ranking = context.gallery.search(queries, 90)
    found = diffusion(ranking, context, k=k, kq=kq, gamma=gamma, alpha=alpha, **MANY)
    matrix = normalised(affinities(rows, k, gamma))
    for q, query in enumerate(queries):
        f = solved(matrix, start(query, rows, ranking.ids[q, :kq], gamma), alpha)
        spread = f > 1e-9
        assert spread.sum() > 10
        np.testing.assert_allclose(found.scores[q, : spread.sum()], -np.sort(-f[spread]), rtol=1e-4)
        np.testing.assert_allclose(f[found.ids[q, : spread.sum()]], found.scores[q, : spread.sum()], rtol=1e-4)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, (10, 1)), (60, (10, 1)), (200, (10, 2)), (600, (30, 6)), (1000, (50, 10)), (10**6, (50, 10))],
)
def test_defaults_depend_on_the_gallery_and_given_numbers_do_not(count: int, expected: tuple[int, int]) -> None:
    assert default_neighbours(count, k=0, kq=0) == expected
    assert default_neighbours(count, k=50, kq=10) == (50, 10)
    assert default_neighbours(count, k=3, kq=0) == (3, expected[1])


@pytest.mark.parametrize("method", [diffusion, offline_diffusion])
def test_a_small_gallery_keeps_the_nearest_first(method: Callable[..., Ranking]) -> None:
    """Thirty pairs: each query has one right result, and all the others are wrong in the same way."""
    generator = np.random.default_rng(3)
    shared, own = generator.standard_normal(16), generator.standard_normal((30, 16))
    things = np.repeat(shared + own, 2, axis=0) + 0.4 * generator.standard_normal((60, 16))
    gallery = ArrayGallery(things)
    queries = gallery.fetch(np.arange(60)) + 0.02 * generator.standard_normal((60, 16)).astype(np.float32)
    context = Context(l2_normalise(queries), gallery, cache=RerankCache())
    ranking = gallery.search(queries, 60)
    assert (ranking.ids[:, 0] == np.arange(60)).all()
    assert (method(ranking, context).ids[:, 0] == np.arange(60)).mean() > 0.95
    literal = method(ranking, context, k=50, kq=10)
    assert (literal.ids[:, 0] == np.arange(60)).mean() < 0.5


def test_50_given_neighbours_are_50(rows: Vectors, queries: Vectors) -> None:
    gallery = ArrayGallery(rows[:60])
    ranking = gallery.search(queries, 60)
    found = diffusion(ranking, Context(queries, gallery), k=50, kq=10, alpha=0.9, **MANY)
    matrix = normalised(affinities(rows[:60], 50, 3.0))
    for q, query in enumerate(queries):
        f = solved(matrix, start(query, rows[:60], ranking.ids[q, :10], 3.0), 0.9)
        spread = int((f > 1e-9).sum())
        np.testing.assert_allclose(found.scores[q, :spread], -np.sort(-f)[:spread], rtol=1e-4)


def test_images_not_reached_follow_in_their_old_order() -> None:
    rows = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 1, 2, 2]]
    query = np.array([[0.7, 0.6, 0.3, 0.2]], np.float32)
    context = Context(query, ArrayGallery(rows))
    ranking = context.gallery.search(query, 7)
    found = diffusion(ranking, context, kq=1, k=2)
    assert found.ids[0].tolist() == [0, 1, 2, 3, 4, 5, 6]
    swapped = Ranking(np.array([[5, 3, 0, 1]]), np.array([[4.0, 3.0, 2.0, 1.0]]))
    assert diffusion(swapped, context, kq=1, k=3).ids[0].tolist() == [5, 6, 3, 0]


def test_it_starts_from_the_given_ranking(rows: Vectors, queries: Vectors, context: Context) -> None:
    ranking = Ranking(np.array([[33, 8, 71]] * 7), np.array([[0.3, 0.2, 0.1]] * 7))
    found = diffusion(ranking, context, kq=2, k=20, alpha=0.9, **MANY)
    matrix = normalised(affinities(rows, 20, 3.0))
    for q, query in enumerate(queries):
        f = solved(matrix, start(query, rows, np.array([33, 8]), 3.0), 0.9)
        np.testing.assert_allclose(found.scores[q], -np.sort(-f)[:3], rtol=1e-4, atol=1e-7)


def test_a_truncated_graph_is_normalised_again(rows: Vectors, queries: Vectors) -> None:
    gallery = SparseIds(rows)
    context = Context(queries, gallery)
    ranking = gallery.search(queries, 30)
    found = diffusion(ranking, context, k=20, kq=5, alpha=0.9, truncate=30, **MANY)
    matrix = affinities(rows, 20, 3.0)
    for q, query in enumerate(queries):
        nodes = np.sort((ranking.ids[q] - 10) // 3)
        y = start(query, rows, (ranking.ids[q, :5] - 10) // 3, 3.0)[nodes]
        f = solved(normalised(matrix[np.ix_(nodes, nodes)]), y, 0.9)
        spread = int((f > 1e-9).sum())
        assert spread > 5
        np.testing.assert_allclose(found.scores[q, :spread], -np.sort(-f)[:spread], rtol=1e-4)
        assert set(found.ids[q]) == set(ranking.ids[q])


def test_the_best_results_take_part_however_far_they_are() -> None:
    gallery = ArrayGallery(np.eye(2)[[0, 0, 0, 1, 1, 1]])
    context = Context(np.array([[0.8, 0.6]], np.float32), gallery)
    found = diffusion(Ranking(np.array([[3]]), np.array([[9.0]])), context, kq=1, truncate=3)
    assert found.ids.tolist() == [[3]]
    np.testing.assert_allclose(found.scores, [[0.6**3]], rtol=1e-5)  # its neighbours are not among the nearest


def test_20_iterations_are_those_of_the_method(rows: Vectors, queries: Vectors, context: Context) -> None:
    """The literal method of conjugate gradients, with dense matrices, stopped after so many steps."""
    ranking = context.gallery.search(queries, 90)
    found = diffusion(ranking, context, k=20, kq=10, iterations=3)
    system = np.eye(90) - 0.99 * normalised(affinities(rows, 20, 3.0))
    for q, query in enumerate(queries):
        f, r = np.zeros(90), start(query, rows, ranking.ids[q, :10], 3.0)
        p = r.copy()
        for _ in range(3):
            a = (r @ r) / (p @ system @ p)
            f, new = f + a * p, r - a * system @ p
            p = new + (new @ new) / (r @ r) * p
            r = new
        best = np.sort(f)[::-1]
        assert best[10] > 0
        np.testing.assert_allclose(found.scores[q, :10], best[:10], rtol=1e-4)


def test_a_given_graph_is_not_built_again(rows: Vectors, queries: Vectors) -> None:
    gallery = SparseIds(rows)
    graph = NeighbourGraph.build(gallery, k=20)
    ranking = gallery.search(queries, 10)
    before = gallery.searches
    found = Diffusion(graph)(ranking, Context(queries, gallery))
    assert gallery.searches == before
    cache = RerankCache()
    searches = []
    for _ in range(3):
        again = diffusion(ranking, Context(queries, gallery, cache=cache), k=20, kq=10)
        np.testing.assert_array_equal(again.ids, found.ids)
        np.testing.assert_array_equal(again.scores, found.scores)
        searches.append(gallery.searches)
    assert before < searches[0] == searches[2]


def test_images_that_the_graph_does_not_know_stay_behind(rows: Vectors, queries: Vectors) -> None:
    graph = NeighbourGraph.build(ArrayGallery(rows[:60]), k=20)
    gallery = ArrayGallery(rows)
    ranking = gallery.search(queries, 90)
    found = Diffusion(graph, truncate=40)(ranking, Context(queries, gallery))
    for q in range(len(queries)):
        assert set(found.ids[q]) == set(range(90))
        strangers = [id_ for id_ in ranking.ids[q] if id_ >= 60]
        assert [id_ for id_ in found.ids[q] if id_ >= 60] == strangers


def test_an_even_power_starts_from_no_negative_similarity(rows: Vectors) -> None:
    query = -rows[:1]
    context = Context(query, ArrayGallery(rows))
    ranking = Ranking(np.array([[0, 5]]), np.array([[0.5, 0.2]]))
    found = diffusion(ranking, context, gamma=2.0, kq=1)
    assert found.ids.tolist() == [[0, 5]]
    np.testing.assert_array_equal(found.scores, ranking.scores)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"alpha": 1.0}, r"alpha: got 1.0; expected at least 0 and below 1"),
        ({"kq": -1}, r"kq: got -1"),
        ({"k": 2.5}, r"k: got 2.5"),
        ({"iterations": 0}, r"iterations: got 0"),
        ({"truncate": 2.5}, r"truncate: got 2.5; expected a whole number"),
        ({"tolerance": 0.0}, r"tolerance: got 0.0"),
    ],
)
def test_options_out_of_range_are_refused(
    queries: Vectors, context: Context, option: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        diffusion(context.gallery.search(queries, 5), context, **option)
