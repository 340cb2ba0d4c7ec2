from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.errors import UsageError
from kindred.ranking import Ranking
from kindred.rerank import ArrayGallery, Context, augment
from kindred.rerank import expansion as module
from kindred.rerank.expansion import alpha_qe, aqe, dba

Double = NDArray[np.float64]


def _unit(vector: Double) -> Double:
    return vector / np.linalg.norm(vector)


def _literal_query(query: Any, found: list[int], rows: Vectors, n: int, alpha: float | None) -> Double:
    """q' of AQE (no alpha) or αQE, one vector after another."""
    total = query.astype(np.float64)
    for id_ in found[:n]:
        row = rows[id_].astype(np.float64)
        weight = 1.0 if alpha is None else max(float(query @ row), 0.0) ** alpha
        total = total + weight * row
    return _unit(total)


def _literal_row(place: int, rows: Vectors, n: int, alpha: float | None) -> Double:
    """d' of database augmentation: the weights are (n − i) / n, or max(d·d_i, 0)^alpha."""
    row = rows[place].astype(np.float64)
    others = sorted(
        (other for other in range(len(rows)) if other != place), key=lambda other: -float(row @ rows[other])
    )
    total = row.copy()
    for i, other in enumerate(others[:n], start=1):
        weight = (n - i) / n if alpha is None else max(float(row @ rows[other]), 0.0) ** alpha
        total += weight * rows[other]
    return _unit(total)


@pytest.mark.parametrize(("n", "alpha"), [(1, None), (10, None), (10, 1.0), (50, 3.0), (90, 2.0)])
def test_expansion_is_the_definition(
    rows: Vectors, queries: Vectors, context: Context, n: int, alpha: float | None
) -> None:
    ranking = context.gallery.search(queries, 90)
    found = aqe(ranking, context, n=n) if alpha is None else alpha_qe(ranking, context, n=n, alpha=alpha)
    for q, query in enumerate(queries):
        similarities = rows @ _literal_query(query, ranking.ids[q].tolist(), rows, n, alpha)
        np.testing.assert_array_equal(found.ids[q], np.argsort(-similarities))
        np.testing.assert_allclose(found.scores[q], -np.sort(-similarities), atol=1e-6)


def test_negative_similarities_have_weight_0() -> None:
    """An even power would draw the query to what is opposite to it, an odd one push it away."""
    rows = np.array([[0.8, 0.6], [-1.0, 0.0], [-0.6, 0.8]], np.float32)
    query = np.array([[1.0, 0.0]], np.float32)
    context = Context(query, ArrayGallery(rows))
    for alpha in (2.0, 3.0):
        expected = _unit(query[0] + 0.8**alpha * rows[0])
        found = alpha_qe(context.gallery.search(query, 3), context, alpha=alpha)
        np.testing.assert_allclose(found.scores[0, 0], expected @ rows[0], atol=1e-6)


@pytest.mark.parametrize("n", [1, 3])
def test_a_query_that_is_in_the_database_is_not_its_own_result(rows: Vectors, n: int) -> None:
    ranking = ArrayGallery(rows).search(rows[:1], 10)
    assert ranking.ids[0, 0] == 0
    context = Context(rows[:1], ArrayGallery(rows))
    expected = rows @ _literal_query(rows[0], ranking.ids[0, 1:].tolist(), rows, n, None)
    np.testing.assert_allclose(aqe(ranking, context, n=n).scores[0], -np.sort(-expected)[:10], atol=1e-6)


def test_the_ranking_decides_what_is_added(rows: Vectors, queries: Vectors) -> None:
    context = Context(queries[:1], ArrayGallery(rows))
    ranking = Ranking(np.array([[60, 3]]), np.array([[0.2, 0.1]]))
    similarities = rows @ _literal_query(queries[0], [60, 3], rows, 10, None)
    found = aqe(ranking, context)
    np.testing.assert_array_equal(found.ids, np.argsort(-similarities)[None, :2])


def test_a_query_without_results_still_has_none(rows: Vectors, queries: Vectors) -> None:
    context = Context(queries[:2], ArrayGallery(rows))
    ranking = Ranking(np.array([[-1, -1], [5, -1]]), np.array([[-np.inf, -np.inf], [0.5, -np.inf]]))
    found = aqe(ranking, context)
    assert found.ids[0].tolist() == [-1, -1]
    assert (found.ids[1] >= 0).all()
    nothing = Ranking(np.array([[-1]]), np.array([[-np.inf]]))
    assert aqe(nothing, Context(queries[:1], ArrayGallery(rows))).ids.tolist() == [[-1]]


@pytest.mark.parametrize("alpha", [None, 2.0])
@pytest.mark.parametrize("n", [1, 5, 20])
def test_augmented_rows_are_the_definition(
    rows: Vectors, n: int, alpha: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 16)
    parts = list(augment(ArrayGallery(rows), n=n, alpha=alpha))
    np.testing.assert_array_equal(np.concatenate([ids for ids, _ in parts]), np.arange(90))
    expected = [_literal_row(place, rows, n, alpha) for place in range(90)]
    np.testing.assert_allclose(np.concatenate([block for _, block in parts]), expected, atol=2e-6)


def test_augmenting_among_copies_counts_a_copy_and_not_the_image_itself() -> None:
    rows = np.array([[1.0, 0.0]] * 4 + [[0.6, 0.8]], np.float32)
    augmented = np.concatenate([block for _, block in augment(ArrayGallery(rows), n=2, alpha=1.0)])
    np.testing.assert_allclose(augmented[:4], rows[:4], atol=1e-6)
    np.testing.assert_allclose(augmented[4], _unit(rows[4] + 0.6 * rows[0] + 0.6 * rows[1]), atol=1e-6)


@pytest.mark.parametrize("alpha", [None, 3.0])
def test_dba_augments_query_and_candidates(
    rows: Vectors, queries: Vectors, context: Context, alpha: float | None
) -> None:
    ranking = context.gallery.search(queries, 30)
    found = dba(ranking, context, n=8, alpha=alpha)
    augmented = np.array([_literal_row(place, rows, 8, alpha) for place in range(90)])
    for q, query in enumerate(queries):
        ids = ranking.ids[q]
        weights = [(8 - i) / 8 if alpha is None else max(query @ rows[ids[i - 1]], 0) ** alpha for i in range(1, 9)]
        wanted = _unit(query + sum(weight * rows[id_] for weight, id_ in zip(weights, ids, strict=False)))
        similarities = augmented[ids] @ wanted
        np.testing.assert_array_equal(found.ids[q], ids[np.argsort(-similarities)])
        np.testing.assert_allclose(found.scores[q], -np.sort(-similarities), atol=2e-6)


def test_dba_leaves_results_below_its_depth_unchanged(
    queries: Vectors, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranking = context.gallery.search(queries, 30)
    found = dba(ranking, context, depth=12)
    np.testing.assert_array_equal(found.ids[:, 12:], ranking.ids[:, 12:])
    np.testing.assert_array_equal(np.sort(found.ids[:, :12]), np.sort(ranking.ids[:, :12]))
    monkeypatch.setattr(module, "BLOCK", 5)
    np.testing.assert_array_equal(dba(ranking, context, depth=12).ids, found.ids)


def test_options_out_of_range_are_refused(queries: Vectors, context: Context) -> None:
    ranking = context.gallery.search(queries, 5)
    with pytest.raises(UsageError, match=r"n: got -1; expected a whole number"):
        aqe(ranking, context, n=-1)
    with pytest.raises(UsageError, match=r"alpha: got -1.0; expected a finite number above 0"):
        alpha_qe(ranking, context, alpha=-1.0)
    with pytest.raises(UsageError, match=r"depth: got 0"):
        dba(ranking, context, depth=0)
    with pytest.raises(UsageError, match=r"alpha: got -2"):
        augment(context.gallery, alpha=-2)


def test_defaults_suit_the_size_of_the_gallery(rows: Vectors, queries: Vectors, context: Context) -> None:
    ranking = context.gallery.search(queries, 90)
    assert len(rows) == 90
    for method in (aqe, alpha_qe, dba):
        np.testing.assert_array_equal(method(ranking, context).scores, method(ranking, context, n=2).scores)
        assert (method(ranking, context, n=5).scores != method(ranking, context).scores).any()
    chosen, given = (np.concatenate([block for _, block in augment(context.gallery, n=n)]) for n in (0, 2))
    np.testing.assert_array_equal(chosen, given)


def test_an_alpha_of_0_augments_with_equal_weights(rows: Vectors) -> None:
    close = np.abs(rows)  # so that no neighbour is opposite
    close /= np.linalg.norm(close, axis=1, keepdims=True)
    augmented = np.concatenate([block for _, block in augment(ArrayGallery(close), n=4, alpha=0)])
    for place, row in enumerate(close.astype(np.float64)):
        nearest = np.argsort(-(close @ close[place]))[1:5]
        np.testing.assert_allclose(augmented[place], _unit(row + close[nearest].sum(axis=0)), atol=1e-6)
