from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindred import __version__
from kindred.errors import LibraryError, UsageError
from kindred.store import Entry, FileStamp, Filter, Run, Skip, SqliteStore, is_uid

MakeEntry = Callable[..., Entry]


A, B = Path("/photos/a.jpg"), Path("/photos/b.jpg")


def stored(store: SqliteStore) -> dict[int, list[float]]:
    return {int(number): row.tolist() for ids, rows in store.vectors() for number, row in zip(ids, rows, strict=True)}


def test_stored_images_are_found_after_reopening(store: SqliteStore, entry: MakeEntry) -> None:
    store.put([entry("/photos/a.jpg", 1.0), entry("/photos/b.jpg", 7.0)])
    store.close()
    with SqliteStore.open(store.file) as reopened:
        assert stored(reopened) == {1: [1.0, 0.0, 3.0], 2: [7.0, 0.0, 3.0]}
        known = reopened.lookup([A, B, Path("/no")])
        assert [(each.id, each.path, each.size, each.mtime_ns, each.state) for each in known.values()] == [
            (1, A, 10, 1_700_000_000_000_000_000, "indexed"),
            (2, B, 10, 1_700_000_000_000_000_000, "indexed"),
        ]
        assert known[A].version == __version__
        assert all(is_uid(each.uid) for each in known.values())
        assert reopened.meta["recipe"] == "test"
        assert reopened.dimension == 3


def test_a_replaced_image_keeps_its_id_and_tags_and_gets_new_vector_ids(store: SqliteStore, entry: MakeEntry) -> None:
    store.put([entry("/photos/a.jpg", 1.0, regions=2)])
    store.tag([A], "holiday")
    before = store.revision
    store.put([entry("/photos/a.jpg", 5.0)])
    assert stored(store) == {3: [5.0, 0.0, 3.0]}
    assert store.removed_since(before).tolist() == [1, 2]
    row = store.rows([3])[3]
    assert (row.image_id, row.tags) == (1, ("holiday",))


def test_what_sql_has_changed_is_written_again(store: SqliteStore, entry: MakeEntry) -> None:
    store.put([replace(entry("/photos/a.jpg"), features=b"abc")])
    with closing(sqlite3.connect(store.file)) as connection, connection:
        connection.execute("UPDATE vectors SET data = zeroblob(12)")
        connection.execute("DELETE FROM features")
    store.put([replace(entry("/photos/a.jpg"), features=b"abc")])
    assert list(stored(store).values()) == [[1.0, 0.0, 3.0]]
    assert store.features(1) == b"abc"


def test_ids_of_removed_vectors_are_never_reused(store: SqliteStore, entry: MakeEntry) -> None:
    store.put([entry("/photos/a.jpg")])
    assert store.forget([A]) == 1
    store.put([entry("/photos/a.jpg")])
    assert list(stored(store)) == [2]


def test_an_image_that_fails_later_loses_its_vectors_and_gets_the_reason(store: SqliteStore, entry: MakeEntry) -> None:
    store.put([entry("/photos/a.jpg"), entry("/photos/b.jpg")])
    store.put([Entry(A, 0, 1, reason="empty file")])
    assert store.skipped() == [Skip(A, "empty file", final=True)]
    assert list(stored(store)) == [2]
    assert store.lookup([A])[A].state == "skipped"
    counts = store.counts()
    assert (counts.images, counts.indexed, counts.skipped, counts.vectors) == (2, 1, 1, 1)


def test_regions_retain_their_boxes(store: SqliteStore, entry: MakeEntry) -> None:
    boxes = np.array([[np.nan] * 4, [1, 2, 30.5, 40]], dtype=np.float32)
    store.put([replace(entry("/photos/a.jpg", regions=2), boxes=boxes)])
    rows = store.rows([2, 1, 99])
    assert (rows[1].region, rows[1].box) == (0, None)
    assert (rows[2].region, rows[2].box) == (1, (1.0, 2.0, 30.5, 40.0))
    assert 99 not in rows
    assert (rows[1].path, rows[1].width, rows[1].height) == (A, 640, 480)


@given(name=st.binary(min_size=1, max_size=20).filter(lambda name: not set(name) & {0, ord("/")}))
@settings(max_examples=30, deadline=None)
def test_any_file_name_survives(tmp_path_factory: pytest.TempPathFactory, name: bytes) -> None:
    path = Path(os.fsdecode(b"/photos/x" + name))
    file = tmp_path_factory.mktemp("names") / "c.sqlite"
    with SqliteStore.create(file, {}) as store:
        store.put([Entry(path, 1, 1, vectors=np.ones((1, 2), np.float32))])
        assert list(store.paths_under(Path("/photos"))) == [path]
        assert store.rows([1])[1].path == path
        assert path in store.lookup([path])


def test_every_change_of_vectors_tags_or_meta_raises_the_revision(store: SqliteStore, entry: MakeEntry) -> None:
    seen = [store.revision]
    for change in (
        lambda: store.put([entry("/photos/a.jpg")]),
        lambda: store.tag([A], "x"),
        lambda: store.untag([A], "x"),
        lambda: store.set_meta("note", "1"),
        lambda: store.forget([A]),
    ):
        change()
        seen.append(store.revision)
    assert seen == sorted(set(seen))


@pytest.mark.parametrize(
    ("vectors", "boxes", "reason", "message"),
    [
        (None, None, None, "either vectors or a reason for skipping"),
        (np.ones((1, 3)), None, "bad", "either vectors or a reason for skipping"),
        (np.ones(3), None, None, r"shape \(3,\); expected \(R, D\)"),
        (np.ones((0, 3)), None, None, r"shape \(0, 3\); expected \(R, D\)"),
        (np.array([[1.0, np.nan, 0.0]]), None, None, "NaN or infinity"),
        (np.ones((1, 4)), None, None, "rows of 4 components; expected 3"),
        (np.ones((2, 3)), np.ones((1, 4)), None, r"boxes of shape \(1, 4\); expected \(2, 4\)"),
    ],
)
def test_an_invalid_entry_is_refused_with_its_whole_batch(
    store: SqliteStore,
    entry: MakeEntry,
    vectors: np.ndarray | None,
    boxes: np.ndarray | None,
    reason: str | None,
    message: str,
) -> None:
    store.put([entry("/photos/a.jpg")])
    before = store.revision
    wrong = Entry(B, 1, 1, vectors=vectors, boxes=boxes, reason=reason)
    with pytest.raises(UsageError, match=message):
        store.put([entry("/photos/c.jpg"), wrong])
    assert store.counts().images == 1
    assert store.revision == before


def test_relative_paths_and_impossible_dates_are_refused(store: SqliteStore, entry: MakeEntry) -> None:
    with pytest.raises(UsageError, match="absolute path"):
        store.put([entry("a.jpg")])
    with pytest.raises(UsageError, match="ISO date"):
        store.put([entry("/a.jpg", taken="2021:05:03")])
    with pytest.raises(UsageError, match="reserved for the store"):
        store.set_meta("revision", "7")


def test_restamping_changes_path_and_day_but_no_vector(store: SqliteStore, entry: MakeEntry) -> None:
    noon_2001, c = 1_000_000_000_000_000_000, Path("/photos/c.jpg")
    store.put([entry("/photos/a.jpg"), entry("/photos/b.jpg", taken="2015-06-01")])
    store.tag([A], "sea")
    uid, vectors = store.lookup([A])[A].uid, store.vectors_revision
    store.restamp([FileStamp(1, c, 11, noon_2001), FileStamp(2, B, 11, noon_2001), FileStamp(9, A, 1, 1)])
    known = store.lookup([A, B, c])
    assert set(known) == {B, c}
    assert (known[c].id, known[c].uid, known[c].size, known[c].mtime_ns) == (1, uid, 11, noon_2001)
    assert (store.rows([1])[1].tags, store.vectors_revision) == (("sea",), vectors)
    assert store.select(Filter(before=date(2001, 12, 31))).tolist() == [1]
    assert store.select(Filter(after=date(2015, 6, 1), before=date(2015, 6, 1))).tolist() == [2]


def test_removing_images_removes_their_tags(store: SqliteStore, entry: MakeEntry) -> None:
    store.put([entry("/photos/a.jpg"), entry("/photos/b.jpg")])
    assert store.tag([A, B, Path("/no")], "red") == 2
    assert store.forget([A, Path("/no")]) == 1
    assert store.tags() == {"red": 1}
    assert store.untag([A, B], "red") == 1
    assert store.tags() == {}
    with pytest.raises(UsageError, match="not only spaces"):
        store.tag([B], " ")


def test_runs_are_listed_newest_first_and_an_interrupted_one_has_no_end(store: SqliteStore) -> None:
    first = store.begin_run()
    store.finish_run(first, Run(first, "", found=5, indexed=3, unchanged=1, skipped=1, moved=2))
    second = store.begin_run()
    newest, oldest = store.runs()
    assert (newest.id, newest.finished) == (second, None)
    assert (oldest.found, oldest.indexed, oldest.unchanged, oldest.skipped, oldest.moved) == (5, 3, 1, 1, 2)
    assert oldest.finished is not None


def test_a_closed_store_can_neither_be_read_nor_changed(store: SqliteStore, entry: MakeEntry) -> None:
    store.put([entry("/photos/a.jpg")])
    store.close()
    with pytest.raises(UsageError, match="is closed"):
        store.counts()
    with pytest.raises(UsageError, match="is closed"):
        store.put([entry("/photos/b.jpg")])


def test_a_second_store_in_one_folder_is_refused(store: SqliteStore) -> None:
    store.close()
    with pytest.raises(LibraryError, match="exists already"):
        SqliteStore.create(store.file, {})
    with pytest.raises(UsageError, match="reserved for the store"):
        SqliteStore.create(store.file.with_name("other"), {"revision": "3"})


def test_threads_share_a_store(store: SqliteStore, entry: MakeEntry) -> None:
    def work(worker: int) -> int:
        for number in range(20):
            store.put([entry(f"/photos/{worker}-{number}.jpg", worker)])
            assert store.lookup([Path(f"/photos/{worker}-{number}.jpg")])
        return sum(len(ids) for ids, _ in store.vectors(batch=7))

    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(work, range(4)))
    assert max(seen) == 80
    assert store.counts().vectors == 80
