"""Half precision that compresses: the values that bfloat16 has, in half the bits of a float32."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from kindred._support.halves import compressible_half


def test_values_are_those_of_bfloat16() -> None:
    exact = np.array([1.0, 1 + 2**-7, -3.140625, 0.0], np.float32)
    assert np.array_equal(compressible_half(exact), exact)
    assert compressible_half(np.array([1 + 2**-8, 1 + 3 * 2**-8], np.float32)).tolist() == [
        1.0,
        1 + 2**-6,
    ]  # ties to even
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).normal(size=4000).astype(np.float16).astype(np.float32)
    normal = np.abs(values) > 2.0**-14  # smaller ones have fewer bits in half precision than in bfloat16
    expected = torch.from_numpy(values).bfloat16().float().numpy()
    assert np.array_equal(compressible_half(values)[normal], expected[normal])


def test_it_compresses_better_than_a_plain_half() -> None:
    values = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    plain, rounded = values.astype(np.float16), compressible_half(values)
    assert len(zlib.compress(rounded.tobytes())) < 0.87 * len(zlib.compress(plain.tobytes()))
