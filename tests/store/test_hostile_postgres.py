"""Cells of a library in PostgreSQL that are larger than Kindred writes them: named in an error, and never received."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kindred.errors import LibraryDamaged, LibraryReplaced
from kindred.store import Entry, Filter, Order, PostgresUrl, Root, VisualWords
from postgres_server import execute

pytest.importorskip("psycopg")
from kindred.store.postgres import database, reading
from kindred.store.postgres.connections import TimedConnection
from kindred.store.postgres.store import PostgresStore

MakeEntry = Callable[..., Entry]
A, B = Path("/photos/a.jpg"), Path("/photos/b.jpg")
MOST = 1 << 22
"""Bytes of the largest cell of features or visual words."""
LARGE = "convert_to(repeat('x', {}), 'UTF8')"


@pytest.fixture
def store(url: PostgresUrl) -> Iterator[PostgresStore]:
    with PostgresStore.create(url, {}) as made:
        yield made


def largest(cell: object) -> int:
    """Return the size of the largest bytes or text in a cell, or in a row of cells."""
    if isinstance(cell, list | tuple):
        return max(map(largest, cell), default=0)
    return len(cell) if isinstance(cell, bytes | str) else 0


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all values that the server has sent."""
    sizes: list[int] = []
    fetch = database.fetch

    def counted(connection: TimedConnection, sql: str, values: database.Parameters = ()) -> list[tuple[Any, ...]]:
        rows = fetch(connection, sql, values)
        sizes.extend(map(largest, rows))
        return rows

    monkeypatch.setattr(database, "fetch", counted)
    return sizes


def refused(call: Callable[[], object], message: str, received: list[int], most: int) -> None:
    received.clear()
    with pytest.raises(LibraryDamaged, match=message) as caught:
        call()
    assert str(caught.value).startswith("postgresql://")
    assert max(received, default=0) <= most


def test_local_features_and_visual_words(
    url: PostgresUrl, store: PostgresStore, entry: MakeEntry, received: list[int]
) -> None:
    words = VisualWords(np.arange(3, dtype=np.uint16), np.arange(3, dtype=np.uint64))
    store.put([replace(entry(str(path)), visual_words=words, features=b"abc") for path in (A, B)])
    expected = rf"image 2: features is {MOST + 1:,} bytes, expected at most {MOST:,}; describe the image"
    execute(url, f"UPDATE features SET data = {LARGE.format(MOST)} WHERE image_id = 2")
    assert len(store.features_of([1, 2])[2]) == len(store.features_of_images([1, 2])[2]) == max(received) == MOST
    execute(url, f"UPDATE features SET data = {LARGE.format(MOST + 1)} WHERE image_id = 2")
    calls: list[Callable[[], object]] = [
        lambda: store.features(2),
        lambda: store.features_of([1, 2]),
        lambda: store.features_of_images([1, 2]),
    ]
    for call in calls:
        refused(call, expected, received, 3)
    assert store.features(1) == b"abc"
    for column in ("words", "signatures"):
        execute(url, f"UPDATE visual_words SET {column} = {LARGE.format(MOST + 2)} WHERE vector_id = 2")
        name = "visual words" if column == "words" else "signatures"
        what = f"2: {name} is {MOST + 2:,} bytes, expected at most {MOST:,}"
        refused(lambda: list(store.visual_words()), f"vector {what}; kindred verify names", received, 24)
        refused(lambda: store.visual_words_of_images([1, 2]), f"image {what}; describe the image again", received, 24)
        assert store.visual_words_of_images([1]).keys() == {1}
        execute(url, "UPDATE visual_words SET words = '' WHERE vector_id = 2")


def test_words_in_place_of_a_vector(url: PostgresUrl, store: PostgresStore, received: list[int]) -> None:
    store.put([Entry(A, 1, 1, vectors=np.ones((2, 3), np.float32), words=np.array([4, 7]))])
    most = 1 << 26
    execute(url, f"UPDATE words SET data = {LARGE.format(most + 2)}")
    refused(lambda: list(store.parts()), f"image 1: rows of words is {most + 2:,} bytes, expected", received, 8)


@pytest.mark.parametrize("dimension", [3, 16_001])
def test_vectors_that_are_stored_as_bytes(
    url: PostgresUrl, store: PostgresStore, dimension: int, received: list[int]
) -> None:
    store.put([Entry(path, 1, 1, vectors=np.ones((1, dimension), np.float32)) for path in (A, B)])
    execute(url, f"UPDATE vectors SET data = NULL, wide = {LARGE.format(5_000_000)} WHERE id = 2")
    expected = f"vector 2 has 5,000,000 bytes, expected {4 * dimension}"
    for call in (lambda: list(store.vectors()), lambda: list(store.parts()), lambda: store.fetch([2])):
        refused(call, expected, received, 4 * dimension + 32)
    if dimension == 3:
        query = np.ones(3, np.float32)
        nearest = store.vector_search.nearest
        refused(lambda: nearest(query, 2, similarity="dot", where=None), expected, received, 16)
        execute(url, "UPDATE vectors SET data = '[1, 2]' WHERE id = 1")
        different = r"vectors of different dimensions \(different vector dimensions"
        refused(lambda: nearest(query, 2, similarity="dot", where=None), different, received, 16)
    execute(url, f"UPDATE state SET dimension = {2**31 - 1}")
    for call in (lambda: list(store.vectors()), lambda: list(store.parts()), lambda: store.fetch([2])):
        refused(call, "vector . has|dimension is", received, 4 * dimension + 32)


def test_paths_and_digests(url: PostgresUrl, store: PostgresStore, entry: MakeEntry, received: list[int]) -> None:
    store.put([entry(str(A)), replace(entry(str(B)), vectors=None, reason="empty")])
    execute(url, f"UPDATE images SET digest = {LARGE.format(100_000)}")
    assert [len(each.digest or b"") for each in store.lookup([A, B]).values()] == [33, 33]
    execute(url, "UPDATE images SET path = convert_to('/' || id || repeat('x', 200000), 'UTF8')")
    execute(url, "INSERT INTO roots VALUES (convert_to('/' || repeat('x', 200000), 'UTF8'), 1, 1, 'now')")
    calls: list[Callable[[], object]] = [
        lambda: store.images([1]),
        lambda: store.rows([1]),
        lambda: store.outlines(Filter()),
        lambda: list(store.paths_under(Path("/"))),
        lambda: list(store.known_under(Path("/"))),
        lambda: store.by_digest([b"x" * 100_000]),
        store.skipped,
        store.roots,
    ]
    for call in calls:
        refused(call, "path is 100,001 bytes, expected an absolute path", received, 100_001)
    received.clear()
    store.listed(Filter(), Order("path"), limit=1)
    assert max(received) <= 100_001


def test_texts(url: PostgresUrl, store: PostgresStore, entry: MakeEntry, received: list[int]) -> None:
    store.put([entry(str(A)), replace(entry(str(B)), vectors=None, reason="empty")])
    store.tag([A], "sea")
    store.set_metadata([A], {"maker": "Leica"})
    store.save_search("blue", {"k": 3})
    store.begin_run()
    store.set_root(Root(Path("/photos"), 1, 1, "now"))
    long = "repeat('x', 100000)"
    execute(
        url,
        f"UPDATE images SET uid = id || {long}, taken = {long}, day = {long}, version = {long}, reason = {long}",
        f"UPDATE tags SET tag = {long}",
        f"UPDATE metadata SET key = {long}, value = repeat('y', 100000)",
        f"UPDATE saved_searches SET uid = {long}, search = {long}, saved_at = {long}",
        f"UPDATE runs SET started = {long}, finished = {long}",
        f"UPDATE roots SET seen = {long}",
        f"UPDATE state SET uuid = {long}",
    )
    calls: list[tuple[Callable[[], object], int]] = [
        (lambda: store.lookup([A, B]), 100),
        (lambda: store.rows([1]), 10_000),
        (lambda: store.listed(Filter(), Order("taken"), limit=1), 100),
        (store.skipped, 10_000),
        (store.tags, 200),
        (store.metadata_keys, 100),
        (store.runs, 100),
        (store.roots, 100),
        (store.saved_searches, 1 << 16),
        (lambda: store.outlines(Filter()), 100),
        (lambda: store.days(Filter()), 100),
        (lambda: store.fetch([1]), 100),
        (lambda: store.revision, 100),
        (lambda: store.tag([A], "x"), 100),
    ]
    for call, most in calls:
        received.clear()
        with suppress(LibraryDamaged, LibraryReplaced):
            call()
        assert max(received) == most + 1
    with pytest.raises(LibraryDamaged, match="saved search 'blue' is larger than"):
        store.saved_searches()


def test_fitted_files(store: PostgresStore, monkeypatch: pytest.MonkeyPatch, received: list[int]) -> None:
    store.set_files({"small": b"x" * 10, "large": b"x" * 11})
    monkeypatch.setattr(reading, "FILE_BYTES", 10)
    received.clear()
    assert store.files(["small", "large"]) == {"small": b"x" * 10}
    assert max(received) == 10
