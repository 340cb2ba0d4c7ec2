from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diffusion_oracles import SparseIds, affinities, normalised, solved, start
from kindred.arrays import Vectors
from kindred.errors import ModelError, UsageError
from kindred.rerank import ArrayGallery, Context, NeighbourGraph, OfflineDiffusion, OfflineOptions, RerankCache
from kindred.rerank.diffusion import diffusion
from kindred.rerank.offline import offline_diffusion

MANY: dict[str, Any] = {"iterations": 500, "tolerance": 1e-12}


def _fit(rows: Vectors, **options: Any) -> OfflineDiffusion:
    gallery = SparseIds(rows)
    graph = NeighbourGraph.build(gallery, k=20)
    return OfflineDiffusion.fit(gallery, graph, options=OfflineOptions(**options))


def _row(spreads: OfflineDiffusion, place: int, count: int) -> Any:
    part = slice(spreads.indptr[place], spreads.indptr[place + 1])
    dense = np.zeros(count)
    dense[spreads.indices[part]] = spreads.weights[part]
    return dense


def test_rows_are_those_of_the_inverse(rows: Vectors) -> None:
    spreads = _fit(rows, alpha=0.9, truncate=90, keep=90, **MANY)
    inverse = np.linalg.inv(np.eye(90) - 0.9 * normalised(affinities(rows, 20, 3.0)))
    for place in range(90):
        np.testing.assert_allclose(_row(spreads, place, 90), inverse[place], atol=1e-5)


def test_a_truncated_row_is_solved_on_its_part_of_the_whole_matrix(rows: Vectors) -> None:
    """Late truncation: the part keeps the degrees of the whole graph."""
    spreads = _fit(rows, alpha=0.9, truncate=25, keep=90, **MANY)
    matrix = normalised(affinities(rows, 20, 3.0))
    for place in range(90):
        nodes = np.sort(np.argsort(-(rows @ rows[place]), kind="stable")[:25])
        f = solved(matrix[np.ix_(nodes, nodes)], (nodes == place).astype(float), 0.9)
        np.testing.assert_allclose(_row(spreads, place, 90)[nodes], f, atol=1e-5)
        assert set(np.flatnonzero(_row(spreads, place, 90))) <= set(nodes)


def test_only_the_largest_parts_are_kept(rows: Vectors) -> None:
    whole = _fit(rows, truncate=90, keep=90)
    spreads = _fit(rows, truncate=90, keep=6)
    for place in range(90):
        full, kept = _row(whole, place, 90), _row(spreads, place, 90)
        largest = np.argsort(-full, kind="stable")[:6]
        np.testing.assert_allclose(np.flatnonzero(kept), np.sort(largest))
        np.testing.assert_array_equal(kept[largest], full[largest])


def test_a_query_adds_up_what_its_best_results_spread(rows: Vectors, queries: Vectors) -> None:
    spreads = _fit(rows, alpha=0.9, truncate=90, keep=90, **MANY)
    gallery = SparseIds(rows)
    ranking = gallery.search(queries, 15)
    found = spreads.rerank(ranking, Context(queries, gallery), kq=4)
    matrix = normalised(affinities(rows, 20, 3.0))
    for q, query in enumerate(queries):
        f = solved(matrix, start(query, rows, (ranking.ids[q, :4] - 10) // 3, 3.0), 0.9)
        np.testing.assert_allclose(found.scores[q], -np.sort(-f)[:15], rtol=1e-4, atol=1e-6)


def test_without_truncation_it_is_diffusion(queries: Vectors, context: Context) -> None:
    ranking = context.gallery.search(queries, 20)
    options: dict[str, Any] = {"k": 20, "alpha": 0.9, **MANY}
    online = diffusion(ranking, context, **options)
    offline = offline_diffusion(ranking, context, **options)
    np.testing.assert_allclose(offline.scores, online.scores, rtol=1e-3, atol=1e-6)


def test_progress_counts_to_the_end_and_arrays_bring_it_back(rows: Vectors) -> None:
    calls: list[tuple[int, int]] = []
    gallery = ArrayGallery(rows)
    graph = NeighbourGraph.build(gallery, k=10)
    spreads = OfflineDiffusion.fit(gallery, graph, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (90, 90)
    again = OfflineDiffusion.from_arrays(spreads.to_arrays())
    np.testing.assert_array_equal(again.weights, spreads.weights)
    with pytest.raises(ModelError, match=r"graph: weights missing"):
        OfflineDiffusion.from_arrays({"ids": spreads.ids, "indptr": spreads.indptr, "indices": spreads.indices})


def test_cached_results_are_used_again(rows: Vectors, queries: Vectors) -> None:
    gallery = SparseIds(rows)
    ranking = gallery.search(queries, 10)
    context = Context(queries, gallery, cache=RerankCache())
    once = offline_diffusion(ranking, context, k=20)
    before = gallery.searches
    twice = offline_diffusion(ranking, context, k=20)
    assert gallery.searches == before
    np.testing.assert_array_equal(twice.ids, once.ids)


def test_options_out_of_range_are_refused(queries: Vectors, context: Context) -> None:
    ranking = context.gallery.search(queries, 5)
    with pytest.raises(UsageError, match=r"keep: got 0"):
        offline_diffusion(ranking, context, keep=0)
    with pytest.raises(UsageError, match=r"alpha: got 1.2"):
        offline_diffusion(ranking, context, alpha=1.2)
    with pytest.raises(UsageError, match=r"kq: got -1"):
        offline_diffusion(ranking, context, kq=-1, k=5)
