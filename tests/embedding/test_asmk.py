from __future__ import annotations

import math

import numpy as np
import pytest

from kindred.arrays import Vectors, l2_normalise
from kindred.embedding import Codebook, embed_multi_vector
from kindred.embedding.asmk import asmk
from kindred.errors import UsageError

COUNTS = [6, 0, 9, 1]


@pytest.fixture(scope="module")
def centres() -> Vectors:
    return np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def rows() -> Vectors:
    found = np.random.default_rng(2).standard_normal((16, 4))
    return l2_normalise(found.astype(np.float32))


def _literal(rows: Vectors, centres: Vectors, multiple: int) -> dict[tuple[int, int], list[float]]:
    """The sum of residuals for each image and word."""
    sums: dict[tuple[int, int], list[float]] = {}
    images = [image for image, count in enumerate(COUNTS) for _ in range(count)]
    for image, row in zip(images, rows.astype(float), strict=True):
        squares = [float(((row - centre) ** 2).sum()) for centre in centres.astype(float)]
        for word in sorted(range(len(centres)), key=squares.__getitem__)[:multiple]:
            sums.setdefault((image, word), [0.0] * 4)
            for d in range(4):
                sums[image, word][d] += row[d] - float(centres[word, d])
    return sums


@pytest.mark.parametrize("multiple", [1, 3])
def test_residuals_are_summed_for_each_word(rows: Vectors, centres: Vectors, multiple: int) -> None:
    owners, words, vectors = asmk(rows, COUNTS, centres, multiple=multiple)
    sums = _literal(rows, centres, multiple)
    assert list(zip(owners.tolist(), words.tolist(), strict=True)) == sorted(sums)
    expected = [[value / math.hypot(*sums[key]) for value in sums[key]] for key in sorted(sums)]
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_the_binary_variant_keeps_signs(rows: Vectors, centres: Vectors) -> None:
    _, _, vectors = asmk(rows, COUNTS, centres, binary=True)
    sums = _literal(rows, centres, 1)
    np.testing.assert_allclose(vectors, [[0.5 if value > 0 else -0.5 for value in sums[key]] for key in sorted(sums)])
    assert vectors.dtype == np.float32


def test_residuals_that_cancel_give_zero() -> None:
    centres = np.array([[0, 0], [5, 5]], np.float32)
    owners, words, vectors = asmk(np.array([[1, 0], [-1, 0]], np.float32), [2], centres)
    assert (owners.tolist(), words.tolist(), vectors.tolist()) == ([0], [0], [[0, 0]])


def test_the_codebook_prepares_descriptors(rows: Vectors, centres: Vectors) -> None:
    owners, words, vectors = embed_multi_vector(3 * rows, COUNTS, "asmk", Codebook(centres), multiple=2)
    expected = asmk(rows, COUNTS, centres, multiple=2)
    np.testing.assert_array_equal(owners, expected[0])
    np.testing.assert_array_equal(words, expected[1])
    np.testing.assert_allclose(vectors, expected[2], atol=1e-6)


def test_no_descriptors_give_no_rows(rows: Vectors, centres: Vectors) -> None:
    owners, words, vectors = asmk(rows[:0], [0, 0], centres)
    assert (owners.shape, words.shape, vectors.shape) == ((0,), (0,), (0, 4))
    with pytest.raises(UsageError, match="n: got 6; expected at most 5, the number of words"):
        asmk(rows, COUNTS, centres, multiple=6)
