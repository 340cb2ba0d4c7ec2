from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.manifold.graph import nearest
from kindred.manifold.isomap import Isomap, classical_mds

pytest.importorskip("scipy", reason="maps need the extra maps")

Matrix = NDArray[np.float64]


def swiss_roll(count: int = 400, seed: int = 0) -> tuple[NDArray[np.float32], Matrix]:
    """A rolled-up sheet (N, 3), and the coordinates (N, 2) on the flat sheet, in the same unit of length."""
    random = np.random.default_rng(seed)
    turn = 1.5 * np.pi * (1 + 2 * random.random(count))
    width = 20 * random.random(count)
    along = (turn * np.sqrt(1 + turn**2) + np.arcsinh(turn)) / 2  # the length of a spiral r = t
    rolled = np.stack([turn * np.cos(turn), width, turn * np.sin(turn)], axis=1)
    return rolled.astype(np.float32), np.stack([along, width], axis=1)


def squared_distances(points: Matrix) -> Matrix:
    count = len(points)
    return np.array([[((points[i] - points[j]) ** 2).sum() for j in range(count)] for i in range(count)])


def fits(found: NDArray[np.floating], wanted: Matrix) -> float:
    """The fraction of the variance of `wanted` explained by a rotated, shifted and scaled `found` (Procrustes)."""
    a, b = found - found.mean(axis=0), wanted - wanted.mean(axis=0)
    _, singular, _ = np.linalg.svd(a.T @ b)
    return float(singular.sum() ** 2 / ((a**2).sum() * (b**2).sum()))


class TestClassicalMDS:
    def test_equals_the_eigenvectors_of_the_centred_matrix(self) -> None:
        squares = squared_distances(np.random.default_rng(0).standard_normal((9, 4)))
        centring = np.eye(9) - np.full((9, 9), 1 / 9)
        values, vectors = np.linalg.eigh(-0.5 * centring @ squares @ centring)
        expected = (vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1][:, :3]
        points, _ = classical_mds(squares, 3)
        signs = np.sign((points * expected).sum(axis=0))
        np.testing.assert_allclose(points, signs * expected, atol=1e-9)

    def test_restores_points_from_their_distances(self) -> None:
        squares = squared_distances(np.random.default_rng(0).standard_normal((9, 4)))
        points, _ = classical_mds(squares, 4)
        np.testing.assert_allclose(squared_distances(points), squares, atol=1e-9)

    def test_the_projection_is_exact_for_fitted_rows_and_correct_for_others(self) -> None:
        given = np.random.default_rng(0).standard_normal((12, 2))
        squares = squared_distances(given)[:10, :10]
        points, projection = classical_mds(squares, 2)
        means = squares.mean(axis=0)
        np.testing.assert_allclose(-0.5 * (squares - means) @ projection, points, atol=1e-9)
        others = np.array([[((given[i] - given[j]) ** 2).sum() for j in range(10)] for i in (10, 11)])
        placed = -0.5 * (others - means) @ projection
        together = np.vstack([points, placed])
        np.testing.assert_allclose(squared_distances(together), squared_distances(given), atol=1e-8)

    def test_dimensions_are_at_most_the_rank(self) -> None:
        points, projection = classical_mds(squared_distances(np.arange(5.0)[:, None]), 3)
        assert points.shape == projection.shape == (5, 1)


class TestIsomap:
    @pytest.mark.parametrize("landmarks", [None, 60])
    def test_unrolls_a_swiss_roll(self, landmarks: int | None) -> None:
        rolled, flat = swiss_roll()
        fitted = Isomap.fit(rolled, dimension=2, neighbours=8, landmarks=landmarks)
        assert fits(fitted.coordinates, flat) > 0.985
        assert fits(rolled[:, :2], flat) < 0.6  # what it has to undo

    def test_equals_scikit_learn(self) -> None:
        manifold = pytest.importorskip("sklearn.manifold")
        rolled, _ = swiss_roll(200)
        theirs = manifold.Isomap(n_neighbors=8, n_components=2).fit(rolled)
        ours = Isomap.fit(rolled, dimension=2, neighbours=8)
        signs = np.sign((ours.coordinates * theirs.embedding_).sum(axis=0))
        np.testing.assert_allclose(ours.coordinates, signs * theirs.embedding_, rtol=1e-3, atol=0.02)
        others, _ = swiss_roll(20, seed=1)
        np.testing.assert_allclose(
            ours.extend(*nearest(rolled, others, 8)), signs * theirs.transform(others), rtol=1e-3, atol=0.02
        )

    @pytest.mark.parametrize("landmarks", [None, 60])
    def test_a_fitted_row_is_projected_to_its_own_coordinates(self, landmarks: int | None) -> None:
        rolled, _ = swiss_roll(200)
        fitted = Isomap.fit(rolled, dimension=2, neighbours=8, landmarks=landmarks)
        again = fitted.extend(*nearest(rolled, rolled[:50], fitted.reach))
        np.testing.assert_allclose(again, fitted.coordinates[:50], atol=1e-2)

    def test_geodesic_distances_are_shortest_paths(self) -> None:
        bow = np.array([[np.cos(angle), np.sin(angle)] for angle in np.linspace(0, 5, 40)], np.float32)
        fitted = Isomap.fit(bow, dimension=2, neighbours=2)
        steps = [float(np.linalg.norm(b - a)) for a, b in pairwise(bow)]
        for i in (4, 7, 35):  # the first and the last rows have a link over two steps
            for j in (4, 20, 35):
                assert fitted.geodesics[i, j] == pytest.approx(sum(steps[min(i, j) : max(i, j)]), rel=1e-4, abs=1e-6)

    def test_distant_components_are_embedded_together(self) -> None:
        random = np.random.default_rng(0)
        given = random.standard_normal((60, 3)).astype(np.float32)
        given[30:] += 1000
        points = Isomap.fit(given, dimension=2, neighbours=5).coordinates
        assert np.isfinite(points).all()
        between = np.linalg.norm(points[:30].mean(axis=0) - points[30:].mean(axis=0))
        assert between == pytest.approx(1000 * 3**0.5, rel=0.01)
