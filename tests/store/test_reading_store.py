from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from kindred.errors import LibraryDamaged
from kindred.store import Entry, Filter, SqliteStore

MakeEntry = Callable[..., Entry]


@pytest.fixture
def filled(store: SqliteStore, entry: MakeEntry) -> SqliteStore:
    """Vectors 1 to 5; image "/p/b/2.jpg" has two."""
    store.put(
        [
            entry("/p/a/1.jpg", 1.0, taken="2020-01-31"),
            entry("/p/b/2.jpg", 2.0, taken="2020-02-01T10:00:00", regions=2),
            entry("/p/b.jpg", 4.0, taken="2021-07-07"),
            entry("/p/b/deep/5.jpg", 5.0),  # the file's time: November 2023
        ]
    )
    store.tag([Path("/p/a/1.jpg"), Path("/p/b/2.jpg")], "sea")
    store.tag([Path("/p/b/2.jpg"), Path("/p/b.jpg")], "dog")
    return store


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Filter(), [1, 2, 3, 4, 5]),
        (Filter(folder=Path("/p/b")), [2, 3, 5]),
        (Filter(folder=Path("/")), [1, 2, 3, 4, 5]),
        (Filter(folder=Path("/p/none")), []),
        (Filter(tags=("sea",)), [1, 2, 3]),
        (Filter(tags=("sea", "dog")), [2, 3]),
        (Filter(tags=("cat",)), []),
        (Filter(after=date(2020, 2, 1)), [2, 3, 4, 5]),
        (Filter(before=date(2020, 2, 1)), [1, 2, 3]),
        (Filter(after=date(2023, 11, 1), before=date(2023, 11, 30)), [5]),
        (Filter(folder=Path("/p/b"), tags=("dog",), before=date(2022, 1, 1)), [2, 3]),
    ],
)
def test_a_filter_selects_the_vectors_of_the_images_that_fit(
    filled: SqliteStore, wanted: Filter, ids: list[int]
) -> None:
    assert filled.select(wanted).tolist() == ids


def test_paths_are_listed_in_pages_despite_removals(
    store: SqliteStore, entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindred.store.sqlite.reading.PAGE", 2)
    store.put([entry(f"/p/{number}.jpg") for number in range(5)])
    seen = []
    for path in store.paths_under(Path("/p")):
        seen.append(path.name)
        store.forget([path])
    assert seen == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert store.counts().images == 0


def test_vectors_stream_in_batches_and_after_an_id(filled: SqliteStore) -> None:
    batches = [(ids.tolist(), rows[:, 0].tolist()) for ids, rows in filled.vectors(after_id=1, batch=3)]
    assert batches == [([2, 3, 4], [2.0, 2.0, 4.0]), ([5], [5.0])]
    assert all(rows.dtype == np.float32 for _, rows in filled.vectors())


def test_rows_added_while_streaming_come_last(filled: SqliteStore, entry: MakeEntry) -> None:
    stream = filled.vectors(batch=3)
    first, _ = next(stream)
    filled.put([entry("/p/late.jpg", 9.0)])
    rest = [number for ids, _ in stream for number in ids]
    assert first.tolist() + rest == [1, 2, 3, 4, 5, 6]


def test_fetch_returns_the_requested_order(filled: SqliteStore) -> None:
    ids, rows = filled.fetch([5, 99, 1, 5])
    assert ids.tolist() == [5, 1, 5]
    assert rows[:, 0].tolist() == [5.0, 1.0, 5.0]
    nothing, no_rows = filled.fetch([])
    assert (nothing.shape, no_rows.shape) == ((0,), (0, 3))


def test_an_empty_store_returns_nothing(store: SqliteStore) -> None:
    assert list(store.vectors()) == []
    assert store.fetch([1])[1].shape == (0, 0)
    assert store.select(Filter()).tolist() == []
    assert store.dimension is None
    assert store.removed_since(0).tolist() == []
    assert list(store.paths_under(Path("/"))) == []
    assert store.rows([]) == {}


def test_a_row_of_the_wrong_length_is_named(filled: SqliteStore) -> None:
    filled.close()
    with sqlite3.connect(filled.file) as connection:
        connection.execute("UPDATE vectors SET data = x'00112233' WHERE id = 3")
    connection.close()
    with (
        SqliteStore.open(filled.file) as reader,
        pytest.raises(LibraryDamaged, match="vector 3 has 4 bytes, expected 12 bytes"),
    ):
        list(reader.vectors())


def test_thousands_of_paths_and_ids_can_be_looked_up_at_once(store: SqliteStore, entry: MakeEntry) -> None:
    store.put([entry(f"/p/{number}.jpg", number) for number in range(1200)])
    paths = [Path(f"/p/{number}.jpg") for number in range(2400)]
    assert len(store.lookup(paths)) == 1200
    assert len(store.rows(range(1, 5000))) == 1200
    assert store.fetch(range(1, 5000))[0].size == 1200
