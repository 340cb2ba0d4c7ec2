from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.arrays import Vectors, l2_normalise
from kindred.errors import UsageError
from kindred.rerank import ArrayGallery, Context, rerank
from kindred.rerank.superglobal import superglobal

Double = NDArray[np.float64]


def _literal(query: Double, candidates: Double, k: int, beta: float) -> Double:
    """The scores of the candidates, one after another, as the paper defines them."""
    refined = []
    for i, d in enumerate(candidates):
        others = sorted((j for j in range(len(candidates)) if j != i), key=lambda j: -float(d @ candidates[j]))[:k]
        weights = [beta * float(d @ candidates[j]) for j in others]
        total = d + sum((w * candidates[j] for w, j in zip(weights, others, strict=True)), np.zeros_like(d))
        refined.append(total / (1 + sum(weights)))
    first = [float(query @ d) for d in refined]
    best = sorted(range(len(refined)), key=lambda i: -first[i])[: k + 1]
    expanded = np.max([refined[i] for i in best], axis=0)
    return np.array([(s + float(expanded @ d)) / 2 for s, d in zip(first, refined, strict=True)])


@pytest.fixture
def positive() -> tuple[Vectors, Vectors]:
    """Unit rows (60, 16) and queries (4, 16) with cosines above 0, as of vectors that are not whitened."""
    generator = np.random.default_rng(7)
    return l2_normalise(generator.random((60, 16), np.float32)), l2_normalise(generator.random((4, 16), np.float32))


@pytest.mark.parametrize(("k", "beta", "depth"), [(1, 0.15, 60), (9, 0.15, 20), (5, 1.0, 60), (100, 0.3, 12)])
def test_it_is_the_definition(positive: tuple[Vectors, Vectors], k: int, beta: float, depth: int) -> None:
    rows, queries = positive
    gallery = ArrayGallery(rows)
    ranking = gallery.search(queries, 60)
    found = superglobal(ranking, Context(queries, gallery), k=k, beta=beta, depth=depth)
    for q, query in enumerate(queries.astype(np.float64)):
        short = ranking.ids[q, :depth]
        scores = _literal(query, rows[short].astype(np.float64), k, beta)
        np.testing.assert_array_equal(found.ids[q, :depth], short[np.argsort(-scores)])
        np.testing.assert_allclose(found.scores[q, :depth], -np.sort(-scores), atol=1e-5)
        np.testing.assert_array_equal(found.ids[q, depth:], ranking.ids[q, depth:])


def test_candidates_of_one_object_lift_each_other() -> None:
    """A candidate that looks unlike the query comes before a stranger, since it resembles those that are like it."""
    rows = l2_normalise(np.array([[1, 0, 0], [0.9, 0.5, 0], [0.75, 0.8, 0], [0.8, 0, 0.7]], np.float32))
    query = np.array([[1, 0, 0]], np.float32)
    gallery = ArrayGallery(rows)
    assert gallery.search(query, 4).ids[0].tolist() == [0, 1, 3, 2]
    found = superglobal(gallery.search(query, 4), Context(query, gallery), k=2, beta=1.0)
    assert found.ids[0].tolist() == [0, 1, 2, 3]


def test_galleries_of_one_image_or_none_and_opposite_rows() -> None:
    query = np.array([[1, 0]], np.float32)
    alone = ArrayGallery(np.array([[0.6, 0.8]], np.float32))
    found = superglobal(alone.search(query, 5), Context(query, alone))
    assert (found.ids.tolist(), found.scores[0, 0]) == ([[0]], pytest.approx((0.6 + 1.0) / 2))
    none = ArrayGallery(np.zeros((0, 2), np.float32))
    assert superglobal(none.search(query, 5), Context(query, none)).ids.size == 0
    opposite = ArrayGallery(np.array([[1, 0], [-1, 0]], np.float32))
    found = superglobal(opposite.search(query, 2), Context(query, opposite), k=1, beta=1.0)
    np.testing.assert_allclose(found.scores, [[1, -1]])


@pytest.mark.parametrize(("options", "match"), [("k=-1", "k: got -1"), ("beta=0", "beta: got 0"), ("depth=0", "depth")])
def test_options_out_of_range_are_refused(positive: tuple[Vectors, Vectors], options: str, match: str) -> None:
    rows, queries = positive
    gallery = ArrayGallery(rows)
    with pytest.raises(UsageError, match=match):
        rerank(gallery.search(queries, 5), Context(queries, gallery), f"superglobal:{options}")
