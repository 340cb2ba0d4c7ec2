from __future__ import annotations

import inspect

import numpy as np
import pytest

from kindred.errors import UsageError
from kindred.features import FEATURES, LocalFeatures


def _features(count: int = 4) -> LocalFeatures:
    points = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    return LocalFeatures(points, np.zeros((count, 3), np.uint8), np.full(count, 2, np.float32), (0, 0, 10, 20))


def test_scaled_moves_points_with_the_image() -> None:
    found = _features().scaled(2, 8)
    assert found.points[3].tolist() == [12, 56]
    assert found.scales.tolist() == [8] * 4  # 2 · √(2 · 8)
    assert found.frame == (0, 0, 20, 160)


def test_moved_adds_the_corner_of_a_crop() -> None:
    found = _features().moved(5, -1)
    assert found.points[1].tolist() == [7, 2]
    assert found.scales.tolist() == [2] * 4
    assert found.frame == (5, -1, 15, 19)


def test_first_keeps_the_strongest() -> None:
    assert _features().first(2).points.tolist() == [[0, 1], [2, 3]]
    assert len(_features().first(9)) == 4


def test_an_unknown_frame_stays_unknown() -> None:
    one = LocalFeatures(np.zeros((1, 2), np.float32), np.zeros((1, 3), np.uint8), np.ones(1, np.float32))
    assert one.scaled(2, 2).frame is None
    assert one.moved(2, 2).frame is None


def test_bad_input() -> None:
    with pytest.raises(UsageError, match="x: got 0"):
        _features().scaled(0, 1)
    with pytest.raises(UsageError, match="expected as many of each"):
        LocalFeatures(np.zeros((2, 2), np.float32), np.zeros((1, 3), np.uint8), np.zeros(2, np.float32))
    with pytest.raises(UsageError, match=r"expected \(N, 2\)"):
        LocalFeatures(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.uint8), np.zeros(2, np.float32))


def test_every_entry_is_documented() -> None:
    assert set(FEATURES) == {"sift", "conv", "kin"}
    assert all(entry.summary and entry.source for entry in FEATURES.values())
    for entry in FEATURES.values():
        options = inspect.signature(entry.function).parameters
        assert entry.indexed.keys() | entry.query.keys() <= options.keys()
    assert [FEATURES[name].needs for name in ("sift", "conv", "kin")] == ["image", "map", "network"]
