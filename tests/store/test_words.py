"""Rows of words, boxes of regions and local features in the store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from kindred.errors import LibraryDamaged, UsageError
from kindred.store import Entry, Filter, SqliteStore

IMAGE = Path("/photos/a.jpg")


def entry(path: str = "/photos/a.jpg", **keys: object) -> Entry:
    values: dict[str, object] = {"size": 10, "mtime_ns": 10, "width": 64, "height": 48, **keys}
    return Entry(Path(path), **values)  # type: ignore[arg-type]


def test_words_come_back_with_their_rows_at_half_precision(store: SqliteStore) -> None:
    random = np.random.default_rng(0)
    rows = [random.standard_normal((count, 8)).astype(np.float32) for count in (3, 1)]
    words = [np.array([2, 5, 70_000]), np.array([1])]
    store.put(
        [
            entry("/photos/a.jpg", vectors=rows[0], words=words[0]),
            entry("/photos/b.jpg", vectors=rows[1], words=words[1]),
        ]
    )
    (batch,) = store.parts()
    assert batch.owners.tolist() == [1, 1, 1, 2]
    assert batch.words is not None
    assert batch.words.tolist() == [2, 5, 70_000, 1]
    assert batch.boxes is None
    assert np.array_equal(batch.rows, np.concatenate(rows).astype(np.float16))
    assert store.counts().vectors == 0
    assert store.dimension == 8


def test_regions_come_back_with_their_boxes_in_whole_images(store: SqliteStore) -> None:
    boxes = np.array([[np.nan] * 4, [0, 0, 32, 24]], np.float32)
    rows = np.eye(4, dtype=np.float32)
    store.put([entry(f"/photos/{name}.jpg", vectors=rows[at : at + 2], boxes=boxes) for at, name in enumerate("abc")])
    batches = list(store.parts(batch=2))
    assert [batch.owners.tolist() for batch in batches] == [[1, 1, 2, 2], [3, 3]]
    assert batches[0].boxes is not None
    assert np.isnan(batches[0].boxes[[0, 2]]).all()
    assert batches[0].boxes[[1, 3]].tolist() == [[0, 0, 32, 24]] * 2
    assert np.array_equal(batches[1].rows, rows[2:4])
    assert batches[0].words is None


def test_replacing_or_removing_an_image_removes_its_words_and_features(store: SqliteStore) -> None:
    row = np.ones((1, 4), np.float32)
    store.put([entry(vectors=row, words=np.array([3]), features=b"points")])
    assert store.features(1) == b"points"
    store.put([entry(vectors=row, words=np.array([4]))])
    (batch,) = store.parts()
    assert batch.words is not None
    assert batch.words.tolist() == [4]
    assert store.features(1) is None
    store.forget([IMAGE])
    assert list(store.parts()) == []


def test_images_are_looked_up_by_their_ids(store: SqliteStore) -> None:
    row = np.ones((1, 4), np.float32)
    store.put([entry("/photos/a.jpg", vectors=row, words=np.array([3])), entry("/other/b.jpg", vectors=row)])
    store.tag([IMAGE], "cat")
    found = store.images([1, 2, 99])
    assert {number: (row.path.name, row.width, row.tags) for number, row in found.items()} == {
        1: ("a.jpg", 64, ("cat",)),
        2: ("b.jpg", 64, ()),
    }
    assert store.select_images(Filter(folder=Path("/photos"))).tolist() == [1]
    assert store.select_images(Filter(tags=("cat",))).tolist() == [1]
    assert store.select_images(Filter()).tolist() == [1, 2]


def test_words_that_do_not_fit_their_rows_are_refused(store: SqliteStore) -> None:
    with pytest.raises(UsageError, match=r"a\.jpg: got words of shape \(2,\); expected \(1,\)"):
        store.put([entry(vectors=np.ones((1, 4), np.float32), words=np.array([3, 4]))])
    assert store.counts().images == 0


def test_truncated_words_are_damage(store: SqliteStore) -> None:
    store.put([entry(vectors=np.ones((2, 4), np.float32), words=np.array([3, 4]))])
    with sqlite3.connect(store.file) as connection:
        connection.execute("UPDATE words SET data = x'00'")
    connection.close()
    with pytest.raises(LibraryDamaged, match="the words of image 1 are truncated"):
        list(store.parts())
