from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.errors import ModelError, UsageError
from kindred.whitening import BLOCK, PCAWhitening


@pytest.fixture(scope="module")
def torch() -> ModuleType:
    module: ModuleType = pytest.importorskip("torch")
    return module


def _vectors(count: int = 200, dimension: int = 6, seed: int = 0) -> Vectors:
    """Vectors far from the origin whose components are correlated and differ in variance."""
    generator = np.random.default_rng(seed)
    mixing = generator.standard_normal((dimension, dimension)) * np.geomspace(1, 0.05, dimension)
    return (generator.standard_normal((count, dimension)) @ mixing.T + 3).astype(np.float32)


def _projected(whitening: PCAWhitening, rows: Vectors) -> NDArray[np.float64]:
    """P (x − m), before the final normalisation."""
    return (rows - whitening.mean).astype(np.float64) @ whitening.projection.T.astype(np.float64)


class TestFit:
    def test_whitened_vectors_have_unit_covariance(self) -> None:
        rows = _vectors()
        projected = _projected(PCAWhitening.fit(rows), rows)
        np.testing.assert_allclose(projected.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(projected.T @ projected / len(rows), np.eye(6), atol=1e-4)

    def test_equals_a_singular_value_decomposition(self) -> None:
        rows = _vectors()
        centred = rows - rows.mean(axis=0, dtype=np.float64)
        _, singular, directions = np.linalg.svd(centred, full_matrices=False)
        expected = directions / (singular / np.sqrt(len(rows)))[:, None]
        projection = PCAWhitening.fit(rows).projection
        signs = np.sign((projection * expected).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(projection, signs * expected, rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize("power", [0.0, 0.25])
    def test_a_smaller_power_keeps_some_of_the_variances(self, power: float) -> None:
        rows = _vectors()
        variances = np.linalg.eigvalsh(np.cov(rows.T.astype(np.float64), bias=True))[::-1]
        projected = _projected(PCAWhitening.fit(rows, power=power), rows)
        np.testing.assert_allclose(projected.var(axis=0), variances ** (1 - 2 * power), rtol=1e-3)

    @pytest.mark.parametrize("size", [1, 7, 200])
    def test_batches_give_the_same_as_all_at_once(self, size: int) -> None:
        rows = _vectors()
        whole = PCAWhitening.fit(rows)
        streamed = PCAWhitening.fit(rows[i : i + size] for i in range(0, len(rows), size))
        np.testing.assert_allclose(streamed.mean, whole.mean, rtol=1e-6)
        np.testing.assert_allclose(streamed.projection, whole.projection, rtol=1e-5, atol=1e-5)

    def test_long_batches_are_widened_block_by_block(self) -> None:
        rows = _vectors(BLOCK + 10)
        projected = _projected(PCAWhitening.fit(rows), rows)
        np.testing.assert_allclose(np.cov(projected.T, bias=True), np.eye(6), atol=1e-3)

    def test_a_far_origin_costs_no_precision(self) -> None:
        rows = (np.random.default_rng(0).integers(-8, 9, (300, 3)) + 2**20).astype(np.float32)
        projected = _projected(PCAWhitening.fit(rows), rows)
        np.testing.assert_allclose(np.cov(projected.T, bias=True), np.eye(3), atol=1e-3)

    def test_directions_have_a_definite_sign(self) -> None:
        projection = PCAWhitening.fit(_vectors()).projection
        largest = np.argmax(np.abs(projection), axis=1)
        assert (projection[np.arange(6), largest] > 0).all()

    def test_variances_below_the_floor_are_not_blown_up(self) -> None:
        rows = _vectors()
        rows[:, 5] = 1.0  # a dead channel: no variance at all
        scales = np.linalg.norm(PCAWhitening.fit(rows, floor=1e-4).projection, axis=1)
        assert scales[-1] == pytest.approx(100 * scales[0], rel=1e-3)

    @pytest.mark.parametrize(
        ("count", "arguments", "message"),
        [
            (6, {}, "got 6 rows to whiten 6 dimensions; expected at least 7: add images"),
            (4, {"dimension": 4}, "got 4 rows to whiten 4 dimensions; expected at least 5"),
            (0, {}, "got no rows"),
            (9, {"dimension": 7}, "dimension: got 7; expected 1 to 6"),
            (9, {"dimension": 0}, "dimension: got 0; expected 1 to 6"),
            (9, {"power": -0.5}, "got power -0.5"),
            (9, {"floor": 0.0}, "floor 0.0; expected power >= 0"),
        ],
    )
    def test_what_cannot_be_learned_from(self, count: int, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            PCAWhitening.fit(_vectors(count), **arguments)

    def test_just_enough_rows(self) -> None:
        assert PCAWhitening.fit(_vectors(4), dimension=3).dimension == 3

    @pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
    def test_equal_rows(self, value: float) -> None:
        with pytest.raises(UsageError, match="got 9 equal rows"):
            PCAWhitening.fit(np.full((9, 3), value, dtype=np.float32))

    def test_no_batches_and_batches_of_different_widths(self) -> None:
        with pytest.raises(UsageError, match="got no rows"):
            PCAWhitening.fit([])
        with pytest.raises(UsageError, match="rows: got 5 components after 6"):
            PCAWhitening.fit([_vectors(), _vectors(dimension=5)])


class TestTransform:
    def test_projects_then_normalises(self) -> None:
        rows = _vectors()
        whitening = PCAWhitening.fit(rows, dimension=4)
        expected = _projected(whitening, rows)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        transformed = whitening.transform(rows)
        assert transformed.dtype == np.float32
        np.testing.assert_allclose(transformed, expected, atol=1e-5)

    def test_the_dimension_is_cut_before_the_normalisation(self) -> None:
        rows = _vectors()
        whole, cut = PCAWhitening.fit(rows), PCAWhitening.fit(rows, dimension=2)
        np.testing.assert_array_equal(cut.projection, whole.projection[:2])
        np.testing.assert_allclose(np.linalg.norm(cut.transform(rows), axis=1), 1, rtol=1e-6)

    def test_the_mean_becomes_zero(self) -> None:
        whitening = PCAWhitening.fit(_vectors())
        assert whitening.transform(whitening.mean[None]).tolist() == [[0.0] * 6]

    def test_torch_gives_the_same_with_gradients(self, torch: ModuleType) -> None:
        rows = _vectors()
        whitening = PCAWhitening.fit(rows, dimension=4)
        leaf = torch.from_numpy(rows[:5]).requires_grad_()
        transformed = whitening.transform(leaf)
        np.testing.assert_allclose(transformed.detach().numpy(), whitening.transform(rows[:5]), atol=1e-5)
        transformed[:, 0].sum().backward()
        assert torch.isfinite(leaf.grad).all()
        assert (leaf.grad != 0).any()

    @pytest.mark.parametrize("shape", [(6,), (2, 5)])
    def test_rows_of_another_width(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(UsageError, match=r"rows: got shape .*; expected \(N, 6\)"):
            PCAWhitening.fit(_vectors()).transform(np.zeros(shape))


class TestArrays:
    def test_survives_a_file_without_pickle(self, tmp_path: Path) -> None:
        whitening = PCAWhitening.fit(_vectors(), dimension=4, power=0.25)
        np.savez(tmp_path / "whitening.npz", allow_pickle=False, **whitening.to_arrays())
        with np.load(tmp_path / "whitening.npz", allow_pickle=False) as arrays:
            again = PCAWhitening.from_arrays(arrays)
        assert again.power == 0.25
        np.testing.assert_array_equal(again.mean, whitening.mean)
        np.testing.assert_array_equal(again.projection, whitening.projection)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"mean": None}, "whitening: mean missing"),
            ({"mean": np.zeros(3)}, r"damaged \(mean: got shape \(3,\); expected \(6,\)\)"),
            ({"projection": np.full((2, 6), np.nan)}, "damaged .*row 0 holds NaN"),
            ({"mean": np.full(6, np.inf)}, "damaged .*NaN or infinity"),
            ({"power": np.zeros(2)}, "damaged"),
        ],
    )
    def test_damaged_arrays(self, changes: dict[str, NDArray[np.float64] | None], message: str) -> None:
        arrays = {**PCAWhitening.fit(_vectors()).to_arrays(), **changes}
        with pytest.raises(ModelError, match=message):
            PCAWhitening.from_arrays({name: array for name, array in arrays.items() if array is not None})
