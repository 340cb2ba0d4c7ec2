from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindred.errors import LibraryDamaged, UsageError
from kindred.features import LocalFeatures, from_bytes, to_bytes


def _features(count: int = 50, dtype: Any = np.uint8, *, framed: bool = True, seed: int = 0) -> LocalFeatures:
    random = np.random.default_rng(seed)
    points = (random.random((count, 2)) * (4000, 3000)).astype(np.float32)
    if dtype is np.uint8:
        descriptors: Any = random.integers(0, 256, (count, 128), dtype=np.uint8)
    else:
        descriptors = random.standard_normal((count, 40)).astype(np.float32)
    scales = (random.random(count) * 90).astype(np.float32)
    return LocalFeatures(points, descriptors, scales, (0.0, 0.0, 4000.5, 3000.0) if framed else None)


@pytest.mark.parametrize("framed", [True, False])
def test_bytes_come_back_as_they_were(framed: bool) -> None:
    before = _features(framed=framed)
    after = from_bytes(to_bytes(before))
    np.testing.assert_array_equal(after.descriptors, before.descriptors)
    np.testing.assert_allclose(after.points, before.points, atol=4000 / 65535)
    np.testing.assert_allclose(after.scales, before.scales, rtol=1e-3)
    assert after.frame == before.frame
    assert after.points.dtype == after.scales.dtype == np.float32
    assert after.descriptors.dtype == np.uint8


def test_float_descriptors_come_back_within_half_a_step() -> None:
    before = _features(dtype=np.float32)
    after = from_bytes(to_bytes(before))
    step = (before.descriptors.max() - before.descriptors.min()) / 255
    assert after.descriptors.dtype == np.float32
    np.testing.assert_allclose(after.descriptors, before.descriptors, atol=0.51 * step)


def test_134_bytes_for_a_point() -> None:
    assert len(to_bytes(_features(51))) - len(to_bytes(_features(50))) == 134


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_no_point_and_one(dtype: Any) -> None:
    for count in (0, 1):
        before = _features(count, dtype)
        after = from_bytes(to_bytes(before))
        np.testing.assert_array_equal(after.points, before.points)
        assert after.descriptors.shape == before.descriptors.shape
        assert after.descriptors.dtype == before.descriptors.dtype


def test_the_same_bytes_again() -> None:
    data = to_bytes(_features())
    assert to_bytes(from_bytes(data)) == data


@given(st.integers(0, 6900), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place: int, change: int) -> None:
    data = bytearray(to_bytes(_features()))
    data[place % len(data)] ^= change
    with pytest.raises(LibraryDamaged, match="local features"):
        from_bytes(bytes(data))


@given(st.binary(max_size=300) | st.integers(0, 6000).map(lambda length: to_bytes(_features())[:length]))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(LibraryDamaged, match="index the image again"):
        from_bytes(data)


def test_values_that_are_not_finite_are_refused() -> None:
    bad = LocalFeatures(np.full((1, 2), np.nan, np.float32), np.zeros((1, 3), np.uint8), np.ones(1, np.float32))
    with pytest.raises(UsageError, match="finite"):
        to_bytes(bad)
