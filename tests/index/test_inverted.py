"""The inverted file: scores from non-zero components equal those of dense comparison."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.index.inverted import InvertedFile

K, COUNT = 60, 900
Rows = NDArray[np.float32]


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Bags of visual words; two are empty."""
    generator = np.random.default_rng(0)
    found = generator.exponential(1, (COUNT, K)) * (generator.random((COUNT, K)) < 0.1)
    found[[3, 50]] = 0
    return found.astype(np.float32)


@pytest.fixture(scope="module")
def ids() -> NDArray[np.int64]:
    return np.cumsum(np.random.default_rng(1).integers(1, 4, COUNT))


def slow(queries: Rows, rows: Rows) -> NDArray[np.float64]:
    """The cosine (Q, N), 0 for a zero row."""
    a, b = queries.astype(np.float64), rows.astype(np.float64)
    norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
    scores: NDArray[np.float64] = np.divide(a @ b.T, norms, out=np.zeros_like(norms), where=norms > 0)
    return scores


def filled(rows: Rows, ids: NDArray[np.int64], step: int) -> InvertedFile:
    index = InvertedFile(K)
    for start in range(0, len(rows), step):
        index.add(ids[start : start + step], rows[start : start + step])
    return index


def check(index: InvertedFile, queries: Rows, truth: NDArray[np.float64], ids: NDArray[np.int64], k: int) -> None:
    """Compare with the literal scores, −inf for rows that are not allowed; equal scores by id."""
    ranking = index.search(queries, k)
    for q, scores in enumerate(truth):
        best = np.sort(scores[np.isfinite(scores)])[::-1][:k]
        np.testing.assert_allclose(ranking.scores[q, : len(best)], best, atol=1e-5)
        found = ranking.ids[q, : len(best)]
        np.testing.assert_allclose(scores[np.searchsorted(ids, found)], best, atol=1e-5)
        assert len(set(found.tolist())) == len(best)


@pytest.mark.parametrize("step", [1, 7, 400, COUNT])
def test_scores_equal_those_of_dense_comparison(rows: Rows, ids: NDArray[np.int64], step: int) -> None:
    index = filled(rows, ids, step)
    assert len(index) == COUNT
    assert index.nbytes == 8 * np.count_nonzero(rows)
    queries = rows[::90] + rows[1::90]
    check(index, queries, slow(queries, rows), ids, 20)
    check(index, queries, slow(queries, rows), ids, COUNT)


def test_sparse_and_dense_rows_give_the_same_index(rows: Rows, ids: NDArray[np.int64]) -> None:
    sparse = pytest.importorskip("scipy.sparse").csr_matrix(rows)
    index = InvertedFile(K)
    index.add_sparse(ids, sparse.indptr, sparse.indices, sparse.data)
    other = filled(rows, ids, COUNT)
    for query in (rows[:5], rows[3:4]):
        mine, theirs = index.search(query, 9), other.search(query, 9)
        np.testing.assert_array_equal(mine.ids, theirs.ids)
        np.testing.assert_array_equal(mine.scores, theirs.scores)


def test_equal_scores_are_ordered_by_id(rows: Rows, ids: NDArray[np.int64]) -> None:
    index = filled(rows, ids, 100)
    empty = index.search(rows[3:4], 5)
    assert empty.ids[0].tolist() == ids[:5].tolist()
    assert empty.scores[0].tolist() == [0] * 5


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_removed_rows_are_never_found_again(rows: Rows, ids: NDArray[np.int64], share: float) -> None:
    index = filled(rows, ids, 70)
    gone = np.random.default_rng(2).random(COUNT) < share
    assert index.remove(ids[gone]) == gone.sum()
    assert index.remove(np.append(ids[gone], 10**9)) == 0
    truth = slow(rows[:6], rows)
    truth[:, gone] = -np.inf
    check(index, rows[:6], truth, ids, 8)
    index.add([10**6], rows[:1])
    assert index.search(rows[:1], 1000).ids[0].tolist().count(10**6) == 1
    index.remove(np.append(ids, 10**6))
    assert (len(index), index.search(rows[:1], 2).ids.tolist()) == (0, [[]])


def test_only_allowed_rows_are_results(rows: Rows, ids: NDArray[np.int64]) -> None:
    index = filled(rows, ids, 70)
    allowed = np.append(ids[100:103], 10**9)
    found = index.search(rows[100:101], 5, allowed=allowed)
    assert found.ids[0, 0] == ids[100]
    assert set(found.ids[0].tolist()) == {-1, *ids[100:103].tolist()}
    assert index.search(rows[:0], 5).ids.shape == (0, 5)


def test_invalid_arguments_are_refused(rows: Rows) -> None:
    index = InvertedFile(K)
    index.add([5], rows[:1])
    with pytest.raises(UsageError, match="in ascending order, all above 5"):
        index.add([5], rows[:1])
    with pytest.raises(UsageError, match="negative components"):
        index.add([6], -rows[:1])
    with pytest.raises(UsageError, match=r"expected ids \(n,\) and rows \(n, 60\)"):
        index.add([6], rows[:1, :3])
    with pytest.raises(UsageError, match="words: got 60 to 60; expected 0 to 59"):
        index.add_sparse([6], [0, 1], [60], [1.0])
    with pytest.raises(UsageError, match="indptr: expected ascending numbers from 0 to 1"):
        index.add_sparse([6], [0, 2], [6], [1.0])
    with pytest.raises(UsageError, match=r"indptr \(1,\)"):
        index.add_sparse([6], [0], [6], [1.0])
    with pytest.raises(UsageError, match=r"expected \(Q, 60\)"):
        index.search(rows[:1, :3], 1)
    with pytest.raises(UsageError, match="k: got 0"):
        index.search(rows[:1], 0)
    assert len(index) == 1
