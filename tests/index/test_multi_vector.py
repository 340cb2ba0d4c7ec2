from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.arrays import l2_normalise
from kindred.codes import CODES
from kindred.errors import RecipeError, UsageError
from kindred.index.multi_vector import MultiVectorIndex
from kindred.matching import MATCHINGS, ImageRows, match

D, WORDS, IMAGES = 8, 30, 120
IDF = np.linspace(0.5, 2, WORDS).astype(np.float32)
CASES: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in MATCHINGS] + [("asmk", {"idf": IDF, "alpha": 2.0})]
cases = pytest.mark.parametrize(("method", "options"), CASES, ids=lambda value: str(value)[:10])


def _parts(ids: NDArray[np.int64], seed: int) -> ImageRows:
    generator = np.random.default_rng(seed)
    counts = generator.integers(1, 12, len(ids))
    rows = l2_normalise(generator.standard_normal((counts.sum(), D)).astype(np.float32))
    words = np.concatenate([np.sort(generator.choice(WORDS, n, replace=False)) for n in counts])
    boxes = generator.uniform(0, 100, (len(rows), 4)).astype(np.float32)
    return ImageRows(rows, np.repeat(ids, counts), boxes, words)


@pytest.fixture(scope="module")
def database() -> ImageRows:
    return _parts(np.cumsum(np.random.default_rng(3).integers(1, 4, IMAGES)), 4)


@pytest.fixture(scope="module")
def query() -> ImageRows:
    return _parts(np.array([0]), 5)


def _filled(
    database: ImageRows, method: str, options: dict[str, Any], *, step: int, half: bool = False
) -> MultiVectorIndex:
    index = MultiVectorIndex(D, method=method, options=options, half=half)
    images = np.unique(database.owners)
    for start in range(0, len(images), step):
        index_of = np.isin(database.owners, images[start : start + step])
        assert database.boxes is not None
        assert database.words is not None
        index.add(
            database.owners[index_of],
            database.rows[index_of],
            boxes=database.boxes[index_of],
            words=database.words[index_of],
        )
    return index


@cases
@pytest.mark.parametrize(("step", "half"), [(1, False), (50, False), (IMAGES, False), (7, True)])
def test_results_equal_matching_every_image(
    method: str, options: dict[str, Any], step: int, half: bool, query: ImageRows, database: ImageRows
) -> None:
    index = _filled(database, method, options, step=step, half=half)
    assert len(index) == IMAGES
    assert index.nbytes == database.rows.nbytes // (2 if half else 1)
    ranking = index.search(query, 10)
    ids, scores, boxes = match(query, database, method, **options)
    np.testing.assert_allclose(ranking.scores[0], np.sort(scores)[::-1][:10], atol=4e-3 if half else 1e-5)
    places = np.searchsorted(ids, ranking.ids[0])
    np.testing.assert_array_equal(ids[places], ranking.ids[0])
    np.testing.assert_allclose(scores[places], ranking.scores[0], atol=4e-3 if half else 1e-5)
    if method == "asmk":
        assert ranking.boxes is None
    elif not half:
        assert ranking.boxes is not None
        assert boxes is not None
        np.testing.assert_array_equal(ranking.boxes[0], boxes[places])


@cases
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_removed_images_are_never_found_again(
    method: str, options: dict[str, Any], share: float, query: ImageRows, database: ImageRows
) -> None:
    index = _filled(database, method, options, step=7)
    images = np.unique(database.owners)
    gone = np.random.default_rng(0).random(IMAGES) < share
    assert index.remove(images[gone]) == gone.sum()
    assert index.remove(np.append(images[gone], 10**9)) == 0
    assert len(index) == IMAGES - gone.sum()
    ids, scores, _ = match(query, database, method, **options)
    order = np.lexsort((ids, -scores))
    order = order[~gone[order]][:5]
    ranking = index.search(query, 5)
    np.testing.assert_allclose(ranking.scores[0], scores[order], atol=1e-5)
    np.testing.assert_array_equal(ranking.ids[0][ranking.scores[0] > 0], ids[order][ranking.scores[0] > 0])
    more = _parts(np.arange(1000, 1020), 6)
    index.add(more.owners, more.rows, boxes=more.boxes, words=more.words)
    assert len(index) == IMAGES - gone.sum() + 20
    expected = np.concatenate((scores[~gone], match(query, more, method, **options)[1]))
    np.testing.assert_allclose(index.search(query, 200).scores[0, : len(expected)], np.sort(expected)[::-1], atol=1e-5)
    index.remove(np.arange(2000))
    assert (len(index), index.search(query, 2).ids.tolist()) == (0, [[]])


@cases
def test_only_allowed_images_are_results(
    method: str, options: dict[str, Any], query: ImageRows, database: ImageRows
) -> None:
    index = _filled(database, method, options, step=50)
    images = np.unique(database.owners)
    allowed = np.append(images[5:9], 10**9)
    ids, scores, _ = match(query, database, method, **options)
    ranking = index.search(query, 6, allowed=allowed)
    assert set(ranking.ids[0].tolist()) == {-1, *images[5:9].tolist()}
    np.testing.assert_allclose(ranking.scores[0, :4], np.sort(scores[5:9])[::-1], atol=1e-5)
    assert ids[5:9].tolist() == images[5:9].tolist()


def _coded(database: ImageRows, kind: str, method: str, *, rescore: bool) -> MultiVectorIndex:
    fitted = CODES[kind].fitted.fit(_parts(np.arange(300), 9).rows, bits=64 if kind == "rabitq" else None)

    def fetch(ids: NDArray[np.int64]) -> ImageRows:
        own = np.isin(database.owners, ids)
        assert database.boxes is not None
        return ImageRows(database.rows[own], database.owners[own], database.boxes[own])

    index = MultiVectorIndex(D, method=method, code=fitted, rescore=fetch if rescore else None)
    for image in np.array_split(np.unique(database.owners), 5):
        own = np.isin(database.owners, image)
        assert database.boxes is not None
        index.add(database.owners[own], database.rows[own], boxes=database.boxes[own])
    assert index.nbytes == len(database) * fitted.bytes_per_vector
    return index


@pytest.mark.parametrize("method", ["best", "patches"])
@pytest.mark.parametrize("kind", ["rabitq", "sign"])
def test_rows_as_codes_estimate_and_rescoring_is_exact(
    method: str, kind: str, query: ImageRows, database: ImageRows
) -> None:
    ids, scores, boxes = match(query, database, method)
    assert boxes is not None
    estimated = _coded(database, kind, method, rescore=False).scores(query)[0]
    assert np.corrcoef(estimated, scores)[0, 1] > (0.999 if kind == "rabitq" else 0.5)
    index = _coded(database, kind, method, rescore=True)
    ranking = index.search(query, len(ids))
    order = np.lexsort((ids, -scores))
    np.testing.assert_array_equal(ranking.ids[0], ids[order])
    np.testing.assert_allclose(ranking.scores[0], scores[order], atol=1e-6)
    assert ranking.boxes is not None
    np.testing.assert_array_equal(ranking.boxes[0], boxes[order])
    few = index.search(query, 3, allowed=ids[order[5:50]])
    np.testing.assert_allclose(few.scores[0], scores[order[5:8]], atol=1e-6 if kind == "rabitq" else 0.5)


def test_images_removed_from_rows_as_codes_are_never_found_again(query: ImageRows, database: ImageRows) -> None:
    index = _coded(database, "rabitq", "best", rescore=True)
    images = np.unique(database.owners)
    assert index.remove(images[::2]) == len(images[::2])
    assert set(index.search(query, IMAGES).ids[0].tolist()) == set(images[1::2].tolist())
    assert index.remove(images) == len(images[1::2])
    assert index.search(query, 5).ids.tolist() == [[]]


def test_residuals_of_words_have_no_code(database: ImageRows) -> None:
    fitted = CODES["sign"].fitted.fit(database.rows)
    index = MultiVectorIndex(D, method="asmk", code=fitted)
    with pytest.raises(UsageError, match="compares residuals of words, which have no code"):
        index.add(database.owners, database.rows, words=database.words)


def test_invalid_arguments_are_refused(query: ImageRows, database: ImageRows) -> None:
    with pytest.raises(RecipeError, match="unknown matching"):
        MultiVectorIndex(D, method="worst")
    with pytest.raises(RecipeError, match="unknown option 'beta'"):
        MultiVectorIndex(D, options={"beta": 1})
    index = MultiVectorIndex(D, method="asmk")
    with pytest.raises(UsageError, match="words: got rows without words"):
        index.add(database.owners, database.rows)
    plain = MultiVectorIndex(D)
    plain.add([1, 1, 2], database.rows[:3])
    with pytest.raises(UsageError, match="in ascending order, all above 2"):
        plain.add([2], database.rows[:1])
    with pytest.raises(UsageError, match="boxes: got some rows with boxes and some without"):
        plain.add([3], database.rows[:1], boxes=np.zeros((1, 4), np.float32))
    with pytest.raises(UsageError, match=r"rows: got shape \(1, 3\); expected \(n, 8\)"):
        plain.add([3], database.rows[:1, :3])
    with pytest.raises(UsageError, match="k: got 0"):
        plain.search(query, 0)
    plain.add([], np.empty((0, D), np.float32))
    assert len(plain) == 2
    assert plain.search(query, 1).boxes is None
