from __future__ import annotations

import numpy as np
import pytest

from kindred.embedding import Codebook, WordQuantizer
from kindred.errors import ModelError, UsageError

D, K = 80, 12


def _quantizer(seed: int = 0) -> WordQuantizer:
    centres = np.random.default_rng(seed).standard_normal((K, D)).astype(np.float32)
    return WordQuantizer(Codebook(centres / np.linalg.norm(centres, axis=1, keepdims=True)))


def _descriptors(count: int, seed: int = 1) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal((count, D)).astype(np.float32)


def _bits(signatures: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.array([[int(each) >> bit & 1 for bit in range(64)] for each in signatures.tolist()], np.uint8)


def test_a_bit_is_the_side_of_the_mean_along_an_orthonormal_direction() -> None:
    quantizer, rows = _quantizer(), _descriptors(40)
    words, signatures, _ = quantizer.quantize(rows)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    nearest = ((unit[:, None] - quantizer.codebook.centres) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(words, nearest)
    drawn = np.random.RandomState(0).standard_normal((D, 64))
    directions, triangle = np.linalg.qr(drawn)
    directions = directions * np.sign(np.diag(triangle))
    np.testing.assert_allclose(directions.T @ directions, np.eye(64), atol=1e-12)
    expected = (unit - quantizer.codebook.centres[nearest]) @ directions > 0
    assert (_bits(signatures) == expected).mean() > 0.999  # but for rounding at the border
    assert [words.dtype.name, signatures.dtype.name] == ["uint16", "uint64"]


def test_near_descriptors_have_near_signatures() -> None:
    quantizer, rows = _quantizer(), _descriptors(200)
    words, signatures, _ = quantizer.quantize(rows)
    moved = rows + 0.1 * _descriptors(200, seed=2)
    again, others, _ = quantizer.quantize(moved)
    same = words == again
    assert same.mean() > 0.8
    near = np.bitwise_count(signatures ^ others)[same]
    stranger = np.bitwise_count(signatures ^ np.roll(signatures, 1))[words == np.roll(words, 1)]
    assert near.mean() < 8 < 20 < stranger.mean()


def test_multiple_assignment_returns_consecutive_words_with_signatures() -> None:
    quantizer, rows = _quantizer(), _descriptors(9)
    words, signatures, _ = quantizer.quantize(rows, multiple=3)
    first, own, _ = quantizer.quantize(rows)
    np.testing.assert_array_equal(words[::3], first)
    np.testing.assert_array_equal(signatures[::3], own)
    assert all(len(set(words[at : at + 3].tolist())) == 3 for at in range(0, 27, 3))
    assert len(signatures) == 27


def test_no_descriptors_give_no_words() -> None:
    words, signatures, _ = _quantizer().quantize(np.zeros((0, 1), np.uint8))
    assert words.shape == signatures.shape == (0,)


def test_is_restored_from_arrays() -> None:
    quantizer, rows = _quantizer(), _descriptors(20)
    again = WordQuantizer.from_arrays(quantizer.to_arrays())
    for one, other in zip(quantizer.quantize(rows)[:2], again.quantize(rows)[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ModelError, match="codebook"):
        WordQuantizer.from_arrays({})


def test_an_unsuitable_codebook_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 64 components"):
        WordQuantizer(Codebook(np.ones((4, 32), np.float32)))
    with pytest.raises(UsageError, match="65,536 words"):
        WordQuantizer(Codebook(np.ones((65537, 64), np.float32)))
    with pytest.raises(UsageError, match="descriptors"):
        _quantizer().quantize(np.ones((3, 40), np.float32))
