from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.arrays import Vectors, l2_normalise
from kindred.embedding import Codebook
from kindred.embedding.assignment import nearest_several, nearest_words, soft_words
from kindred.errors import ModelError, UsageError


@pytest.fixture(scope="module")
def rows() -> Vectors:
    """Three clusters of directions in eight dimensions, of various lengths; the first cluster first."""
    generator = np.random.default_rng(0)
    centres = np.eye(8)[:3]
    found = np.repeat(centres, 100, axis=0) + 0.1 * generator.standard_normal((300, 8))
    return (found * generator.uniform(1, 5, (300, 1))).astype(np.float32)


def _stored(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]  # its signature has a flag of that kind
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        return dict(loaded)


def test_finds_the_clusters_without_printing(rows: Vectors, capfd: pytest.CaptureFixture[str]) -> None:
    book = Codebook.fit(rows, words=3, seed=1)
    words = book.assign(book.prepare(rows))
    assert [set(words[i : i + 100].tolist()) for i in (0, 100, 200)] in [
        [{a}, {b}, {c}] for a in range(3) for b in range(3) for c in range(3) if len({a, b, c}) == 3
    ]
    expected = [l2_normalise(rows)[words == k].mean(axis=0) for k in range(3)]
    np.testing.assert_allclose(book.centres, expected, atol=1e-5)
    assert capfd.readouterr() == ("", "")


def test_the_seed_determines_the_result(rows: Vectors) -> None:
    first, again, other = (Codebook.fit(rows, words=20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.centres, again.centres)
    assert not np.array_equal(first.centres, other.centres)


def test_idf_equals_its_definition(rows: Vectors) -> None:
    # Images of 40 rows: the first bunch is in 3, the second in 4, the third in 3 of 8; the eighth is empty.
    book = Codebook.fit(rows, words=3, counts=[40] * 7 + [20, 0], seed=0)
    assert book.idf is not None
    words = book.assign(book.prepare(rows))
    images = np.repeat(np.arange(9), [40] * 7 + [20, 0])
    expected = [np.log(9 / len(set(images[words == k].tolist()))) for k in range(3)]
    np.testing.assert_allclose(book.idf, expected, rtol=1e-6)
    np.testing.assert_array_equal(Codebook.fit(rows, words=3).idf, 1)


def test_gaps_are_between_the_two_nearest_words(rows: Vectors) -> None:
    book = Codebook.fit(rows, words=3)
    unit = l2_normalise(rows)
    dots = np.sort(unit @ l2_normalise(book.centres).T, axis=1)
    squares = np.sort(((unit[:, None] - book.centres) ** 2).sum(axis=2), axis=1)
    np.testing.assert_allclose(book.gaps[0], (dots[:, -1] - dots[:, -2]).mean(), rtol=1e-4)
    np.testing.assert_allclose(book.gaps[1], (squares[:, 1] - squares[:, 0]).mean(), rtol=1e-4)
    np.testing.assert_array_equal(Codebook.fit(rows, words=1).gaps, 1)


def test_a_local_pca_gives_reduced_unit_vectors(rows: Vectors) -> None:
    book = Codebook.fit(rows, words=3, dimension=4, power=0.5)
    prepared = book.prepare(rows)
    assert (book.dimension, prepared.shape) == (4, (300, 4))
    np.testing.assert_allclose(np.linalg.norm(prepared, axis=1), 1, rtol=1e-6)
    whitening = book.projection
    assert whitening is not None
    unit = rows.astype(float) / np.linalg.norm(rows, axis=1, keepdims=True)
    projected = (unit - unit.mean(axis=0)) @ whitening.projection.T
    np.testing.assert_allclose(projected.T @ projected / 300, np.eye(4), atol=1e-3)
    np.testing.assert_allclose(prepared, projected / np.linalg.norm(projected, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("dimension", [None, 4])
def test_is_restored_from_a_file(rows: Vectors, dimension: int | None) -> None:
    book = Codebook.fit(rows, words=3, counts=[100, 200], dimension=dimension)
    back = Codebook.from_arrays(_stored(book.to_arrays()))
    for name in ("centres", "idf", "gaps"):
        np.testing.assert_array_equal(getattr(back, name), getattr(book, name))
    np.testing.assert_array_equal(back.prepare(rows), book.prepare(rows))
    assert (back.projection is None) == (dimension is None)


def test_trained_weights_are_restored_from_a_file() -> None:
    centres, weights = np.eye(3, dtype=np.float32), np.arange(9, dtype=np.float32).reshape(3, 3)
    book = Codebook(centres, weights=weights, biases=np.array([1, 2, 3], np.float32))
    back = Codebook.from_arrays(_stored(book.to_arrays()))
    np.testing.assert_array_equal(back.weights, weights)
    np.testing.assert_array_equal(back.biases, [1, 2, 3])
    plain = Codebook(centres)
    assert set(book.to_arrays()) - set(plain.to_arrays()) == {"weights", "biases"}
    assert Codebook.from_arrays(_stored(plain.to_arrays())).weights is None


def test_trained_weights_of_wrong_shapes_are_refused() -> None:
    eye = np.eye(3, dtype=np.float32)
    with pytest.raises(UsageError, match="got only weights or only biases; expected both or none"):
        Codebook(eye, weights=eye)
    with pytest.raises(UsageError, match=r"got weights \(2, 3\) and biases \(3,\); expected \(3, 3\) and \(3,\)"):
        Codebook(eye, weights=eye[:2], biases=np.ones(3, np.float32))
    with pytest.raises(UsageError, match="biases: row 0 holds NaN"):
        Codebook(eye, weights=eye, biases=np.array([0, 1, np.nan], np.float32))
    with pytest.raises(ModelError, match=r"codebook: damaged .*only weights or only biases"):
        Codebook.from_arrays(Codebook(eye).to_arrays() | {"biases": np.ones(3)})


def test_damaged_arrays_are_refused(rows: Vectors) -> None:
    arrays = Codebook.fit(rows, words=3, dimension=4).to_arrays()
    with pytest.raises(ModelError, match="codebook: idf missing; expected centres, idf, gaps"):
        Codebook.from_arrays({name: values for name, values in arrays.items() if name != "idf"})
    with pytest.raises(ModelError, match="codebook: damaged"):
        Codebook.from_arrays(arrays | {"idf": np.ones(2)})
    with pytest.raises(ModelError, match=r"codebook: damaged .*gives 4 components; expected 8"):
        Codebook.from_arrays(arrays | {"centres": np.ones((3, 8))})
    with pytest.raises(ModelError, match="whitening: mean missing"):
        Codebook.from_arrays({name: values for name, values in arrays.items() if name != "local_mean"})


def test_too_few_descriptors_are_reported_with_the_number_needed(rows: Vectors) -> None:
    message = "got 300 local descriptors to fit 76 words; expected at least 304, 4 per word: add images"
    with pytest.raises(UsageError, match=message):
        Codebook.fit(rows, words=76)
    with pytest.raises(UsageError, match="words: got 0"):
        Codebook.fit(rows, words=0)
    with pytest.raises(UsageError, match="counts: got a sum of 7 for 300 rows"):
        Codebook.fit(rows, words=2, counts=[7])


def test_rows_that_are_not_prepared_are_refused(rows: Vectors) -> None:
    book = Codebook.fit(rows, words=3, dimension=4)
    with pytest.raises(UsageError, match=r"rows: got shape \(300, 8\); expected prepared descriptors \(M, 4\)"):
        book.assign(rows)
    with pytest.raises(UsageError, match="n: got 4; expected at most 3, the number of words"):
        nearest_several(book.prepare(rows), book.centres, 4)


def test_the_nearest_words_equal_a_literal_comparison() -> None:
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(3)
    rows, centres = (generator.standard_normal((n, 6)) for n in (5000, 70))
    squares = ((rows[:, None] - centres) ** 2).sum(axis=2)
    order = np.argsort(squares, axis=1)
    book = Codebook(centres.astype(np.float32))
    np.testing.assert_array_equal(nearest_words(rows, centres), order[:, 0])
    np.testing.assert_array_equal(nearest_words(torch.from_numpy(rows), torch.from_numpy(centres)), order[:, 0])
    single = rows.astype(np.float32)
    assert (book.assign(single) == order[:, 0]).mean() > 0.999
    several = nearest_several(single, book.centres, 5)
    assert (several == order[:, :5]).mean() > 0.999
    found = nearest_several(torch.from_numpy(single), torch.from_numpy(book.centres), 5)
    np.testing.assert_array_equal(found, several)
    assert book.assign(single[:0]).shape == (0,)


def test_equal_distances_go_to_the_first_word() -> None:
    book = Codebook(np.array([[1, 0], [0, 1], [1, 0]], np.float32))
    assert book.assign(np.array([[1, 1], [1, 0]], np.float32)).tolist() == [0, 0]


def test_the_softmax_does_not_overflow() -> None:
    shares = soft_words(np.array([[1000.0, 1000.0], [-1000.0, 0.0]], np.float32))
    np.testing.assert_allclose(shares, np.array([[0.5, 0.5], [0, 1]]))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match="centres: got none"):
        Codebook(np.empty((0, 3), np.float32))
    with pytest.raises(UsageError, match=r"got idf \(2,\) and gaps \(2,\); expected \(3,\)"):
        Codebook(np.eye(3, dtype=np.float32), np.ones(2, np.float32))
