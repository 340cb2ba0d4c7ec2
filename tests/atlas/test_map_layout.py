from __future__ import annotations

import numpy as np
import pytest

from kindred.atlas import lay_out
from kindred.atlas.layout import FILLED


@pytest.mark.parametrize("count", [1, 2, 3, 10, 257])
def test_every_point_has_a_cell_of_its_own(count: int) -> None:
    points = np.random.default_rng(0).standard_normal((count, 2))
    layout = lay_out(points)
    assert layout.cells.shape == (count, 2)
    assert len({tuple(cell) for cell in layout.cells.tolist()}) == count
    assert layout.cells.min() >= 0
    assert (layout.cells < (layout.columns, layout.rows)).all()
    assert layout.columns * layout.rows >= count / FILLED


def test_points_on_a_grid_stay_on_it() -> None:
    x, y = np.meshgrid(np.arange(8), np.arange(8))
    layout = lay_out(np.stack([x.ravel(), y.ravel()], axis=1).astype(float))
    columns, rows = layout.cells[:, 0].reshape(8, 8), layout.cells[:, 1].reshape(8, 8)
    assert (np.diff(columns, axis=1) > 0).all()
    assert (np.diff(rows, axis=0) < 0).all()  # the second axis points up, rows are counted from the top


def test_clusters_lie_together() -> None:
    random = np.random.default_rng(0)
    which = np.arange(200) % 2
    points = random.standard_normal((200, 2)) + np.where(which, 20, 0)[:, None]
    layout = lay_out(points)
    along = layout.cells[:, 0] - layout.cells[:, 1]  # from the corner at the lower left to the other
    assert along[which == 0].max() < along[which == 1].min()


def test_equal_points_fill_a_patch() -> None:
    layout = lay_out(np.zeros((50, 2)))
    middle = (np.array([layout.columns, layout.rows]) - 1) / 2
    assert np.abs(layout.cells - middle).max() <= 6


@pytest.mark.parametrize(("stretch", "wider"), [(100.0, True), (0.01, False)])
def test_the_map_has_the_shape_of_the_points_within_bounds(stretch: float, wider: bool) -> None:
    points = np.random.default_rng(0).standard_normal((300, 2)) * (stretch, 1)
    layout = lay_out(points)
    assert (layout.columns > layout.rows) == wider
    assert 0.6 < layout.columns / layout.rows < 1.7


def test_no_swap_of_neighbours_would_help() -> None:
    points = np.random.default_rng(0).standard_normal((80, 2))
    layout = lay_out(points)
    order = np.argsort(np.argsort(points, axis=0), axis=0)
    share = (points - points.min(axis=0)) / np.ptp(points, axis=0)
    places = (share + (order + 0.5) / 80) / 2
    wanted = np.stack([places[:, 0] * layout.columns, (1 - places[:, 1]) * layout.rows], axis=1) - 0.5
    at = {tuple(cell): number for number, cell in enumerate(layout.cells.tolist())}

    def cost(number: int | None, cell: tuple[int, int]) -> float:
        return 0.0 if number is None else float(((wanted[number] - cell) ** 2).sum())

    for column in range(layout.columns):
        for row in range(layout.rows):
            for other in ((column + 1, row), (column, row + 1)):
                if other[0] < layout.columns and other[1] < layout.rows:
                    one, two = at.get((column, row)), at.get(other)
                    now = cost(one, (column, row)) + cost(two, other)
                    assert cost(one, other) + cost(two, (column, row)) > now - 1e-6
