"""Robust estimation: planted changes of view are found among wrong pairs, and nothing is found in chance."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.rerank.estimation import Estimate, Matrix, Model, Points, estimate

TILTED = np.array([(0.7, -0.25, 60.0), (0.2, 0.6, 30.0), (4e-4, -9e-4, 1.0)])
"""Turned, reduced, and seen askew: the far edge is a third shorter than the near one."""
AFFINE = np.array([(0.9, 0.4, -20.0), (-0.1, 0.6, 80.0), (0.0, 0.0, 1.0)])
SCALES = (0.05, 20.0)


def _project(matrix: Matrix, points: NDArray[np.floating[Any]]) -> Matrix:
    mapped: Matrix = np.c_[points, np.ones(len(points))] @ matrix.T
    return mapped[:, :2] / mapped[:, 2:]


def _pairs(matrix: Matrix, right: int, wrong: int, *, noise: float = 0.0, seed: int = 0) -> tuple[Points, Points]:
    """Points of an image of 400 × 300 pixels and where they are seen, the right ones first."""
    random = np.random.default_rng(seed)
    ours = random.random((right + wrong, 2)) * (400, 300)
    theirs = _project(matrix, ours) + random.normal(size=ours.shape) * noise
    theirs[right:] = random.random((wrong, 2)) * (400, 300)
    return ours.astype(np.float32), theirs.astype(np.float32)


def _estimate(ours: Points, theirs: Points, **options: Any) -> Estimate | None:
    settings: dict[str, Any] = {"tolerance": 3.0, "model": "homography", "least": 8, "scales": SCALES}
    return estimate(ours, theirs, **settings | options)


@pytest.mark.parametrize(("model", "matrix"), [("homography", TILTED), ("affine", AFFINE)])
@pytest.mark.parametrize(("right", "wrong"), [(12, 0), (12, 24), (20, 60), (60, 140)])
class TestPlanted:
    def test_is_found_among_wrong_pairs(self, model: Model, matrix: Matrix, right: int, wrong: int) -> None:
        found = _estimate(*_pairs(matrix, right, wrong), model=model)
        assert found is not None
        assert (found.distances[:right] < 3).all()
        corners = np.array([(0.0, 0), (400, 0), (400, 300), (0, 300)])
        np.testing.assert_allclose(_project(found.matrix, corners), _project(matrix, corners), atol=6)

    def test_distances_are_those_of_the_matrix(self, model: Model, matrix: Matrix, right: int, wrong: int) -> None:
        ours, theirs = _pairs(matrix, right, wrong, noise=1.0, seed=1)
        found = _estimate(ours, theirs, model=model)
        assert found is not None
        distances = np.linalg.norm(_project(found.matrix, ours) - theirs, axis=1)
        near = distances < 100
        np.testing.assert_allclose(found.distances[near], distances[near], rtol=1e-3, atol=1e-2)
        assert (distances[:right] < 3).mean() >= 0.9


def test_right_pairs_alone_give_the_matrix_itself() -> None:
    found = _estimate(*_pairs(TILTED, 30, 0))
    assert found is not None
    np.testing.assert_allclose(found.matrix, TILTED, rtol=2e-3, atol=1e-6)


def test_an_affine_map_is_that_of_least_squares() -> None:
    ours, theirs = _pairs(AFFINE, 40, 0, noise=0.3)
    found = _estimate(ours, theirs, model="affine", tolerance=20.0)
    assert found is not None
    expected = np.linalg.lstsq(np.c_[ours, np.ones(40)].astype(np.float64), theirs.astype(np.float64), rcond=None)[0]
    np.testing.assert_allclose(found.matrix[:2], expected.T, atol=1e-3)


@pytest.mark.parametrize("count", [8, 20, 45, 46, 200])
def test_chance_gives_nothing(count: int) -> None:
    for seed in range(20):
        random = np.random.default_rng(seed)
        ours, theirs = (random.random((count, 2)).astype(np.float32) * 400 for _ in range(2))
        assert _estimate(ours, theirs, least=max(8, count // 6)) is None


def test_the_result_does_not_depend_on_units_or_origin() -> None:
    ours, theirs = _pairs(TILTED, 20, 30, noise=0.5)
    plain = _estimate(ours, theirs)
    moved = _estimate(ours * 0.01 + 5, theirs * 50 - 900, tolerance=150.0, scales=(25.0, 1e6))
    assert plain is not None
    assert moved is not None
    assert (plain.distances < 3).tolist() == (moved.distances < 150).tolist()


def test_a_seed_gives_the_same_result_again() -> None:
    ours, theirs = _pairs(TILTED, 30, 170, noise=1.0)
    first, again = (_estimate(ours, theirs, seed=3) for _ in range(2))
    assert first is not None
    assert again is not None
    assert np.array_equal(first.matrix, again.matrix)


def test_similarities_out_of_scale_do_not_count() -> None:
    enlarged = np.diag((8.0, 8.0, 1.0))
    assert _estimate(*_pairs(enlarged, 20, 0), scales=(0.1, 10.0)) is not None
    assert _estimate(*_pairs(enlarged, 20, 0), scales=(0.1, 7.0)) is None


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_too_few_pairs_give_nothing(count: int) -> None:
    ours, theirs = _pairs(TILTED, count, 0)
    assert _estimate(ours, theirs, least=10) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_points_that_are_no_places_give_nothing(value: float) -> None:
    ours, theirs = _pairs(TILTED, 20, 0)
    for points in (ours, theirs):
        changed = points.copy()
        changed[3] = value
        assert _estimate(*((changed, theirs) if points is ours else (ours, changed))) is None


def test_points_at_one_place_or_on_a_line_give_nothing() -> None:
    one = np.full((20, 2), 7, np.float32)
    line = np.repeat(np.linspace(0, 300, 20, dtype=np.float32)[:, None], 2, axis=1)
    for ours, theirs in ((one, one), (line, one), (one, line), (line, line)):
        assert _estimate(ours, theirs) is None


@pytest.mark.parametrize("tilt", [0, 30, 60])
def test_what_is_seen_askew_is_found_by_a_third_of_the_pairs(tilt: int) -> None:
    found = []
    for seed in range(30):
        random = np.random.default_rng(seed)
        ours, theirs = _pairs(_seen_from(tilt, random.uniform(0, 360)), 12, 24, noise=0.8, seed=seed)
        each = _estimate(ours, theirs)
        found.append(0 if each is None else int((each.distances[:12] < 3).sum()))
    assert np.mean(np.array(found) >= 9) >= 0.9


def _seen_from(tilt: float, turn: float) -> Matrix:
    """Map an image of 400 × 300 pixels to what a camera in front of it sees, turned by `tilt` degrees in depth."""
    a, b = np.deg2rad([tilt, turn])
    about_x = np.array([(1, 0, 0), (0, np.cos(a), -np.sin(a)), (0, np.sin(a), np.cos(a))])
    about_z = np.array([(np.cos(b), -np.sin(b), 0), (np.sin(b), np.cos(b), 0), (0, 0, 1)])
    seen = about_z.T @ about_x @ about_z
    plane = np.column_stack((seen[:, 0], seen[:, 1], (0, 0, 600.0)))
    camera = np.array([(480.0, 0, 200), (0, 480, 150), (0, 0, 1)])
    matrix: Matrix = camera @ plane @ np.array([(1.0, 0, -200), (0, 1, -150), (0, 0, 1)])
    scaled: Matrix = matrix / matrix[2, 2]
    return scaled
