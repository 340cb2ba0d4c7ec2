from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.similarity import BLOCK, SIMILARITIES, chi_square, cosine, dot, euclidean, l1

Row = list[float]


def _literal_dot(a: Row, b: Row) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _literal_cosine(a: Row, b: Row) -> float:
    norms = math.sqrt(_literal_dot(a, a) * _literal_dot(b, b))
    return _literal_dot(a, b) / norms if norms > 0 else 0.0


def _literal_chi_square(a: Row, b: Row) -> float:
    return -sum((x - y) ** 2 / (x + y) for x, y in zip(a, b, strict=True) if x + y > 0) / 2


ORACLES: dict[str, Callable[[Row, Row], float]] = {
    "cosine": _literal_cosine,
    "dot": _literal_dot,
    "euclidean": lambda a, b: -math.dist(a, b),
    "l1": lambda a, b: -sum(abs(x - y) for x, y in zip(a, b, strict=True)),
    "chi_square": _literal_chi_square,
}

every_similarity = pytest.mark.parametrize("name", SIMILARITIES)


@pytest.fixture(scope="module")
def torch() -> ModuleType:
    module: ModuleType = pytest.importorskip("torch")
    return module


def _histograms(count: int, seed: int = 0) -> NDArray[np.float64]:
    """Non-negative rows, with some zero components and one zero row."""
    rows = np.maximum(np.random.default_rng(seed).standard_normal((count, 6)), 0)
    rows[0] = 0
    return rows


def test_every_similarity_has_an_oracle() -> None:
    assert ORACLES.keys() == SIMILARITIES.keys()


@every_similarity
class TestContract:
    def test_equals_its_definition(self, name: str) -> None:
        queries, rows = _histograms(4), _histograms(7, seed=1)
        expected = [[ORACLES[name](q, r) for r in rows.tolist()] for q in queries.tolist()]
        np.testing.assert_allclose(SIMILARITIES[name](queries, rows), expected, rtol=1e-12, atol=1e-12)

    def test_torch_gives_the_same(self, name: str, torch: ModuleType) -> None:
        queries, rows = (_histograms(n, seed=n).astype(np.float32) for n in (3, 5))
        tensors = SIMILARITIES[name](torch.from_numpy(queries), torch.from_numpy(rows))
        assert tensors.dtype == torch.float32
        np.testing.assert_allclose(tensors.numpy(), SIMILARITIES[name](queries, rows), rtol=1e-5, atol=1e-6)

    def test_gradients_are_correct(self, name: str, torch: ModuleType) -> None:
        values = np.random.default_rng(0).random((7, 3)) + 0.1
        queries, rows = (torch.from_numpy(part).requires_grad_() for part in (values[:3], values[3:]))
        assert torch.autograd.gradcheck(SIMILARITIES[name], (queries, rows))

    def test_gradients_are_finite_at_zero_and_at_equal_vectors(self, name: str, torch: ModuleType) -> None:
        rows = torch.from_numpy(_histograms(4)).requires_grad_()
        SIMILARITIES[name](rows, rows).sum().backward()
        assert torch.isfinite(rows.grad).all()

    def test_half_precision_is_compared_in_single(self, name: str) -> None:
        halves = (_histograms(5) * 300).astype(np.float16)
        scores = SIMILARITIES[name](halves, halves)
        assert scores.dtype == np.float32
        np.testing.assert_array_equal(scores, SIMILARITIES[name](halves.astype(np.float32), halves.astype(np.float32)))

    def test_types_may_differ(self, name: str, torch: ModuleType) -> None:
        double, half = _histograms(3), _histograms(4).astype(np.float16)
        expected = SIMILARITIES[name](double, half.astype(np.float64))
        mixed: NDArray[Any] = half
        np.testing.assert_allclose(SIMILARITIES[name](double, mixed), expected)
        tensors = SIMILARITIES[name](torch.from_numpy(double), torch.from_numpy(half))
        np.testing.assert_allclose(tensors.numpy(), expected, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("sign", [1.0, -1.0])
    def test_a_vector_with_nan_has_nan_scores(self, name: str, sign: float, torch: ModuleType) -> None:
        rows = np.abs(np.random.default_rng(0).standard_normal((4, 5))).astype(np.float32)
        queries = rows[:2].copy()
        rows[2, 1] = queries[1, 3] = math.copysign(math.nan, sign)
        for convert in (np.asarray, torch.from_numpy):
            scores = np.asarray(SIMILARITIES[name](convert(queries), convert(rows)))
            assert np.isnan(scores).tolist() == [[False, False, True, False], [True] * 4]

    def test_no_queries_or_no_rows(self, name: str) -> None:
        rows = _histograms(4)
        assert SIMILARITIES[name](rows[:0], rows).shape == (0, 4)
        assert SIMILARITIES[name](rows, rows[:0]).shape == (4, 0)

    def test_wrong_shapes_are_refused(self, name: str) -> None:
        with pytest.raises(UsageError, match=r"got shapes \(2, 3\) and \(4, 5\)"):
            SIMILARITIES[name](np.ones((2, 3)), np.ones((4, 5)))
        with pytest.raises(UsageError, match=r"got shapes \(3,\) and \(4, 3\)"):
            SIMILARITIES[name](np.ones(3), np.ones((4, 3)))


@pytest.mark.parametrize("name", ["cosine", "euclidean", "l1", "chi_square"])
def test_a_vector_is_most_similar_to_itself(name: str) -> None:
    rows = np.random.default_rng(0).random((20, 8)).astype(np.float32)
    scores = SIMILARITIES[name](rows, rows)
    assert np.argmax(scores, axis=1).tolist() == list(range(20))


@pytest.mark.parametrize("compare", [euclidean, l1, chi_square])
def test_blocks_of_rows_give_the_same(
    compare: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
) -> None:
    values = np.random.default_rng(0).random((2 * BLOCK // 4096 + 3, 4096))
    singles = [compare(values[:2], values[i : i + 1])[:, 0] for i in range(len(values))]
    np.testing.assert_allclose(compare(values[:2], values), np.transpose(singles), rtol=1e-9, atol=1e-6)


def test_euclidean_is_exact_for_near_unit_vectors() -> None:
    unit = np.full((1, 512), 512**-0.5, dtype=np.float32)
    moved = unit.copy()
    moved[0, 0] += np.float32(1e-4)
    step = float(moved[0, 0]) - float(unit[0, 0])
    # In single precision, |a|² + |b|² − 2 a·b loses this distance altogether.
    np.testing.assert_allclose(euclidean(unit, np.concatenate([unit, moved])), [[0.0, -step]], atol=3e-7)


def test_euclidean_ranks_unit_vectors_as_the_cosine() -> None:
    rows = np.random.default_rng(0).standard_normal((30, 5))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_array_equal(np.argsort(euclidean(rows[:3], rows)), np.argsort(cosine(rows[:3], rows)))
    np.testing.assert_allclose(cosine(rows, rows), dot(rows, rows), atol=1e-12)


def test_chi_square_of_disjoint_histograms_is_minus_one() -> None:
    assert chi_square(np.array([[0.5, 0.5, 0, 0]]), np.array([[0, 0, 1.0, 0]])).tolist() == [[-1.0]]


def test_chi_square_refuses_negative_components() -> None:
    rows = np.ones((2, 2))
    for pair in ((rows, -rows), (-rows, rows)):
        with pytest.raises(UsageError, match="chi_square: got negative components"):
            chi_square(*pair)
