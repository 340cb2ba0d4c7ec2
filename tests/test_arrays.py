from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as some_array
from numpy.typing import NDArray

from kindred.arrays import (
    as_rows,
    check_positive,
    check_whole,
    floating,
    l2_normalise,
    namespace,
    to_numpy,
    top_k,
)
from kindred.errors import UsageError


@pytest.fixture(scope="module")
def torch() -> ModuleType:
    module: ModuleType = pytest.importorskip("torch")
    return module


class TestL2Normalise:
    def test_divides_by_the_norm(self) -> None:
        assert l2_normalise(np.array([[3.0, 4.0]])).tolist() == [[0.6, 0.8]]

    def test_normalises_along_the_axis_asked_for(self) -> None:
        unit = l2_normalise(np.array([[3.0, 5.0], [4.0, 12.0]]), axis=0)
        assert unit.tolist() == [[0.6, 5 / 13], [0.8, 12 / 13]]

    def test_zero_stays_zero(self) -> None:
        assert l2_normalise(np.zeros((2, 3))).tolist() == [[0.0] * 3] * 2

    def test_leaves_no_rows_alone(self) -> None:
        assert l2_normalise(np.zeros((0, 3))).shape == (0, 3)

    def test_does_not_change_its_argument(self) -> None:
        x = np.array([[3.0, 4.0]])
        l2_normalise(x)
        assert x.tolist() == [[3.0, 4.0]]

    @given(some_array(np.float32, (2, 5), elements=st.floats(-(2.0**126), 2.0**126, width=32)))
    def test_every_row_has_norm_one_or_zero(self, x: NDArray[np.float32]) -> None:
        norms = np.linalg.norm(l2_normalise(x).astype(np.float64), axis=1)
        expected = (x != 0).any(axis=1).astype(np.float64)
        np.testing.assert_allclose(norms, expected, atol=1e-6)

    def test_half_precision_is_computed_in_single(self) -> None:
        unit = l2_normalise(np.full((1, 4), 60000, dtype=np.float16))
        assert unit.dtype == np.float32
        assert unit.tolist() == [[0.5] * 4]

    def test_gradient_is_finite_and_right(self, torch: ModuleType) -> None:
        x = torch.tensor([[0.3, -2.0, 1.0], [1.0, 1.0, 4.0]], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(l2_normalise, (x,))

    def test_gradient_at_zero_is_finite(self, torch: ModuleType) -> None:
        x = torch.zeros(2, 3, requires_grad=True)
        l2_normalise(x).sum().backward()
        assert torch.isfinite(x.grad).all()


class TestTopK:
    def test_best_first_and_lower_index_among_equals(self) -> None:
        scores = np.array([[1, 3, 2, 3, 0], [5, 5, 5, 5, 5]], dtype=np.float32)
        indices, best = top_k(scores, 3)
        assert indices.tolist() == [[1, 3, 2], [0, 1, 2]]
        assert best.tolist() == [[3, 3, 2], [5, 5, 5]]
        assert indices.dtype == np.int64
        assert best.dtype == np.float32

    @given(some_array(np.int8, (3, 12), elements=st.integers(-3, 3)), st.integers(1, 14))
    def test_equals_a_sort_by_score_and_index(self, values: NDArray[np.int8], k: int) -> None:
        indices, best = top_k(values.astype(np.float32), k)
        for row, found, scores in zip(values.tolist(), indices.tolist(), best.tolist(), strict=True):
            expected = sorted(range(12), key=lambda i: (-row[i], i))[:k]
            assert found == expected
            assert scores == [row[i] for i in expected]

    def test_k_above_the_number_of_scores_gives_all(self) -> None:
        indices, _ = top_k(np.array([[1.0, 2.0]]), 10)
        assert indices.tolist() == [[1, 0]]

    def test_nothing_to_rank(self) -> None:
        indices, best = top_k(np.zeros((2, 0)), 3)
        assert indices.shape == best.shape == (2, 0)

    def test_minus_infinity_ranks_last(self) -> None:
        assert top_k(np.array([[-np.inf, -1.0, -np.inf]]), 3)[0].tolist() == [[1, 0, 2]]

    @pytest.mark.parametrize("nan", [np.nan, -np.nan])
    @pytest.mark.parametrize("k", [1, 3])
    def test_nan_is_an_error_that_names_the_row(self, k: int, nan: float) -> None:
        scores = np.array([[1.0, 2.0, 3.0], [1.0, nan, 3.0]])
        with pytest.raises(UsageError, match="row 1 holds NaN"):
            top_k(scores, k)

    def test_wrong_arguments(self) -> None:
        with pytest.raises(UsageError, match="k: got 0"):
            top_k(np.zeros((1, 2)), 0)
        with pytest.raises(UsageError, match=r"got shape \(2,\); expected a matrix"):
            top_k(np.zeros(2), 1)


class TestAsRows:
    def test_converts_to_contiguous_float32(self) -> None:
        rows = as_rows(np.arange(6).reshape(3, 2).T, "rows")
        assert rows.tolist() == [[0, 2, 4], [1, 3, 5]]
        assert rows.dtype == np.float32
        assert rows.flags.c_contiguous

    def test_copies_nothing_that_fits(self) -> None:
        rows = np.ones((2, 3), dtype=np.float32)
        assert as_rows(rows, "rows") is rows

    def test_a_sum_that_overflows_is_no_fault(self) -> None:
        assert as_rows(np.full((2, 2), 3e38), "rows").shape == (2, 2)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (np.zeros(3), r"query: got shape \(3,\); expected a matrix \(N, D\); one vector v is the matrix"),
            (np.zeros((2, 0)), "at least one component"),
            ([[1.0], [1.0, 2.0]], "query: rows of different lengths"),
            ([["a"]], "expected real numbers"),
            (np.ones((1, 1), dtype=complex), "query: got complex128 values"),
            ([[1.0, 2.0], [np.nan, 0.0]], "query: row 1 holds NaN or infinity"),
            ([[np.inf, -np.inf]], "query: row 0 holds NaN or infinity"),
            (np.array([[1.0], [1e300]]), "query: row 1 holds NaN or infinity"),
        ],
    )
    def test_what_is_not_a_matrix_of_finite_numbers(self, given: NDArray[np.float64], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            as_rows(given, "query")


class TestNamespace:
    def test_lists_and_mixtures_are_named(self, torch: ModuleType) -> None:
        with pytest.raises(UsageError, match=r"got builtins\.list; expected NumPy arrays or PyTorch tensors"):
            namespace([1.0])  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=r"got numpy\.ndarray and torch\.Tensor"):
            namespace(np.ones(1), torch.ones(1))

    def test_floating_keeps_single_and_double(self, torch: ModuleType) -> None:
        for x in (
            np.ones(1),
            np.ones(1, dtype=np.float32),
            torch.ones(1),
            torch.ones(1, dtype=torch.float64),
        ):
            assert floating(x) is x

    def test_floating_widens_the_rest(self, torch: ModuleType) -> None:
        assert floating(np.ones(1, dtype=np.float16)).dtype == np.float32
        assert floating(np.ones(1, dtype=np.int64)).dtype == np.float32
        assert floating(torch.ones(1, dtype=torch.bfloat16)).dtype == torch.float32

    def test_to_numpy_cuts_the_gradient(self, torch: ModuleType) -> None:
        assert to_numpy(torch.ones(2, requires_grad=True)).tolist() == [1.0, 1.0]
        assert to_numpy(np.ones(2)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan"), "3"])
def test_check_positive_names_what_is_not(value: float) -> None:
    check_positive(p=3, q=np.float64(0.5))
    with pytest.raises(UsageError, match=r"p: got .*; expected a finite number above 0"):
        check_positive(p=value)


@pytest.mark.parametrize("value", [0, 1.5, "3"])
def test_check_whole_names_what_is_not(value: int) -> None:
    check_whole(k=1, window=2)
    with pytest.raises(UsageError, match=r"k: got .*; expected a whole number of at least 1"):
        check_whole(k=value)
