"""Every matching method against its literal definition, and the index that applies it to all images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import kindred.matching
from kindred.arrays import l2_normalise
from kindred.errors import RecipeError, UsageError
from kindred.matching import MATCHINGS, ImageRows, from_bfloat16, match, to_bfloat16

D, WORDS = 6, 9
COUNTS = {3: 4, 5: 1, 8: 7, 11: 2, 12: 5}
"""The number of rows of each image, by id."""


def _parts(counts: dict[int, int], seed: int) -> ImageRows:
    generator = np.random.default_rng(seed)
    total = sum(counts.values())
    rows = l2_normalise(generator.standard_normal((total, D)).astype(np.float32))
    words = np.concatenate([np.sort(generator.choice(WORDS, n, replace=False)) for n in counts.values()])
    boxes = generator.uniform(0, 100, (total, 4)).astype(np.float32)
    return ImageRows(rows, np.repeat(list(counts), list(counts.values())), boxes, words)


@pytest.fixture(scope="module")
def database() -> ImageRows:
    return _parts(COUNTS, 0)


@pytest.fixture(scope="module")
def query() -> ImageRows:
    return _parts({1: 4}, 1)


def _dot(a: NDArray[Any], b: NDArray[Any]) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def _rows_of(database: ImageRows, image: int) -> list[int]:
    return [n for n, owner in enumerate(database.owners.tolist()) if owner == image]


def _literal_winner(query: ImageRows, database: ImageRows, image: int) -> int:
    return max(_rows_of(database, image), key=lambda n: max(_dot(q, database.rows[n]) for q in query.rows))


def _literal_best(query: ImageRows, database: ImageRows, image: int) -> float:
    return max(_dot(q, database.rows[n]) for q in query.rows for n in _rows_of(database, image))


def _literal_patches(query: ImageRows, database: ImageRows, image: int, *, distance: bool = False) -> float:
    def closeness(q: NDArray[Any], n: int) -> float:
        if distance:
            return -math.sqrt(sum((float(a) - float(b)) ** 2 for a, b in zip(q, database.rows[n], strict=True)))
        return _dot(q, database.rows[n])

    nearest = [max(closeness(q, n) for n in _rows_of(database, image)) for q in query.rows]
    return sum(nearest) / len(nearest)


def _literal_asmk(
    query: ImageRows,
    database: ImageRows,
    image: int,
    *,
    alpha: float = 3.0,
    tau: float = 0.0,
    idf: NDArray[np.float32] | None = None,
) -> float:
    assert query.words is not None
    assert database.words is not None
    weight = [1.0] * WORDS if idf is None else [float(value) ** 2 for value in idf]

    def kernel(u: float) -> float:
        return math.copysign(abs(u) ** alpha, u) if u > tau else 0.0

    theirs = _rows_of(database, image)
    shared = sum(
        weight[int(word)] * kernel(_dot(query.rows[q], database.rows[n]))
        for q, word in enumerate(query.words)
        for n in theirs
        if database.words[n] == word
    )
    itself = sum(weight[int(word)] for word in query.words), sum(weight[int(database.words[n])] for n in theirs)
    return shared / math.sqrt(itself[0] * itself[1])


ORACLES = {"best": _literal_best, "patches": _literal_patches, "asmk": _literal_asmk}
IDF = np.linspace(0.2, 2, WORDS).astype(np.float32)
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in MATCHINGS),
    ("patches", {"distance": True}),
    ("asmk", {"idf": IDF}),
    ("asmk", {"alpha": 1.5, "tau": 0.2}),
    ("asmk", {"alpha": 2.0, "tau": -1.0, "idf": IDF}),
]
variants = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=lambda value: str(value)[:30])


@variants
@pytest.mark.parametrize("block", [1, 5, 4096])
def test_equals_its_definition(
    name: str,
    options: dict[str, Any],
    block: int,
    query: ImageRows,
    database: ImageRows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kindred.matching, "BLOCK", block * D)
    ids, scores, boxes = match(query, database, name, **options)
    assert ids.tolist() == list(COUNTS)
    np.testing.assert_allclose(
        scores, [ORACLES[name](query, database, image, **options) for image in COUNTS], atol=1e-5
    )
    if name == "asmk":
        assert boxes is None
        return
    assert boxes is not None
    assert database.boxes is not None
    winners = [_literal_winner(query, database, image) for image in COUNTS]
    np.testing.assert_array_equal(boxes, database.boxes[winners])


@variants
def test_an_image_matches_itself_best(name: str, options: dict[str, Any], database: ImageRows) -> None:
    for image in COUNTS:
        mine = _rows_of(database, image)
        assert database.words is not None
        one = ImageRows(database.rows[mine], database.owners[mine], None, database.words[mine])
        ids, scores, _ = match(one, database, name, **options)
        assert ids[np.argmax(scores)] == image
        perfect = 0.0 if options.get("distance") else 1.0
        assert scores.max() == pytest.approx(perfect, abs=1e-3)


def test_the_first_of_equal_rows_gives_the_box() -> None:
    rows = np.array([[0, 1], [1, 0], [1, 0], [1, 0]], np.float32)
    boxes = np.arange(16, dtype=np.float32).reshape(4, 4)
    _, scores, found = match(
        ImageRows(rows[1:2], np.array([0])), ImageRows(rows, np.array([1, 1, 1, 2]), boxes), "best"
    )
    assert scores.tolist() == [1, 1]
    assert found is not None
    np.testing.assert_array_equal(found, boxes[[1, 3]])


def test_bfloat16_rows_are_rounded_to_eight_bits() -> None:
    rows = np.array([[1.0, -1.0, 0.0, 1 + 2**-8, 1 + 2**-8 + 2**-20, 1 + 3 * 2**-8, -0.1]], np.float32)
    found = from_bfloat16(to_bfloat16(rows))
    np.testing.assert_array_equal(found[0, :6], [1, -1, 0, 1, 1 + 2**-7, 1 + 2**-6])  # halves go to the even one
    assert found[0, 6] == pytest.approx(-0.1, rel=2**-8)
    assert to_bfloat16(rows).dtype == np.uint16
    assert from_bfloat16(rows) is rows


def test_patch_matching_is_asymmetric(query: ImageRows, database: ImageRows) -> None:
    """The mean is over the query's rows: further rows of an image do not lower its score."""
    rows = np.concatenate((query.rows, database.rows))
    both = ImageRows(rows, np.ones(len(rows), np.int64))
    assert match(query, both, "patches")[1] == pytest.approx(1, abs=1e-6)
    one = ImageRows(both.rows, np.zeros(len(rows), np.int64))
    assert match(one, ImageRows(query.rows, query.owners), "patches")[1] < 0.9


def test_zero_residuals_contribute_nothing() -> None:
    words = np.array([0, 1])
    zero = ImageRows(np.array([[0, 0], [1, 0]], np.float32), np.zeros(2, np.int64), None, words)
    assert match(zero, zero, "asmk")[1] == pytest.approx(1)
    alone = ImageRows(np.zeros((1, 2), np.float32), np.array([4]), None, np.array([1]))
    assert match(zero, alone, "asmk")[1].tolist() == [0]


def test_an_empty_database_gives_no_scores(query: ImageRows) -> None:
    empty = ImageRows(np.empty((0, D), np.float32), np.empty(0, np.int64), None, np.empty(0, np.int64))
    for name in MATCHINGS:
        ids, scores, boxes = match(query, empty, name)
        assert (ids.shape, scores.shape, boxes) == ((0,), (0,), None)


def test_invalid_arguments_are_refused(query: ImageRows, database: ImageRows) -> None:
    with pytest.raises(RecipeError, match="unknown matching 'patch'; did you mean 'patches'"):
        match(query, database, "patch")
    with pytest.raises(RecipeError, match="matching 'asmk': unknown option 'alhpa'; did you mean 'alpha'"):
        match(query, database, "asmk", alhpa=3)
    with pytest.raises(RecipeError, match="matching 'best': unknown option 'alpha'; it takes none"):
        match(query, database, "best", alpha=3)
    with pytest.raises(UsageError, match="tau: got 1; expected at least -1 and below 1"):
        match(query, database, "asmk", tau=1)
    with pytest.raises(UsageError, match="query: got 19 rows of 5 images; expected one image"):
        match(database, database, "best")
    with pytest.raises(UsageError, match="query: got rows of 3 components; expected 6"):
        match(ImageRows(query.rows[:, :3], query.owners), database, "best")
    with pytest.raises(UsageError, match="words: got rows without words"):
        match(query, ImageRows(database.rows, database.owners), "asmk")
    with pytest.raises(UsageError, match="expected 0 to 2, those of the idf"):
        match(query, database, "asmk", idf=IDF[:3])
    with pytest.raises(UsageError, match="alpha: got 0"):
        match(query, database, "asmk", alpha=0)


def test_image_rows_are_validated(database: ImageRows) -> None:
    with pytest.raises(UsageError, match=r"owners: got shape \(2,\); expected \(19,\)"):
        ImageRows(database.rows, np.array([1, 2]))
    with pytest.raises(UsageError, match="owners: expected ids in ascending order"):
        ImageRows(database.rows, database.owners[::-1])
    with pytest.raises(UsageError, match=r"boxes: got shape \(19, 3\)"):
        ImageRows(database.rows, database.owners, np.zeros((19, 3), np.float32))
    with pytest.raises(UsageError, match="words: expected ascending words within each image"):
        ImageRows(database.rows[:2], np.array([1, 1]), None, np.array([4, 4]))
