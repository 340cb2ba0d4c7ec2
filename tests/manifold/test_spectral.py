from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.manifold.graph import connect_components, mutual_graph, nearest, nearest_others
from kindred.manifold.spectral import Spectral

pytest.importorskip("scipy", reason="maps need the extra maps")


def circle(count: int, *, turn: float = 0.0) -> NDArray[np.float32]:
    """Rows (N, 6): a circle, bent into six dimensions."""
    angles = 2 * np.pi * np.arange(count) / count + turn
    waves = [f(k * angles) / k for k in (1, 2, 3) for f in (np.cos, np.sin)]
    return np.stack(waves, axis=1).astype(np.float32)


def blobs(seed: int = 0, count: int = 40, apart: float = 3.0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    centres = apart * np.repeat(random.standard_normal((4, 5)), count, axis=0)
    return (centres + random.standard_normal((4 * count, 5))).astype(np.float32)


def by_hand(rows: NDArray[np.float32], neighbours: int, alpha: float, dimension: int) -> NDArray[np.float64]:
    """The definition, dense and literal: eigenvectors of the generalised problem L y = (1 − λ) D y."""
    lengths, places = nearest_others(rows, neighbours)
    graph = connect_components(mutual_graph(lengths, places, always=max(1, neighbours // 3)), rows).toarray()
    scales = lengths[:, max(1, neighbours // 2) - 1]
    count = len(rows)
    weights = np.eye(count)
    for i in range(count):
        for j in range(count):
            if graph[i, j] > 0:
                weights[i, j] = max(np.exp(-(graph[i, j] ** 2) / (scales[i] * scales[j])), 1e-4)
    degrees = weights.sum(axis=1)
    walk = weights / degrees[:, None]  # D⁻¹ W: not symmetric, but the same eigenvalues
    values, vectors = np.linalg.eig(walk)
    order = np.argsort(-values.real)[1 : dimension + 1]
    values, vectors = values.real[order], vectors.real[:, order]
    vectors = vectors / np.sqrt((degrees[:, None] * vectors**2).sum(axis=0))  # y D y = 1
    coordinates = vectors / np.sqrt(1 - alpha * values)
    scaled: NDArray[np.float64] = coordinates * np.sqrt(count) / np.linalg.norm(coordinates[:, 0])
    return scaled


@pytest.mark.parametrize(("count", "alpha"), [(15, 0.98), (40, 0.0), (40, 0.98)])  # dense and sparse solver
def test_equals_the_definition(count: int, alpha: float) -> None:
    rows = blobs(count=count)
    expected = by_hand(rows, 9, alpha, 4)
    found = Spectral.fit(rows, dimension=4, neighbours=9, alpha=alpha)
    signs = np.sign((found.coordinates * expected).sum(axis=0))
    np.testing.assert_allclose(found.coordinates, signs * expected, rtol=2e-3, atol=2e-3)
    assert (np.diff(found.eigenvalues) <= 0).all()
    assert found.eigenvalues[0] < 1


def test_finds_the_circle() -> None:
    rows = circle(100)
    points = Spectral.fit(rows, dimension=2, neighbours=6, alpha=0.0).coordinates
    radii = np.linalg.norm(points, axis=1)
    np.testing.assert_allclose(radii, radii.mean(), rtol=0.02)
    angles = np.unwrap(np.arctan2(points[:, 1], points[:, 0]))
    np.testing.assert_allclose(np.abs(np.diff(angles)), 2 * np.pi / 100, rtol=0.05)


def test_new_points_lie_between_their_neighbours_on_the_circle() -> None:
    rows = circle(100)
    fitted = Spectral.fit(rows, dimension=2, neighbours=6, alpha=0.0)
    between = fitted.extend(*nearest(rows, circle(100, turn=np.pi / 100), fitted.reach))
    expected = (fitted.coordinates + np.roll(fitted.coordinates, -1, axis=0)) / 2
    cosines = (between * expected).sum(axis=1) / np.linalg.norm(between, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.999


def test_the_extension_equals_a_loop() -> None:
    rows, queries = blobs(), blobs(seed=3)[::20]
    fitted = Spectral.fit(rows, dimension=5, neighbours=8)
    lengths, places = nearest(rows, queries, fitted.reach)
    found = fitted.extend(lengths, places)
    for query in range(len(queries)):
        own = lengths[query, -1]
        weights = [
            np.exp(-(d**2) / (own * fitted.scales[j])) for d, j in zip(lengths[query], places[query], strict=True)
        ]
        mean = sum(w * fitted.coordinates[j] for w, j in zip(weights, places[query], strict=True)) / sum(weights)
        np.testing.assert_allclose(found[query], mean / fitted.eigenvalues, rtol=1e-4, atol=1e-5)


def test_disconnected_clusters_are_separated() -> None:
    rows = blobs(apart=100.0)
    fitted = Spectral.fit(rows, dimension=3, neighbours=6)
    points = fitted.coordinates / np.linalg.norm(fitted.coordinates, axis=1, keepdims=True)
    cosines = points @ points.T
    same = np.arange(160)[:, None] // 40 == np.arange(160) // 40
    assert cosines[same].min() > 0.99
    assert cosines[~same].max() < 0.5


def test_equal_rows_give_finite_coordinates() -> None:
    rows = np.repeat(blobs(count=5), 12, axis=0)
    fitted = Spectral.fit(rows, dimension=4, neighbours=6)
    assert np.isfinite(fitted.coordinates).all()
    assert np.isfinite(fitted.extend(*nearest(rows, rows[:5], fitted.reach))).all()
    everything = Spectral.fit(np.ones((20, 3), np.float32), dimension=2, neighbours=5)
    assert np.isfinite(everything.coordinates).all()


def test_the_same_seed_gives_the_same() -> None:
    rows = blobs()
    one, other = (Spectral.fit(rows, dimension=6, neighbours=8, seed=1).coordinates for _ in range(2))
    np.testing.assert_array_equal(one, other)
