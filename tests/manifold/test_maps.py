from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import MissingExtra, UsageError
from kindred.manifold import MAPS, ManifoldEmbedding, classical_mds, embedding, manifold_map, maps

pytest.importorskip("sklearn", reason="maps need the extra maps")


def clusters(count: int = 60, dimension: int = 8, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows in three clusters, and the cluster of each row."""
    random = np.random.default_rng(seed)
    which = np.arange(count) % 3
    centres = 8 * random.standard_normal((3, dimension))
    return (centres[which] + random.standard_normal((count, dimension))).astype(np.float32), which


@pytest.mark.parametrize("method", MAPS)
class TestEveryMap:
    @pytest.mark.parametrize("dimensions", [1, 2, 3])
    def test_gives_finite_points(self, method: str, dimensions: int) -> None:
        rows, _ = clusters(30)
        points = manifold_map(rows, method, dimensions=dimensions)
        assert points.shape == (30, dimensions)
        assert points.dtype == np.float32
        assert np.isfinite(points).all()

    def test_keeps_clusters_together(self, method: str) -> None:
        rows, which = clusters()
        points = manifold_map(rows, method)
        apart = np.linalg.norm(points[:, None] - points, axis=2) + np.where(np.eye(60), np.inf, 0)
        assert (which[apart.argmin(axis=1)] == which).all()

    def test_the_same_seed_gives_the_same(self, method: str) -> None:
        rows, _ = clusters(30)
        np.testing.assert_allclose(manifold_map(rows, method, seed=2), manifold_map(rows, method, seed=2), rtol=1e-4)

    def test_four_rows_are_enough_for_two_dimensions(self, method: str) -> None:
        rows, _ = clusters(4)
        assert np.isfinite(manifold_map(rows, method)).all()
        with pytest.raises(UsageError, match="got 3 vectors to embed in 2 dimensions; expected at least 4: add images"):
            manifold_map(rows[:3], method)

    def test_equal_rows_give_finite_points(self, method: str) -> None:
        rows, _ = clusters(12)
        assert np.isfinite(manifold_map(np.repeat(rows, 4, axis=0), method)).all()
        assert np.isfinite(manifold_map(np.ones((20, 4), np.float32), method)).all()

    def test_rows_of_one_component(self, method: str) -> None:
        rows = np.arange(20, dtype=np.float32)[:, None]
        points = manifold_map(rows, method, neighbours=4)
        assert points.shape == (20, 2)
        assert np.isfinite(points).all()

    def test_has_a_summary_and_a_source(self, method: str) -> None:
        assert MAPS[method].summary
        assert MAPS[method].source


def test_mds_is_classical_scaling_of_euclidean_distances() -> None:
    rows, _ = clusters(25)
    squares = ((rows[:, None].astype(np.float64) - rows) ** 2).sum(axis=2)
    expected, _ = classical_mds(squares, 3)
    points = manifold_map(rows, "mds", dimensions=3)
    signs = np.sign((points * expected).sum(axis=0))
    np.testing.assert_allclose(points, signs * expected, rtol=1e-3, atol=1e-3)


def test_parameters_reach_the_function() -> None:
    calls: list[dict[str, Any]] = []

    def mine(rows: NDArray[np.float32], **options: Any) -> NDArray[np.float32]:
        calls.append(options)
        return rows[:, : options["dimensions"]]

    rows, _ = clusters(30)
    np.testing.assert_array_equal(manifold_map(rows, mine, dimensions=3, neighbours=7, seed=5), rows[:, :3])
    assert calls == [{"dimensions": 3, "neighbours": 7, "seed": 5}]


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("tsn", {}, "unknown map 'tsn'; did you mean 'tsne'"),
        ("umap?!", {}, "unknown map 'umap\\?!'; known: tsne, isomap, mds, spectral|did you mean"),
        ("tsne", {"dimensions": 4}, "dimensions: got 4; expected at most 3 for t-SNE"),
        ("mds", {"dimensions": 0}, "dimensions: got 0"),
        ("isomap", {"neighbours": 0}, "neighbours: got 0"),
    ],
)
def test_invalid_arguments(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        manifold_map(clusters(30)[0], method, **options)


def test_missing_packages_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "find_spec", lambda _: None)
    monkeypatch.setattr(embedding, "find_spec", lambda _: None)
    rows, _ = clusters(30)
    assert manifold_map(rows, "mds").shape == (30, 2)  # needs none
    for method in ("tsne", "isomap", "spectral"):
        with pytest.raises(MissingExtra, match="pip install matplotlib scikit-learn scipy"):
            manifold_map(rows, method)
    with pytest.raises(MissingExtra, match="the manifold 'spectral' needs"):
        ManifoldEmbedding.fit(rows, dimension=4)
