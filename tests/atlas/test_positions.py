from __future__ import annotations

import numpy as np
import pytest

from kindred.atlas.order import LAST_LEVEL, PER_OCTAVE, distance_of, hilbert_order, levels_of, order_by_level
from kindred.atlas.positions import APART, Landmarks, unit_square
from kindred.errors import UsageError
from kindred.manifold import MAPS

pytest.importorskip("sklearn", reason="maps need the extra maps")


def groups(count: int, *, dimension: int = 16, spread: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Rows of three groups, and the group of each."""
    random = np.random.default_rng(0)
    which = np.arange(count) % 3
    centres = random.standard_normal((3, dimension))
    rows = centres[which] + spread * random.standard_normal((count, dimension))
    return rows.astype(np.float32), which


@pytest.mark.parametrize("method", MAPS)
def test_images_that_are_no_landmarks_lie_in_their_group(method: str) -> None:
    rows, which = groups(300)
    landmarks = Landmarks.fit(rows[:90], method)
    placed = landmarks.place(rows[90:])
    assert placed.shape == (210, 2)
    centres = np.stack([landmarks.points[which[:90] == group].mean(axis=0) for group in range(3)])
    nearest = ((placed[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == which[90:]).mean() > 0.98


def test_a_projection_places_further_rows_exactly() -> None:
    rows, _ = groups(50)
    landmarks = Landmarks.fit(rows, "mds")
    np.testing.assert_allclose(landmarks.place(rows), landmarks.points, atol=1e-4)


def test_a_row_between_two_groups_joins_one_of_them() -> None:
    points = np.array([[0, 0], [0, 1], [1, 0], [10, 10], [10, 11], [11, 10]], np.float32)
    vectors = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)
    between = np.array([[0.1, 0.1, 0.0]], np.float32)  # nearer to the first three
    x, y = Landmarks(vectors, points).place(between)[0]
    assert x < 3
    assert y < 3


def test_placing_depends_on_the_seed_alone() -> None:
    rows, _ = groups(60)
    landmarks = Landmarks.fit(rows[:30], "spectral")
    np.testing.assert_array_equal(landmarks.place(rows[30:], seed=1), landmarks.place(rows[30:], seed=1))
    assert (landmarks.place(rows[30:], seed=1) != landmarks.place(rows[30:], seed=2)).any()


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown map 'tsnee'; did you mean 'tsne'"):
        Landmarks.fit(groups(9)[0], "tsnee")


def test_the_unit_square_preserves_the_shape_of_a_map() -> None:
    points = np.array([[0, 0], [10, 0], [10, 5], [0, 5]], np.float32)
    for given in (points, points[:, ::-1]):  # turned, so that it is wider than high
        places = unit_square(given, "tsne")
        np.testing.assert_allclose(np.sort(places[:, 0]), [0, 0, 1, 1], atol=2 * APART)
        np.testing.assert_allclose(np.sort(places[:, 1]), [0.25, 0.25, 0.75, 0.75], atol=2 * APART)
    apart = [np.hypot(*np.subtract(*places[[a, b]])) for a, b in ((0, 1), (1, 2), (2, 3), (3, 0))]
    np.testing.assert_allclose(apart, [1, 0.5, 1, 0.5], atol=4 * APART)


def test_outliers_are_brought_in_by_ranks() -> None:
    points = np.stack([np.append(np.linspace(0, 1, 99), 1000.0), np.zeros(100)], axis=1).astype(np.float32)
    assert np.ptp(unit_square(points, "tsne")[:99, 0]) < 0.01
    assert np.ptp(unit_square(points, "isomap")[:99, 0]) > 0.5


def test_images_at_the_same_point_are_put_beside_one_another() -> None:
    places = unit_square(np.zeros((40, 2), np.float32), "mds").astype(np.float64)
    apart = np.sqrt(((places[:, None] - places) ** 2).sum(axis=2))[~np.eye(40, dtype=bool)]
    assert apart.min() > 0.5 * APART
    assert np.abs(places - 0.5).max() < 8 * APART


def test_the_curve_visits_neighbours_one_after_the_other() -> None:
    side = 16
    x, y = np.meshgrid((np.arange(side) + 0.5) / side, (np.arange(side) + 0.5) / side)
    points = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
    steps = np.abs(np.diff(points[hilbert_order(points)], axis=0)).sum(axis=1)
    np.testing.assert_allclose(steps, 1 / side, rtol=1e-4)  # every step goes to an adjacent cell


def crowd(count: int) -> np.ndarray:
    """Points of which most lie in one small part of the unit square."""
    random = np.random.default_rng(0)
    dense = 0.5 + 0.01 * random.standard_normal((9 * count // 10, 2))
    return np.concatenate([dense, random.random((count - len(dense), 2))]).clip(0, 1).astype(np.float32)


def least_distance(points: np.ndarray) -> float:
    apart = np.abs(points[:, None].astype(np.float64) - points).max(axis=2)
    return float(apart[~np.eye(len(points), dtype=bool)].min(initial=np.inf))


@pytest.mark.parametrize("seed", [0, 1])
def test_thumbnails_of_a_level_do_not_overlap_and_leave_no_room(seed: int) -> None:
    points = crowd(600)
    levels = levels_of(points, seed=seed)
    for level in range(LAST_LEVEL):
        shown, distance = points[levels <= level], distance_of(level)
        assert least_distance(shown) >= distance * 0.9999
        apart = np.abs(points[levels > level][:, None] - shown).max(axis=2)
        assert apart.min(axis=1).max(initial=0) < distance  # every other one would overlap
    assert distance_of(LAST_LEVEL - 1) < APART


def test_levels_of_images_that_are_shown_already_stay() -> None:
    points = crowd(300)
    first = levels_of(points[:250])
    levels = levels_of(points, known=first)
    assert levels[:250].tolist() == first.tolist()
    for level in range(LAST_LEVEL):
        assert least_distance(points[levels <= level]) >= distance_of(level) * 0.9999


def test_images_at_one_point_share_the_last_level() -> None:
    levels = levels_of(np.full((5, 2), 0.5, np.float32))
    assert sorted(levels.tolist()) == [0, *[LAST_LEVEL] * 4]
    assert levels_of(np.zeros((0, 2), np.float32)).shape == (0,)


def test_the_order_goes_by_octaves_and_then_along_the_curve() -> None:
    points = crowd(500)
    levels = levels_of(points)
    order = order_by_level(points, levels)
    assert sorted(order.tolist()) == list(range(500))
    octaves = levels[order] // PER_OCTAVE
    assert (np.diff(octaves.astype(int)) >= 0).all()
    last = order[octaves == octaves.max()]
    along = np.argsort(hilbert_order(points))
    assert (np.diff(along[last]) > 0).all()
