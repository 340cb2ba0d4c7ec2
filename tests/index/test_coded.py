from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.arrays import l2_normalise, top_k
from kindred.codes import CODES, Code
from kindred.errors import UsageError
from kindred.index import CodedIndex, ExactIndex, SyncedIndex, coded
from kindred.store import Entry, SqliteStore

D, ROWS, BITS = 16, 400, 16
kinds = pytest.mark.parametrize("kind", CODES)


def random_rows(count: int, seed: int) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = l2_normalise(np.random.default_rng(seed).standard_normal((count, D)).astype(np.float32))
    return rows


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    return random_rows(ROWS, 1)


@pytest.fixture(scope="module")
def ids() -> NDArray[np.int64]:
    return np.cumsum(np.random.default_rng(2).integers(1, 4, ROWS))


@pytest.fixture(scope="module")
def queries() -> NDArray[np.float32]:
    return random_rows(7, 3)


@pytest.fixture(scope="module")
def codes() -> dict[str, Code]:
    return {name: entry.fitted.fit(random_rows(600, 4), bits=BITS) for name, entry in CODES.items()}


def filled(
    code: Code, ids: NDArray[np.int64], rows: NDArray[np.float32], *, step: int = 150, rescored: bool = False
) -> CodedIndex:
    def fetch(wanted: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        return wanted, rows[np.searchsorted(ids, wanted)]

    index = CodedIndex(code, rescore=fetch if rescored else None)
    for start in range(0, len(ids), step):
        index.add(ids[start : start + step], rows[start : start + step])
    return index


@kinds
def test_results_equal_those_of_the_code(
    kind: str,
    codes: dict[str, Code],
    ids: NDArray[np.int64],
    rows: NDArray[np.float32],
    queries: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = codes[kind]
    places, scores = code.search(queries, code.encode(rows), 20)
    every, all_scores = code.search(queries, code.encode(rows), ROWS)
    for block in (1 << 18, 64):
        monkeypatch.setattr(coded, "BLOCK_CODES", block)
        index = filled(code, ids, rows)
        assert (len(index), index.nbytes) == (ROWS, ROWS * code.bytes_per_vector)
        # Queries and rows of any length: they are made unit vectors.
        found = index.search(3 * queries, 20)
        np.testing.assert_allclose(found.scores, scores, atol=1e-6)
        for row, own in enumerate(found.ids):  # whichever of equals: each has the score that its code has
            by_id = dict(zip(ids[every[row]].tolist(), all_scores[row].tolist(), strict=True))
            np.testing.assert_allclose([by_id[number] for number in own.tolist()], scores[row], atol=1e-6)
        if kind != "pq":  # whose equal scores come in any order
            np.testing.assert_array_equal(found.ids, ids[places])


@kinds
@pytest.mark.parametrize("share", [0.3, 0.8])
@pytest.mark.parametrize("rescored", [False, True])
def test_removed_and_filtered_rows_are_not_found(
    kind: str,
    share: float,
    rescored: bool,
    codes: dict[str, Code],
    ids: NDArray[np.int64],
    rows: NDArray[np.float32],
    queries: NDArray[np.float32],
) -> None:
    index = filled(codes[kind], ids, rows, rescored=rescored)
    gone = np.random.default_rng(5).choice(ids, int(share * ROWS), replace=False)
    assert index.remove(np.append(gone, [0, 10_000])) == len(gone)
    assert index.remove(gone) == 0
    assert len(index) == ROWS - len(gone)
    left = np.isin(ids, gone, invert=True)
    fresh = filled(codes[kind], ids[left], rows[left], rescored=rescored)
    mine, other = index.search(queries, 15), fresh.search(queries, 15)
    np.testing.assert_array_equal(mine.scores, other.scores)
    np.testing.assert_array_equal(mine.ids, other.ids)
    allowed = ids[::5]
    found = index.search(queries, ROWS, allowed=allowed)
    expected = np.setdiff1d(allowed, gone)
    for row in found.ids:
        assert sorted(row[row > 0].tolist()) == expected.tolist()
    assert np.isneginf(found.scores[:, len(expected) :]).all()
    with pytest.raises(UsageError, match="ids: expected whole numbers in ascending order"):
        index.add([1], rows[:1])


@kinds
def test_the_best_by_code_are_rescored_by_their_vectors(
    kind: str,
    codes: dict[str, Code],
    ids: NDArray[np.int64],
    rows: NDArray[np.float32],
    queries: NDArray[np.float32],
) -> None:
    index, plain = filled(codes[kind], ids, rows, rescored=True), filled(codes[kind], ids, rows)
    for depth, deep in ((None, 50), (12, 12), (2, 5)):
        found = index.search(queries, 5, depth=depth)
        among = plain.search(queries, deep).ids
        for query, known, own, scores in zip(queries, among, found.ids, found.scores, strict=True):
            candidates = np.sort(known)
            order, best = top_k((rows[np.searchsorted(ids, candidates)] @ query)[None], 5)
            np.testing.assert_array_equal(own, candidates[order[0]])
            np.testing.assert_allclose(scores, best[0], atol=1e-6)
    # Deep enough, it is exact search.
    exact = ExactIndex(D)
    exact.add(ids, rows)
    found, wanted = index.search(queries, 5, depth=ROWS), exact.search(queries, 5)
    np.testing.assert_array_equal(found.ids, wanted.ids)
    np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-6)


def test_vectors_deleted_during_a_search_are_not_results(
    codes: dict[str, Code], ids: NDArray[np.int64], rows: NDArray[np.float32]
) -> None:
    index = CodedIndex(codes["itq"], rescore=lambda wanted: (wanted[:0], rows[:0]))
    index.add(ids, rows)
    found = index.search(rows[:2], 3)
    assert (found.ids == -1).all()
    assert np.isneginf(found.scores).all()


def test_an_empty_index_gives_an_empty_ranking(codes: dict[str, Code], queries: NDArray[np.float32]) -> None:
    index = CodedIndex(codes["itq"])
    assert len(index) == 0
    assert index.search(queries, 10**12).ids.shape == (len(queries), 0)
    assert index.search(queries[:0], 3).ids.shape == (0, 0)


def test_invalid_arguments_are_refused(codes: dict[str, Code], rows: NDArray[np.float32]) -> None:
    with pytest.raises(UsageError, match="unknown similarity 'euclidean'; known: cosine, dot"):
        CodedIndex(codes["lsh"], similarity="euclidean")
    index = CodedIndex(codes["lsh"], similarity="dot")
    with pytest.raises(UsageError, match=r"expected ids \(n,\) and rows \(n, 16\)"):
        index.add([1], rows[:1, :8])
    index.add([5], rows[:1])
    with pytest.raises(UsageError, match="all above 5"):
        index.add([5], rows[:1])
    with pytest.raises(UsageError, match="k: got 0"):
        index.search(rows[:1], 0)


def test_codes_stay_in_step_with_the_store(tmp_path: Path, codes: dict[str, Code], rows: NDArray[np.float32]) -> None:
    def put(store: SqliteStore, numbers: range) -> None:
        store.put([Entry(tmp_path / f"{at}.jpg", 1, 1, vectors=rows[at : at + 1]) for at in numbers])

    with SqliteStore.create(tmp_path / "store.sqlite", {}) as store:
        put(store, range(30))
        index = SyncedIndex(store, CodedIndex(codes["itq"], rescore=store.fetch))
        assert len(index) == 0
        found = index.search(rows[:1], 30)
        assert (len(index), index.nbytes) == (30, 30 * BITS // 8)
        np.testing.assert_allclose(found.scores[0], np.sort(rows[:30] @ rows[0])[::-1], atol=1e-3)
        put(store, range(30, 40))
        store.forget([tmp_path / "0.jpg", tmp_path / "35.jpg"])
        found = index.search(rows[:1], 40)
        assert len(index) == 38
        left = np.delete(np.arange(40), [0, 35])
        np.testing.assert_allclose(found.scores[0, :38], np.sort(rows[left] @ rows[0])[::-1], atol=1e-3)
        assert found.ids.shape == (1, 38)
