"""Store files that somebody else made, or that were damaged: one clear line, nothing executed, no wrong result."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from kindred.errors import KindredError, LibraryDamaged, LibraryNotFound, LibraryReplaced
from kindred.store import Entry, Filter, SqliteStore

MakeEntry = Callable[..., Entry]


@pytest.fixture
def filled(store: SqliteStore, entry: MakeEntry) -> SqliteStore:
    words = np.array([3, 4])
    store.put([entry("/p/1.jpg"), entry("/p/2.jpg", 2.0, regions=2), Entry(Path("/p/3.jpg"), 1, 1, reason="empty")])
    store.put([Entry(Path("/p/4.jpg"), 1, 1, vectors=np.ones((2, 3), np.float32), words=words, features=b"x")])
    store.tag([Path("/p/1.jpg")], "sea")
    store.set_metadata([Path("/p/1.jpg")], {"price": 20})
    store.close()
    return store


def change(file: Path, *statements: str) -> None:
    connection = sqlite3.connect(file)
    for statement in ("PRAGMA ignore_check_constraints = ON", *statements):
        connection.execute(statement)
    connection.commit()
    connection.close()


def ask_everything(file: Path) -> None:
    """Ask what a library asks of its store, all of it."""
    with SqliteStore.open(file) as store:
        _ = store.meta, store.revision, store.vectors_revision, store.dimension
        store.counts()
        known = store.lookup([Path(f"/p/{number}.jpg") for number in range(5)])
        store.by_uid([each.uid for each in known.values()])
        list(store.known_under(Path("/p")))
        _ = store.skipped(), store.tags(), store.metadata_keys(), store.roots(), store.runs()
        store.metadata_kinds("price")
        store.rows(store.select(Filter()).tolist())
        store.outlines(Filter())
        store.days(Filter())
        store.images(range(1, 10))
        ids = [number for batch, _ in store.vectors() for number in batch]
        store.fetch(ids)
        list(store.parts())
        list(store.visual_words())
        store.visual_words_of_images(range(1, 5))
        store.features(4)
        store.features_of(ids)
        store.features_of_images(range(1, 5))


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE meta SET value = CAST(x'ff41' AS TEXT) WHERE key = 'recipe'", "meta 'recipe': value is"),
        ("UPDATE meta SET value = 'abc' WHERE key = 'revision'", "meta 'revision': value is 'abc', expected a whole"),
        ("DELETE FROM meta WHERE key = 'vectors_revision'", "meta 'vectors_revision': value is None"),
        ("UPDATE meta SET value = '-3' WHERE key = 'dimension'", "meta 'dimension': value is '-3'"),
        ("UPDATE meta SET value = '99999999999' WHERE key = 'dimension'", "meta 'dimension': value is"),
        ("UPDATE meta SET value = zeroblob(9000000) WHERE key = 'recipe'", "table meta is larger"),
        ("UPDATE images SET path = 'text' WHERE id = 1", "image 1: path is 'text', expected an absolute path"),
        ("UPDATE images SET path = CAST('relative' AS BLOB) WHERE id = 1", "image 1: path is 8 bytes"),
        ("UPDATE images SET path = x'2f610062' WHERE id = 1", "image 1: path is 4 bytes, expected an absolute path"),
        (
            "UPDATE images SET path = CAST('/' || printf('%0200000d', 1) AS BLOB) WHERE id = 1",
            "image 1: path is 200,001 bytes, expected an absolute path",
        ),
        ("UPDATE images SET width = 'wide' WHERE id = 2", "image 2: width is 'wide', expected a whole number"),
        ("UPDATE images SET height = -5 WHERE id = 2", "image 2: height is '-5'|image 2: height is -5"),
        ("UPDATE images SET size = 1.5 WHERE id = 2", "image 2: size is"),
        ("UPDATE images SET mtime_ns = x'00' WHERE id = 2", "image 2: mtime_ns is 1 bytes, expected a whole number"),
        ("UPDATE images SET uid = CAST(x'fe' AS TEXT) WHERE id = 2", "image 2: uid is"),
        ("UPDATE images SET taken = CAST(x'fe' AS TEXT) WHERE id = 2", "image 2: taken is"),
        ("UPDATE images SET day = '2024-99-99' WHERE id = 2", "image 2: day is '2024-99-99', expected a date such as"),
        ("UPDATE images SET reason = NULL WHERE id = 3", "image 3: reason is None"),
        ("UPDATE images SET reason = x'00' WHERE id = 3", "image 3: reason is 1 bytes"),
        ("UPDATE images SET digest = 'text' WHERE id = 1", "image 1: digest is 'text', expected bytes"),
        ("UPDATE images SET frames = 'many' WHERE id = 1", "image 1: frames is 'many'"),
        ("UPDATE tags SET tag = CAST(x'fe' AS TEXT)", "tag is"),
        ("UPDATE metadata SET value = 'abc'", "image 1: metadata 'price' is 'abc', expected a value of kind number"),
        ("UPDATE metadata SET value = 9e999", "image 1: metadata 'price' is"),
        ("UPDATE metadata SET kind = 'date', value = '2024-99-99'", "image 1: metadata 'price' is '2024-99-99'"),
        ("UPDATE metadata SET kind = 'object'", "image 1: metadata 'price' is"),
        ("UPDATE vectors SET data = 'abcdefghijkl' WHERE id = 2", "vector 2 has a value of type text"),
        ("UPDATE vectors SET data = zeroblob(50000000) WHERE id = 2", "vector 2 has 50,000,000 bytes, expected 12"),
        ("UPDATE vectors SET data = x'0000c07f0000000000000000' WHERE id = 2", "vector 2 holds NaN or infinity"),
        ("UPDATE vectors SET data = x'0000807f0000000000000000' WHERE id = 1", "vector 1 holds NaN or infinity"),
        ("UPDATE vectors SET x0 = 'a', y0 = 0, x1 = 1, y1 = 1 WHERE id = 2", "vector 2: box is 'a'"),
        ("UPDATE vectors SET x0 = 9e999, y0 = 0, x1 = 1, y1 = 1 WHERE id = 2", "vector 2: box is inf"),
        ("UPDATE vectors SET region = 'x' WHERE id = 2", "vector 2: region is 'x'"),
        ("UPDATE words SET words = 'text'", "the words of image 4 are truncated"),
        ("UPDATE words SET words = x'ffffffff03000000'", "the words of image 4 hold -1"),
        ("UPDATE words SET data = x'007e00000000000000000000'", "the words of image 4 holds NaN or infinity"),
        ("UPDATE features SET data = 12", "image 4: features is '12'|image 4: features is 12"),
        (
            "INSERT INTO features VALUES (1, zeroblob(50000000))",
            "image 1: features is 50,000,000 bytes, expected at most 4,194,304",
        ),
        ("INSERT INTO runs (started, found) VALUES ('now', 'many')", "run 1: a count is 'many'"),
        ("INSERT INTO roots VALUES ('text', 1, 1, 'now')", "roots: path is 'text'"),
        ("CREATE TRIGGER evil AFTER INSERT ON tags BEGIN DELETE FROM images; END", "its trigger 'evil' is not Kin"),
        ("CREATE VIEW evil AS SELECT load_extension('x')", "its view 'evil'"),
        ("CREATE TABLE more (x)", "its table 'more'"),
        ("DROP TABLE features", "its table 'features' is missing"),
        ("DROP INDEX images_by_day", "its index 'images_by_day' is missing"),
        ("ALTER TABLE images ADD COLUMN extra TEXT DEFAULT 'x'", "its table 'images' is changed"),
    ],
)
def test_damage_is_one_line_that_names_the_row(filled: SqliteStore, statement: str, message: str) -> None:
    ask_everything(filled.file)
    change(filled.file, statement)
    with pytest.raises(LibraryDamaged, match=message) as caught:
        ask_everything(filled.file)
    line = str(caught.value)
    assert line.startswith(str(filled.file))
    assert "\n" not in line
    assert line.isprintable()
    assert len(line) < 400


def test_an_oversized_value_is_not_read(filled: SqliteStore) -> None:
    change(filled.file, "UPDATE words SET data = zeroblob(100000000)")
    with pytest.raises(LibraryDamaged, match="larger than any that Kindred stores"):
        ask_everything(filled.file)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_are_reported_or_harmless(filled: SqliteStore, seed: int) -> None:
    random = np.random.default_rng(seed)
    content = bytearray(filled.file.read_bytes())
    for at in random.integers(0, len(content), 1 + 20 * (seed % 3)):
        content[at] = random.integers(0, 256)
    filled.file.write_bytes(content)
    with suppress(KindredError):
        ask_everything(filled.file)


def test_anything_but_a_regular_file_is_refused_without_opening_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "store.sqlite")
    with pytest.raises(LibraryDamaged, match="is not a regular file"):
        SqliteStore.open(tmp_path / "store.sqlite")


@pytest.mark.parametrize("name", ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm", "store.sqlite-journal"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_links_and_pipes_in_place_of_store_files_are_refused(filled: SqliteStore, name: str, kind: str) -> None:
    library = filled.file.parent
    victim = library.with_name("victim")
    shutil.move(library / name, victim) if name == "store.sqlite" else victim.write_bytes(b"precious" * 10_000)
    before = victim.read_bytes()
    if kind == "link":
        (library / name).symlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(library / name)
    else:
        (library / name).mkdir()
    with pytest.raises(LibraryDamaged, match=rf"{name}: (is not a regular file|was not written by Kindred) \("):
        SqliteStore.open(filled.file)
    assert victim.read_bytes() == before


def super_journal(file: Path, victim: Path) -> None:
    """Write a rollback journal beside a store that names a file; SQLite would delete that file on playing it back."""
    magic, page = bytes.fromhex("d9d505f920a163d7"), int.from_bytes(file.read_bytes()[16:18], "big")
    head = magic + struct.pack(">5I", 0, 0, file.stat().st_size // page, 512, page)
    name = os.fsencode(victim)
    end = struct.pack(">I", 2**30 // page + 1) + name + struct.pack(">2I", len(name), sum(name)) + magic
    file.with_name(f"{file.name}-journal").write_bytes(head.ljust(512, b"\0") + end)


def test_sqlite_deletes_what_a_journal_names(filled: SqliteStore, tmp_path: Path) -> None:
    """The reason for the check in `kindred.store.sqlite.files`; where SQLite ends it, the check can go."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    super_journal(filled.file, victim)
    change(filled.file, "UPDATE meta SET value = '1' WHERE key = 'revision'")
    assert not victim.exists()


def test_no_file_is_deleted_that_a_journal_names(filled: SqliteStore, entry: MakeEntry, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    super_journal(filled.file, victim)
    with pytest.raises(LibraryDamaged, match=r"-journal: was not written by Kindred \(it names a file to be deleted\)"):
        SqliteStore.open(filled.file).put([entry("/p/9.jpg")])
    assert victim.read_bytes() == b"precious"


def test_a_change_that_a_kill_cut_off_is_undone(filled: SqliteStore, entry: MakeEntry) -> None:
    """Where a file system has no write-ahead log, SQLite leaves a rollback journal."""
    file = filled.file
    torn = {}
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA cache_size = 1")  # so that pages are written before the commit
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE meta SET value = '77' WHERE key = 'revision'")
        connection.executemany("INSERT INTO tags VALUES (?, 1)", [(f"tag {number:0100}",) for number in range(3000)])
        for part in (file, file.with_name("store.sqlite-journal")):
            torn[part] = part.read_bytes()
        connection.execute("ROLLBACK")
    for part, content in torn.items():
        part.write_bytes(content)
    with SqliteStore.open(file) as store:
        assert store.tags() == {"sea": 1}
        store.put([entry("/p/9.jpg")])
        assert store.counts().indexed == 4
    ask_everything(file)


def test_a_store_that_is_deleted_can_neither_be_read_nor_changed(store: SqliteStore, entry: MakeEntry) -> None:
    store.put([entry("/p/1.jpg")])
    with SqliteStore.open(store.file) as other:
        for file in store.file.parent.glob("store.sqlite*"):
            file.unlink()
        for change_or_question in (store.counts, lambda: store.put([entry("/p/2.jpg")]), other.counts):
            with pytest.raises(LibraryNotFound, match="was deleted while in use"):
                change_or_question()
        SqliteStore.create(store.file, {"recipe": "test"}).close()
        for change_or_question in (store.counts, lambda: store.put([entry("/p/2.jpg")]), other.counts):
            with pytest.raises(LibraryReplaced, match="was deleted and created again"):
                change_or_question()


FORKS = """
import os, sys, threading
from contextlib import closing, suppress
from pathlib import Path
import numpy as np
from kindred.store import Entry, SqliteStore
store = SqliteStore.open(Path(sys.argv[1]))
row = np.ones((1, 3), np.float32)
store.put([Entry(Path("/p/1.jpg"), 1, 1, vectors=row)])
list(store.vectors())
stop = threading.Event()
def busy():  # holds the locks at most moments
    while not stop.is_set():
        store.counts()
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()
for number in range(2, 12):
    child = os.fork()
    if not child:
        store.put([Entry(Path(f"/p/{number}.jpg"), 1, 1, vectors=row)])
        seen = store.counts().vectors
        store.close()
        os._exit(0 if seen == number else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert store.counts().vectors == number
stop.set()
for thread in threads:
    thread.join()
store.put([Entry(Path("/p/99.jpg"), 1, 1, vectors=row)])
print(store.counts().vectors)
store.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_connections_of_its_own(store: SqliteStore) -> None:
    store.close()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, str(store.file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "12"), done.stderr
    with SqliteStore.open(store.file) as reopened:
        assert reopened.counts().vectors == 12
