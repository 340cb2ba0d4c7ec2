from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.features import ConvMap, conv
from kindred.features.conv import Strength

FRAME = (10.0, 20.0, 10.0 + 9 * 16, 20.0 + 6 * 8)  # cells of 16 × 8 pixels


def _map(seed: int = 0) -> ConvMap:
    values = np.maximum(np.random.default_rng(seed).standard_normal((5, 6, 9)), 0).astype(np.float32)
    values[:, 2, 3] = 0
    return ConvMap(values, FRAME)


def _literal(values: NDArray[np.float32], strength: str) -> list[tuple[float, int, int]]:
    """(strength, y, x) of every position that has any, by the definition, best first."""
    channels, height, width = values.shape
    found = []
    for y in range(height):
        for x in range(width):
            column = values[:, y, x]
            if strength == "norm":
                score = float(np.sqrt(sum(float(v) ** 2 for v in column)))
            else:
                best = max(range(channels), key=lambda c: column[c])
                around = [
                    values[best, v, u]
                    for v in range(max(0, y - 1), min(height, y + 2))
                    for u in range(max(0, x - 1), min(width, x + 2))
                ]
                score = float(column[best]) if column[best] >= max(around) else 0.0
            if score > 0:
                found.append((score, y, x))
    return sorted(found, key=lambda each: -each[0])


@pytest.mark.parametrize("strength", ["norm", "maxima"])
@pytest.mark.parametrize("count", [3, 1000])
def test_equals_its_definition(strength: Strength, count: int) -> None:
    given = _map()
    found = conv(given, count=count, strength=strength)
    expected = _literal(given.values, strength)[:count]
    assert len(found) == len(expected)
    for point, descriptor, (_, y, x) in zip(found.points, found.descriptors, expected, strict=True):
        assert point.tolist() == [10 + (x + 0.5) * 16, 20 + (y + 0.5) * 8]
        column = given.values[:, y, x]
        np.testing.assert_allclose(descriptor, column / np.linalg.norm(column), rtol=1e-6)
    np.testing.assert_allclose(found.scales, np.sqrt(16 * 8) / 2)
    assert found.frame == FRAME


def test_a_map_of_zeros_has_no_features() -> None:
    found = conv(ConvMap(np.zeros((5, 3, 4), np.float32), (0, 0, 4, 3)))
    assert found.points.shape == (0, 2)
    assert found.descriptors.shape == (0, 5)


def test_one_cell() -> None:
    found = conv(ConvMap(np.ones((2, 1, 1), np.float32), (0, 0, 30, 20)), strength="maxima")
    assert found.points.tolist() == [[15, 10]]


def test_bad_input() -> None:
    with pytest.raises(UsageError, match="expected 'norm' or 'maxima'"):
        conv(_map(), strength="loud")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="count"):
        conv(_map(), count=0)
    with pytest.raises(UsageError, match="at least one cell"):
        ConvMap(np.zeros((5, 0, 4), np.float32), FRAME)
    with pytest.raises(UsageError, match="x0 < x1"):
        ConvMap(np.zeros((5, 2, 4), np.float32), (5, 0, 5, 9))
