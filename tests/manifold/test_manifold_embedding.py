from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.arrays import l2_normalise
from kindred.errors import ModelError, UsageError
from kindred.manifold import EMBEDDINGS, ManifoldEmbedding

pytest.importorskip("scipy", reason="maps need the extra maps")


def two_moons(count: int = 150, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Two nested arcs, lifted to unit vectors (N, 3), and the arc of each row."""
    random = np.random.default_rng(seed)
    angles = np.pi * random.random(count)
    which = np.arange(count) % 2
    x = np.where(which, 1 - np.cos(angles), np.cos(angles))
    y = np.where(which, 0.4 - np.sin(angles), np.sin(angles))
    flat = np.stack([x, y], axis=1) + 0.05 * random.standard_normal((count, 2))
    return l2_normalise(np.concatenate([flat, np.full((count, 1), 2.0)], axis=1).astype(np.float32)), which


def average_precision(scores: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    hits = np.flatnonzero(right[np.argsort(-scores)])
    return float(((np.arange(len(hits)) + 1) / (hits + 1)).mean())


@pytest.mark.parametrize("method", EMBEDDINGS)
class TestEveryEmbedding:
    def test_gives_unit_vectors(self, method: str) -> None:
        rows, _ = two_moons()
        fitted = ManifoldEmbedding.fit(rows, method, dimension=5)
        assert fitted.rows_.dtype == np.float32
        assert fitted.rows_.shape == (150, fitted.dimension)
        assert fitted.dimension <= 5
        np.testing.assert_allclose(np.linalg.norm(fitted.rows_, axis=1), 1, rtol=1e-5)
        queries = fitted.transform(two_moons(20, seed=1)[0])
        np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, rtol=1e-5)
        assert fitted.transform(rows[:0]).shape == (0, fitted.dimension)

    def test_a_fitted_row_finds_itself(self, method: str) -> None:
        rows, _ = two_moons()
        fitted = ManifoldEmbedding.fit(rows, method, dimension=5)
        again = fitted.transform(rows)
        assert (again * fitted.rows_).sum(axis=1).min() > 0.98

    def test_search_follows_the_manifold(self, method: str) -> None:
        rows, which = two_moons()
        queries, asked = two_moons(40, seed=1)
        fitted = ManifoldEmbedding.fit(rows, method, dimension=2)
        places = fitted.transform(queries)
        before = np.mean([average_precision(rows @ q, which == w) for q, w in zip(queries, asked, strict=True)])
        after = np.mean([average_precision(fitted.rows_ @ q, which == w) for q, w in zip(places, asked, strict=True)])
        assert before < 0.85
        assert after > 0.93

    def test_is_restored_from_a_file_without_pickle(self, method: str, tmp_path: Path) -> None:
        rows, _ = two_moons()
        fitted = ManifoldEmbedding.fit(rows, method, dimension=5)
        np.savez(tmp_path / "manifold.npz", allow_pickle=False, **fitted.to_arrays())
        with np.load(tmp_path / "manifold.npz", allow_pickle=False) as arrays:
            again = ManifoldEmbedding.from_arrays(arrays)
        assert again.method == method
        np.testing.assert_array_equal(again.rows_, fitted.rows_)
        np.testing.assert_array_equal(again.transform(rows[:9]), fitted.transform(rows[:9]))

    def test_damaged_arrays(self, method: str) -> None:
        arrays = ManifoldEmbedding.fit(two_moons()[0], method, dimension=5).to_arrays()
        for name in arrays:
            with pytest.raises(ModelError, match="fit it again"):
                ManifoldEmbedding.from_arrays({key: array for key, array in arrays.items() if key != name})
        with pytest.raises(ModelError, match="vectors: got 149; expected 150"):
            ManifoldEmbedding.from_arrays({**arrays, "vectors": arrays["vectors"][:-1]})
        with pytest.raises(ModelError, match="vectors: row 0 holds NaN"):
            ManifoldEmbedding.from_arrays({**arrays, "vectors": np.full((150, 3), np.nan)})

    def test_too_few_rows_are_reported_with_the_number_needed(self, method: str) -> None:
        message = "got 6 vectors to embed in 5 dimensions; expected at least 7: add images"
        with pytest.raises(UsageError, match=message):
            ManifoldEmbedding.fit(two_moons()[0][:6], method, dimension=5)
        assert np.isfinite(ManifoldEmbedding.fit(two_moons()[0][:7], method, dimension=5).rows_).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"method": "umap"}, "unknown manifold 'umap'"),
        ({"dimension": 0}, "dimension: got 0"),
        ({"neighbours": 0}, "neighbours: got 0"),
        ({"rows": np.zeros(5)}, r"rows: got shape \(5,\)"),
    ],
)
def test_invalid_arguments(parameters: dict[str, Any], message: str) -> None:
    given = {"rows": two_moons()[0], **parameters}
    with pytest.raises(UsageError, match=message):
        ManifoldEmbedding.fit(given.pop("rows"), **given)


def test_queries_of_another_dimension() -> None:
    fitted = ManifoldEmbedding.fit(two_moons()[0], dimension=5)
    with pytest.raises(UsageError, match=r"queries: got shape \(2, 4\); expected \(Q, 3\)"):
        fitted.transform(np.zeros((2, 4), np.float32))
