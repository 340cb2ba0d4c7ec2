from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.errors import ModelError, UsageError
from kindred.whitening import BLOCK, LearnedWhitening, PCAWhitening, Whitening, from_arrays, power_law
from kindred.whitening.classes import SHRINKAGES, LabelledRows, choose_shrinkage, class_projection


@pytest.fixture(scope="module")
def torch() -> ModuleType:
    module: ModuleType = pytest.importorskip("torch")
    return module


def _vectors(count: int = 200, dimension: int = 6, seed: int = 0) -> Vectors:
    """Vectors far from the origin whose components are correlated and differ in variance."""
    generator = np.random.default_rng(seed)
    mixing = generator.standard_normal((dimension, dimension)) * np.geomspace(1, 0.05, dimension)
    return (generator.standard_normal((count, dimension)) @ mixing.T + 3).astype(np.float32)


def _projected(whitening: Whitening, rows: Vectors) -> NDArray[np.float64]:
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
    def test_a_smaller_power_equalises_less(self, power: float) -> None:
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

    def test_long_batches_are_converted_block_by_block(self) -> None:
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

    def test_variances_below_the_floor_are_not_amplified(self) -> None:
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
    def test_invalid_rows_are_refused(self, count: int, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            PCAWhitening.fit(_vectors(count), **arguments)

    def test_just_enough_rows(self) -> None:
        assert PCAWhitening.fit(_vectors(4), dimension=3).dimension == 3

    @pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
    def test_equal_rows(self, value: float) -> None:
        with pytest.raises(UsageError, match="got 9 equal rows"):
            PCAWhitening.fit(np.full((9, 3), value, dtype=np.float32))

    def test_no_batches_and_batches_of_different_dimensions(self) -> None:
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

    def test_the_dimension_is_reduced_before_normalisation(self) -> None:
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
    def test_rows_of_another_dimension(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(UsageError, match=r"rows: got shape .*; expected \(N, 6\)"):
            PCAWhitening.fit(_vectors()).transform(np.zeros(shape))


def _pairs(count: int = 200, dimension: int = 6, seed: int = 5) -> tuple[Vectors, Vectors]:
    """Vectors and matching vectors, which differ most in the first component."""
    queries = _vectors(count, dimension, seed)
    noise = np.random.default_rng(seed + 1).standard_normal((count, dimension)) * np.geomspace(2, 0.1, dimension)
    return queries, (queries + noise).astype(np.float32)


def _literal_learned(queries: Vectors, positives: Vectors, rows: Vectors) -> NDArray[np.float64]:
    """P = Eᵀ L⁻¹ with vectors as columns, as in the paper."""
    q, p, x = (each.T.astype(np.float64) for each in (queries, positives, rows))
    mean = q.mean(axis=1, keepdims=True)
    scatter = sum(np.outer(d, d) for d in (q - p).T) / q.shape[1]
    inverse = np.linalg.inv(np.linalg.cholesky(scatter))
    seen = inverse @ (x - mean)
    values, vectors = np.linalg.eig(seen @ seen.T)
    order = np.argsort(-values.real)
    projection: NDArray[np.float64] = vectors.real[:, order].T @ inverse
    return projection


class TestLearned:
    def test_equals_its_definition(self) -> None:
        queries, positives = _pairs()
        rows = _vectors(300, seed=9)
        expected = _literal_learned(queries, positives, rows)
        whitening = LearnedWhitening.fit(queries, positives, rows)
        np.testing.assert_allclose(whitening.mean, queries.mean(axis=0, dtype=np.float64), rtol=1e-6)
        signs = np.sign((whitening.projection * expected).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(whitening.projection, signs * expected, rtol=1e-3, atol=1e-4)

    def test_pairs_have_equal_variance_in_all_directions(self) -> None:
        queries, positives = _pairs()
        projection = LearnedWhitening.fit(queries, positives, queries).projection.astype(np.float64)
        differences = (queries.astype(np.float64) - positives) @ projection.T
        np.testing.assert_allclose(differences.T @ differences / len(queries), np.eye(6), atol=1e-3)

    def test_directions_are_ordered_by_variance_and_not_scaled(self) -> None:
        queries, positives = _pairs()
        rows = _vectors(300, seed=9)
        whitening = LearnedWhitening.fit(queries, positives, rows)
        spread = (_projected(whitening, rows) ** 2).mean(axis=0)
        assert (np.diff(spread) < 0).all()
        assert spread[0] > 10 * spread[-1]

    def test_a_smaller_dimension_is_reduced_before_normalisation(self) -> None:
        queries, positives = _pairs()
        whole = LearnedWhitening.fit(queries, positives, queries)
        cut = LearnedWhitening.fit(queries, positives, queries, dimension=2)
        np.testing.assert_array_equal(cut.projection, whole.projection[:2])
        expected = _projected(cut, positives)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(cut.transform(positives), expected, atol=1e-5)

    @pytest.mark.parametrize("size", [1, 7, 200])
    def test_batches_give_the_same_as_all_at_once(self, size: int) -> None:
        queries, positives = _pairs()
        whole = LearnedWhitening.fit(queries, positives, queries)
        parts = ([side[i : i + size] for i in range(0, 200, size)] for side in (queries, positives, queries))
        streamed = LearnedWhitening.fit(*(iter(part) for part in parts))
        np.testing.assert_allclose(streamed.mean, whole.mean, rtol=1e-6)
        np.testing.assert_allclose(streamed.projection, whole.projection, rtol=1e-4, atol=1e-5)

    def test_a_component_in_which_no_pair_differs(self) -> None:
        queries, positives = _pairs()
        queries[:, 3] = positives[:, 3] = 1.0  # a dead channel: no Cholesky factor without something added
        whitening = LearnedWhitening.fit(queries, positives, queries)
        whitened = whitening.transform(queries)
        np.testing.assert_allclose(np.linalg.norm(whitened, axis=1), 1, rtol=1e-5)

    def test_matching_pairs_are_closer_than_with_pca(self) -> None:
        queries, positives = _pairs(400)
        learned = LearnedWhitening.fit(queries[:200], positives[:200], queries[:200])
        pca = PCAWhitening.fit(queries[:200])

        def found(whitening: Whitening) -> float:
            scores = whitening.transform(queries[200:]) @ whitening.transform(positives[200:]).T
            return float((scores.argmax(axis=1) == np.arange(200)).mean())

        assert found(learned) > found(pca)

    def test_torch_gives_the_same(self, torch: ModuleType) -> None:
        queries, positives = _pairs()
        whitening = LearnedWhitening.fit(queries, positives, queries, dimension=4)
        tensors = whitening.transform(torch.from_numpy(queries))
        np.testing.assert_allclose(tensors.numpy(), whitening.transform(queries), atol=1e-5)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"queries": 5, "positives": 5}, "got 5 matching pairs of 6 dimensions; expected at least 6: add pairs"),
            ({"queries": 0, "positives": 0}, "got no matching pairs to fit"),
            ({"positives": 9}, r"got queries \(200, 6\) and positives \(9, 6\); expected equal shapes, 6"),
            ({"rows": 0}, "got no rows"),
            ({"rows": 4}, "got 4 rows for 6 dimensions; expected at least 6: add images"),
            ({"dimension": 7}, "dimension: got 7; expected 1 to 6"),
        ],
    )
    def test_invalid_rows_are_refused(self, change: dict[str, int], message: str) -> None:
        queries, positives = _pairs()
        parts = {"queries": queries, "positives": positives, "rows": queries}
        parts = {name: rows[: change.get(name, 200)] for name, rows in parts.items()}
        with pytest.raises(UsageError, match=message):
            LearnedWhitening.fit(**parts, dimension=change.get("dimension"))

    def test_mismatched_pairs_are_refused(self) -> None:
        queries, positives = _pairs()
        with pytest.raises(UsageError, match="different numbers of batches"):
            LearnedWhitening.fit([queries, queries], [positives], queries)
        with pytest.raises(UsageError, match="6 components in all batches"):
            LearnedWhitening.fit([queries, queries[:, :5]], [positives, positives[:, :5]], queries)
        with pytest.raises(UsageError, match="rows: got 5 components; expected 6, as in the pairs"):
            LearnedWhitening.fit(queries, positives, queries[:, :5])
        with pytest.raises(UsageError, match="got 200 pairs of equal vectors"):
            LearnedWhitening.fit(queries, queries, queries)


class TestPowerLaw:
    VALUES = np.array([[-4.0, 0.0, 9.0]])

    def test_signs_are_kept(self) -> None:
        assert power_law(self.VALUES).tolist() == [[-2.0, 0.0, 3.0]]
        assert power_law(self.VALUES, alpha=1.0).tolist() == self.VALUES.tolist()
        np.testing.assert_allclose(power_law(self.VALUES.astype(np.float16), alpha=0.3), [[-(4**0.3), 0, 9**0.3]])

    def test_torch_gives_the_same_with_gradients(self, torch: ModuleType) -> None:
        leaf = torch.from_numpy(self.VALUES).requires_grad_()
        power_law(leaf).sum().backward()
        assert leaf.grad.tolist() == [[0.25, 0.0, 0.5 / 3]]

    @pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
    def test_other_powers_are_refused(self, alpha: float) -> None:
        with pytest.raises(UsageError, match="alpha: got"):
            power_law(self.VALUES, alpha=alpha)


class TestArrays:
    def test_a_file_names_its_kind(self, tmp_path: Path) -> None:
        queries, positives = _pairs()
        fitted = PCAWhitening.fit(queries), LearnedWhitening.fit(queries, positives, queries)
        for whitening in fitted:
            np.savez(tmp_path / "whitening.npz", allow_pickle=False, **whitening.to_arrays())
            with np.load(tmp_path / "whitening.npz", allow_pickle=False) as arrays:
                again = from_arrays(arrays)
            assert type(again) is type(whitening)
            np.testing.assert_array_equal(again.transform(queries), whitening.transform(queries))

    def test_files_of_version_0_1_are_pca_whitenings(self) -> None:
        arrays = PCAWhitening.fit(_vectors()).to_arrays()
        del arrays["kind"]
        assert isinstance(from_arrays(arrays), PCAWhitening)

    def test_another_kind_is_refused(self) -> None:
        arrays = PCAWhitening.fit(_vectors()).to_arrays()
        with pytest.raises(ModelError, match="got kind 'pca'; expected 'learned'"):
            LearnedWhitening.from_arrays(arrays)
        with pytest.raises(ModelError, match="got kind 'zca'; expected 'pca' or 'learned'"):
            from_arrays({**arrays, "kind": np.array("zca")})

    def test_damaged_learned_arrays(self) -> None:
        queries, positives = _pairs()
        arrays = LearnedWhitening.fit(queries, positives, queries).to_arrays()
        with pytest.raises(ModelError, match="damaged"):
            from_arrays({**arrays, "mean": np.zeros(3)})
        del arrays["projection"]
        with pytest.raises(ModelError, match="whitening: projection missing; expected mean, projection"):
            from_arrays(arrays)

    def test_is_restored_from_a_file_without_pickle(self, tmp_path: Path) -> None:
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


def test_the_gram_matrix_gives_the_same_whitening_as_the_covariance(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(3).standard_normal((40, 24)).astype(np.float32) * np.linspace(
        1, 4, 24, dtype=np.float32
    )
    usual = PCAWhitening.fit(rows, dimension=10, power=0.5)
    monkeypatch.setattr("kindred.whitening.principal.MOST_COMPONENTS", 16)
    wide = PCAWhitening.fit([rows[:15], rows[15:15], rows[15:]], dimension=10, power=0.5)
    assert np.abs(wide.mean - usual.mean).max() < 1e-5
    assert np.abs(wide.projection - usual.projection).max() < 1e-4
    monkeypatch.setattr("kindred.whitening.principal.MOST_ROWS", 20)
    held = PCAWhitening.fit([rows[:15], rows[15:]], dimension=10)
    assert np.abs(held.projection - PCAWhitening.fit(rows[:20], dimension=10).projection).max() < 1e-4
    with pytest.raises(UsageError, match="got 5 rows to whiten 10 dimensions"):
        PCAWhitening.fit(rows[:5], dimension=10)


def _classes(name: str, *, offset: float, seed: int, count: int = 12, each: int = 4) -> LabelledRows:
    """Classes that differ in some directions, while their images differ much more in others."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(count), each)
    rows = random.standard_normal((count, 10))[labels] * np.r_[np.full(5, 0.6), np.zeros(5)]
    rows += random.standard_normal(rows.shape) * np.r_[np.full(5, 0.2), np.full(5, 2.0)] + offset
    return LabelledRows(name, rows.astype(np.float32), labels)


class TestClassProjection:
    def test_is_the_definition_written_out(self) -> None:
        sets = [_classes("a", offset=0, seed=1), _classes("b", offset=5, seed=2, count=7, each=3)]
        shrinkage = 0.3
        within, total, count = np.zeros((10, 10)), np.zeros((10, 10)), 0
        for each in sets:
            centre = each.rows.mean(axis=0, dtype=np.float64)
            for row, label in zip(each.rows.astype(np.float64), each.labels, strict=True):
                own = each.rows[each.labels == label].mean(axis=0, dtype=np.float64)
                within += np.outer(row - own, row - own)
                total += np.outer(row - centre, row - centre)
                count += 1
        within = (1 - shrinkage) * within / count + shrinkage * np.trace(within / count) / 10 * np.eye(10)
        found = class_projection([(each.rows, each.labels) for each in sets], shrinkage).astype(np.float64)
        np.testing.assert_allclose(found @ within @ found.T, np.eye(10), atol=1e-4)  # equal within classes
        spread = found @ (total / count) @ found.T
        np.testing.assert_allclose(spread, np.diag(np.diagonal(spread)), atol=1e-3)  # uncorrelated over all
        assert (np.diff(np.diagonal(spread)) <= 1e-6).all()  # largest variance first
        shorter = class_projection([(each.rows, each.labels) for each in sets], shrinkage, dimension=3)
        np.testing.assert_allclose(shorter, found[:3], atol=1e-6)

    def test_what_distinguishes_sets_does_not_count(self) -> None:
        near = [_classes("a", offset=0, seed=1), _classes("b", offset=0, seed=2)]
        far = [_classes("a", offset=0, seed=1), _classes("b", offset=50, seed=2)]
        for mine, theirs in zip(near, far, strict=True):
            np.testing.assert_allclose(mine.labels, theirs.labels)
        first, second = (class_projection([(one.rows, one.labels) for one in sets], 0.1) for sets in (near, far))
        np.testing.assert_allclose(first, second, rtol=1e-2, atol=1e-2)

    def test_classes_left_out_are_found_better(self) -> None:
        sets = [_classes("a", offset=0, seed=1, count=30), _classes("b", offset=1, seed=2, count=30)]
        shrinkage, folds = choose_shrinkage(sets)
        assert shrinkage in SHRINKAGES
        assert [(fold.name, fold.classes, fold.images) for fold in folds] == [("a", 30, 120), ("b", 30, 120)]
        for fold in folds:
            assert fold.before < 0.35
            assert fold.after > fold.before + 0.2
        assert choose_shrinkage(sets) == (shrinkage, folds)

    def test_classes_of_random_labels_are_not_found_better(self) -> None:
        # Would classes of the fit be measured, they would.
        random = np.random.default_rng(3)
        rows = random.standard_normal((120, 30)).astype(np.float32)
        _, (fold,) = choose_shrinkage([LabelledRows("noise", rows, np.repeat(np.arange(40), 3))])
        assert abs(fold.after - fold.before) < 0.06

    def test_invalid_sets(self) -> None:
        rows = np.ones((4, 3), np.float32)
        with pytest.raises(UsageError, match="photos: expected at least two classes with two or more usable images"):
            LabelledRows("photos", rows, np.array([0, 0, 1, 2]))
        with pytest.raises(UsageError, match="photos: expected a class, a whole number, for each of the 4 vectors"):
            LabelledRows("photos", rows, np.array([0, 1]))
        with pytest.raises(UsageError, match="all images of a class have equal vectors"):
            choose_shrinkage(
                [
                    LabelledRows(
                        "photos",
                        rows,
                        np.array(
                            [
                                0,
                                0,
                                1,
                                1,
                            ]
                        ),
                    )
                ]
            )
