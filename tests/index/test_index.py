"""The contract of the engines for one vector per id: the same results as a literal comparison written here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.index import HNSW_SIMILARITIES, ExactIndex, HNSWIndex
from kindred.ranking import Ranking
from kindred.similarity import SIMILARITIES

D = 16
COUNT = 2400
Rows = NDArray[np.float32]

Maker = Callable[[str], ExactIndex | HNSWIndex]
Case = tuple[Callable[[], ExactIndex | HNSWIndex], str, float]


def exact(similarity: str) -> ExactIndex | HNSWIndex:
    return ExactIndex(D, similarity=similarity)


def hnsw(similarity: str) -> ExactIndex | HNSWIndex:
    return HNSWIndex(D, similarity=similarity)


CASES: list[tuple[Maker, str]] = [
    *((exact, name) for name in SIMILARITIES),
    *((hnsw, name) for name in HNSW_SIMILARITIES),
]


def slow_scores(queries: Rows, rows: Rows, similarity: str) -> NDArray[np.float64]:
    """(Q, N) straight from the definitions, in double precision."""
    scores: NDArray[np.float64]
    a, b = queries.astype(np.float64)[:, None, :], rows.astype(np.float64)[None, :, :]
    if similarity == "cosine":
        scores = (a * b).sum(axis=2) / np.linalg.norm(a, axis=2) / np.linalg.norm(b, axis=2)
    elif similarity == "dot":
        scores = (a * b).sum(axis=2)
    elif similarity == "euclidean":
        scores = -np.sqrt(((a - b) ** 2).sum(axis=2))
    elif similarity == "l1":
        scores = -np.abs(a - b).sum(axis=2)
    else:
        total = a + b
        scores = -0.5 * ((a - b) ** 2 / np.where(total > 0, total, 1)).sum(axis=2)
    return scores


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Non-negative, as chi_square requires; of about unit length, not exactly."""
    generator = np.random.default_rng(0)
    found = np.abs(generator.standard_normal((COUNT, D)))
    found /= np.linalg.norm(found, axis=1, keepdims=True) * generator.uniform(0.95, 1.05, (COUNT, 1))
    return found.astype(np.float32)


@pytest.fixture(scope="module")
def ids() -> NDArray[np.int64]:
    """Ids with gaps, as after removals."""
    return np.cumsum(np.random.default_rng(1).integers(1, 4, COUNT))


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].__name__}-{case[1]}")
def case(request: pytest.FixtureRequest) -> Case:
    """A constructor of empty indexes, the similarity, and the tolerance of its scores."""
    maker: Maker
    maker, similarity = request.param
    return lambda: maker(similarity), similarity, 1e-5 if maker is exact else 2e-3


def check(
    ranking: Ranking,
    truth: NDArray[np.float64],
    ids: NDArray[np.int64],
    *,
    k: int,
    tolerance: float,
    recall: float,
) -> None:
    """Compare with the literal scores (Q, N) of rows `ids`, −inf for rows that are not allowed."""
    assert ranking.ids.shape == ranking.scores.shape
    assert ranking.ids.shape[1] <= k
    hits: list[float] = []
    for query, scores in enumerate(truth):
        expected = min(k, int(np.isfinite(scores).sum()))
        assert ranking.ids.shape[1] >= expected
        found = ranking.ids[query][ranking.ids[query] >= 0]
        assert len(found) == len(set(found.tolist())) == expected
        places = np.searchsorted(ids, found)
        assert (ids[places] == found).all()
        np.testing.assert_allclose(ranking.scores[query, :expected], scores[places], atol=tolerance, rtol=0)
        best = np.sort(scores)[::-1][:expected]
        hits += (scores[places] >= best[-1] - tolerance).astype(float).tolist() if expected else []
    assert np.mean(hits or [1.0]) >= recall


def test_scores_and_order_are_those_of_the_definition(case: Case, rows: Rows, ids: NDArray[np.int64]) -> None:
    make, similarity, tolerance = case
    index = make()
    for start in range(0, COUNT, 1000):
        index.add(ids[start : start + 1000], rows[start : start + 1000])
    queries = rows[::300] * 0.9 + 0.02
    truth = slow_scores(queries, rows, similarity)
    assert len(index) == COUNT
    check(index.search(queries, 10), truth, ids, k=10, tolerance=tolerance, recall=0.99)
    check(index.search(queries[:1], 1), truth[:1], ids, k=1, tolerance=tolerance, recall=0.99)


def test_every_row_finds_itself(case: Case, rows: Rows, ids: NDArray[np.int64]) -> None:
    make, similarity, _ = case
    if similarity == "dot":  # a longer row beats the row itself, and rightly so
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    index = make()
    index.add(ids, rows)
    found = index.search(rows[::10], 1).ids[:, 0]
    assert np.mean(found == ids[::10]) >= 0.999


def test_removed_rows_are_never_found_again(case: Case, rows: Rows, ids: NDArray[np.int64]) -> None:
    make, similarity, tolerance = case
    index = make()
    index.add(ids, rows)
    gone = ids[::3]
    assert index.remove(gone) == len(gone)
    assert index.remove(np.concatenate((gone, [10**9]))) == 0
    assert len(index) == COUNT - len(gone)
    truth = slow_scores(rows[:40], rows, similarity)
    truth[:, ::3] = -np.inf
    check(index.search(rows[:40], 5), truth, ids, k=5, tolerance=tolerance, recall=0.99)
    index.remove(ids)
    assert len(index) == 0
    assert index.search(rows[:2], 3).ids.shape == (2, 0)


@pytest.mark.parametrize("share", [0.002, 0.2, 0.9])
def test_only_allowed_rows_are_results(case: Case, rows: Rows, ids: NDArray[np.int64], share: float) -> None:
    make, similarity, tolerance = case
    index = make()
    index.add(ids, rows)
    index.remove(ids[:100])
    may = np.random.default_rng(2).random(COUNT) < share
    truth = slow_scores(rows[100:140], rows, similarity)
    truth[:, ~may] = -np.inf
    truth[:, :100] = -np.inf
    allowed = np.concatenate((ids[may], [10**9]))  # an id that is not here is no error
    answers = index.search(rows[100:140], 12, allowed=allowed)
    check(answers, truth, ids, k=12, tolerance=tolerance, recall=0.99)


def test_a_filter_of_rows_far_from_the_query_gives_the_best_of_them(
    case: Case, rows: Rows, ids: NDArray[np.int64]
) -> None:
    make, similarity, tolerance = case
    index = make()
    index.add(ids, rows)
    truth = slow_scores(rows[:1], rows, similarity)
    farthest = np.argsort(truth[0])[: int(0.8 * COUNT)]
    masked = np.full_like(truth, -np.inf)
    masked[:, farthest] = truth[:, farthest]
    answers = index.search(rows[:1], 10, allowed=np.sort(ids[farthest]))
    check(answers, masked, ids, k=10, tolerance=tolerance, recall=1.0)


def test_k_above_the_number_of_rows_returns_all_rows(case: Case, rows: Rows) -> None:
    make, _, _ = case
    index = make()
    assert index.search(rows[:2], 10**12).ids.shape == (2, 0)
    index.add([7, 9], rows[:2])
    assert index.search(rows[:1], 10**12).ids.tolist() == [[7, 9]]
    answers = index.search(rows[:1], 10**12, allowed=np.array([9]))
    assert answers.ids.tolist() == [[9, -1]]
    assert np.isneginf(answers.scores[0, 1])
    assert index.search(rows[:0], 4).ids.shape == (0, 2)


def test_invalid_arguments_are_refused(case: Case, rows: Rows) -> None:
    make, _, _ = case
    index = make()
    index.add([5], rows[:1])
    with pytest.raises(UsageError, match="in ascending order, all above 5"):
        index.add([5], rows[:1])
    with pytest.raises(UsageError, match="in ascending order, all above 5"):
        index.add([8, 7], rows[:2])
    with pytest.raises(UsageError, match=r"rows \(1, 3\); expected ids \(n,\) and rows \(n, 16\)"):
        index.add([9], rows[:1, :3])
    with pytest.raises(UsageError, match=r"expected \(Q, 16\)"):
        index.search(rows[:1, :3], 1)
    with pytest.raises(UsageError, match="k: got 0"):
        index.search(rows[:1], 0)
    with pytest.raises(UsageError, match=r"unknown similarity 'sine'; did you mean 'cosine'\? known"):
        exact("sine") if isinstance(index, ExactIndex) else hnsw("sine")
    assert len(index) == 1
