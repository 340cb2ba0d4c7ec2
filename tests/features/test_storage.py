from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindred.errors import LibraryDamaged, UsageError
from kindred.features import LocalFeatures, from_bytes, to_bytes
from kindred.features.storage import CHECK, HEADER


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
def test_byte_descriptors_are_restored_exactly(framed: bool) -> None:
    before = _features(framed=framed)
    after = from_bytes(to_bytes(before))
    np.testing.assert_array_equal(after.descriptors, before.descriptors)
    np.testing.assert_allclose(after.points, before.points, atol=4000 / 65535)
    np.testing.assert_allclose(after.scales, np.maximum(before.scales, 2.0**-4), rtol=0.022)
    assert after.frame == before.frame
    assert after.points.dtype == after.scales.dtype == np.float32
    assert after.descriptors.dtype == np.uint8


def test_float_descriptors_are_restored_within_half_a_step() -> None:
    before = _features(dtype=np.float32)
    after = from_bytes(to_bytes(before))
    step = (before.descriptors.max() - before.descriptors.min()) / 255
    assert after.descriptors.dtype == np.float32
    np.testing.assert_allclose(after.descriptors, before.descriptors, atol=0.51 * step)


@pytest.mark.parametrize(("bits", "size"), [(8, 133), (5, 85), (4, 69), (3, 53), (1, 21)])
def test_bytes_for_a_point(bits: int, size: int) -> None:
    assert len(to_bytes(_features(51), bits=bits)) - len(to_bytes(_features(50), bits=bits)) == size


@pytest.mark.parametrize("bits", range(2, 8))
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_fewer_bits_are_equal_steps_over_most_of_the_range(bits: int, dtype: Any) -> None:
    before = _features(dtype=dtype)
    after = from_bytes(to_bytes(before, bits=bits))
    low, high = np.quantile(before.descriptors, (0.0005, 0.9995))
    step = (high - low) / (2**bits - 1)
    assert after.descriptors.dtype == before.descriptors.dtype
    assert len(np.unique(after.descriptors)) <= 2**bits
    clipped = np.clip(before.descriptors.astype(np.float64), low, high)
    assert np.abs(after.descriptors - clipped).max() <= 0.51 * step + (0.5 if dtype is np.uint8 else 0)


def test_one_bit_is_a_sign() -> None:
    before = _features(dtype=np.float32)
    after = from_bytes(to_bytes(before, bits=1))
    np.testing.assert_array_equal(after.descriptors, np.where(before.descriptors > 0, 1, -1))
    assert after.descriptors.dtype == np.float32
    of_bytes = _features()
    expected = np.where(of_bytes.descriptors > of_bytes.descriptors.mean(), 1, -1)
    np.testing.assert_array_equal(from_bytes(to_bytes(of_bytes, bits=1)).descriptors, expected)


def test_scales_from_none_to_very_large() -> None:
    before = _features(4)
    scales = np.array([0, 1e-9, 3000, 1e9], np.float32)
    after = from_bytes(to_bytes(LocalFeatures(before.points, before.descriptors, scales)))
    np.testing.assert_allclose(after.scales, [0, 2.0**-4, 3000, 2.0 ** (-4 + 254 / 16)], rtol=0.022)


@pytest.mark.parametrize("bits", [0, 9, -1])
def test_bits_out_of_range_are_refused(bits: int) -> None:
    with pytest.raises(UsageError, match="expected 1 to 8"):
        to_bytes(_features(), bits=bits)


def test_the_first_format_is_refused_in_one_sentence() -> None:
    data = bytearray(to_bytes(_features()))
    data[3] = 1
    with pytest.raises(
        LibraryDamaged,
        match=r"^local features: format 1, expected 2; describe the image again with kindred i",
    ):
        from_bytes(bytes(data))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_no_points_and_one_point(dtype: Any) -> None:
    for count in (0, 1):
        before = _features(count, dtype)
        after = from_bytes(to_bytes(before))
        np.testing.assert_array_equal(after.points, before.points)
        assert after.descriptors.shape == before.descriptors.shape
        assert after.descriptors.dtype == before.descriptors.dtype


def test_serialisation_is_deterministic() -> None:
    data = to_bytes(_features())
    assert to_bytes(from_bytes(data)) == data


@given(st.integers(0, 6900), st.integers(1, 255))
def test_a_changed_byte_is_detected(place: int, change: int) -> None:
    data = bytearray(to_bytes(_features()))
    data[place % len(data)] ^= change
    with pytest.raises(LibraryDamaged, match="local features"):
        from_bytes(bytes(data))


@given(st.binary(max_size=300) | st.integers(0, 6000).map(lambda length: to_bytes(_features())[:length]))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(LibraryDamaged, match="describe the image again"):
        from_bytes(data)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -3e38])
def test_a_header_whose_numbers_are_no_numbers_is_refused(value: float) -> None:
    data = to_bytes(_features())
    facts = HEADER.unpack_from(data)
    for place in range(7, len(facts)):
        header = HEADER.pack(*facts[:place], value, *facts[place + 1 :])
        body = header + data[HEADER.size : -CHECK.size]
        with pytest.raises(LibraryDamaged, match="describe the image again"):
            from_bytes(body + CHECK.pack(zlib.crc32(body)))


def test_values_that_are_not_finite_are_refused() -> None:
    bad = LocalFeatures(np.full((1, 2), np.nan, np.float32), np.zeros((1, 3), np.uint8), np.ones(1, np.float32))
    with pytest.raises(UsageError, match="finite"):
        to_bytes(bad)
