from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kindred.errors import (
    LibraryDamaged,
    LibraryError,
    LibraryFull,
    LibraryNotFound,
    LibraryTooNew,
    UsageError,
)
from kindred.store import FORMAT, Entry, SqliteStore
from kindred.store.sqlite import schema
from kindred.store.sqlite.database import Database

MakeEntry = Callable[..., Entry]


NOBODY = 65534


def change(file: Path, statement: str) -> None:
    connection = sqlite3.connect(file)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_missing_and_damaged_libraries_are_distinguished(tmp_path: Path) -> None:
    with pytest.raises(LibraryNotFound, match="no library found"):
        SqliteStore.open(tmp_path / "none" / "store.sqlite")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("content", [b"", b"hello, this is no database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_not_a_database_is_refused_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "store.sqlite"
    file.write_bytes(content)
    for _ in range(2):  # the lock of the failed attempt is free again
        with pytest.raises(LibraryDamaged, match="index the images again"):
            SqliteStore.open(file)
    assert file.read_bytes() == content


def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    change(file, "CREATE TABLE t (x)")
    with pytest.raises(LibraryDamaged, match="not the store of a Kindred library"):
        SqliteStore.open(file)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DROP TABLE tags", "its table 'tags' is missing"),
        ("ALTER TABLE images DROP COLUMN width", "its table 'images' is changed"),
        ("DROP INDEX tags_by_image", "its index 'tags_by_image' is missing"),
        ("CREATE TABLE more (x)", "its table 'more' is not Kindred's"),
    ],
)
def test_missing_and_changed_tables_are_damage(store: SqliteStore, statement: str, fault: str) -> None:
    store.close()
    change(store.file, statement)
    with pytest.raises(LibraryDamaged, match=rf"is damaged \({fault}\); restore it from a backup"):
        SqliteStore.open(store.file)


def test_overwritten_pages_are_reported_as_damage(store: SqliteStore, entry: MakeEntry) -> None:
    store.put([entry(f"/p/{number}.jpg", number) for number in range(2000)])
    store.close()
    size = store.file.stat().st_size
    with store.file.open("r+b") as stream:
        stream.seek(schema.PAGE_BYTES)
        stream.write(b"\xa5" * (size - schema.PAGE_BYTES))
    with pytest.raises(LibraryDamaged, match="damaged"), SqliteStore.open(store.file) as reader:
        list(reader.vectors())


def test_a_newer_format_is_refused_and_left_alone(store: SqliteStore) -> None:
    store.close()
    change(store.file, f"PRAGMA user_version = {FORMAT + 1}")
    before = store.file.read_bytes()
    with pytest.raises(LibraryTooNew, match=f"has format {FORMAT + 1}.*up to {FORMAT}; upgrade it"):
        SqliteStore.open(store.file)
    assert store.file.read_bytes() == before


def test_an_older_format_is_refused_and_left_alone(store: SqliteStore) -> None:
    store.close()
    change(store.file, "PRAGMA user_version = 2")
    before = store.file.read_bytes()
    with pytest.raises(LibraryError, match=r"has format 2 of an older version of Kindred.*index the images"):
        SqliteStore.open(store.file)
    assert store.file.read_bytes() == before


@pytest.fixture
def old_store(tmp_path: Path, entry: MakeEntry) -> Path:
    """A store of the oldest format that is still read, with an image."""
    file = tmp_path / "library" / "store.sqlite"
    with SqliteStore.create(file, {}) as created:
        created.put([entry("/p/a.jpg"), entry("/p/b.jpg")])
        created.tag([Path("/p/a.jpg")], "sea")
    connection = sqlite3.connect(file)
    for table in ("not_same", "saved_searches"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute(f"PRAGMA user_version = {schema.OLDEST}")
    connection.close()
    return file


def test_a_store_of_an_older_format_is_read_as_it_is_and_migrated_by_the_first_change(old_store: Path) -> None:
    before = old_store.read_bytes()
    with SqliteStore.open(old_store) as store, SqliteStore.open(old_store) as other:
        assert store.tags() == {"sea": 1}
        assert store.not_same().shape == (0, 2)
        assert store.saved_searches() == []
        assert old_store.read_bytes() == before
        pair = (Path("/p/a.jpg"), Path("/p/b.jpg"))
        assert store.set_not_same([pair]) == 1
        assert other.not_same().tolist() == [[1, 2]]  # although it was opened before
        assert other.save_search("sea", {}).name == "sea"
        assert store.tags() == {"sea": 1}
    connection = sqlite3.connect(old_store)
    assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    assert schema.objects_of(connection) == schema.own_objects()
    connection.close()


def test_a_migration_that_fails_changes_nothing(old_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {FORMAT: (*schema.MIGRATIONS[FORMAT], "THIS IS NOT SQL")}
    with SqliteStore.open(old_store) as store:
        with monkeypatch.context() as patch:
            patch.setattr(schema, "MIGRATIONS", broken)
            with pytest.raises(sqlite3.OperationalError):
                store.tag([Path("/p/a.jpg")], "hill")
        assert store.tags() == {"sea": 1}
        assert store.tag([Path("/p/a.jpg")], "hill") == 1
        assert store.tags() == {"hill": 1, "sea": 1}


def test_an_older_store_with_a_table_of_the_new_format_is_refused(old_store: Path) -> None:
    change(old_store, "CREATE TABLE saved_searches (uid TEXT)")
    with pytest.raises(LibraryDamaged, match="saved_searches"):
        SqliteStore.open(old_store)


def test_a_creation_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "store.sqlite"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "TABLES", ("THIS IS NOT SQL",))
        with pytest.raises(sqlite3.OperationalError):
            SqliteStore.create(file, {})
    assert [path.name for path in tmp_path.iterdir()] == ["index.lock"]
    SqliteStore.create(file, {}).close()


def fill_up(store: SqliteStore) -> int:
    """Put batches until one fails for want of room; return how many images were committed before."""
    vectors = np.ones((1, 512), np.float32)
    for batch in range(10_000):
        entries = [Entry(Path(f"/p/{batch}-{number}.jpg"), 1, 1, vectors=vectors) for number in range(50)]
        committed = store.counts().images
        try:
            store.put(entries)
        except LibraryFull:
            return committed
    raise AssertionError("the disk never was full")


def test_a_full_database_loses_nothing_that_was_committed(store: SqliteStore) -> None:
    connection = store._database._open_writer()
    connection.execute("PRAGMA max_page_count = 60")
    committed = fill_up(store)
    assert committed > 0
    assert store.counts().images == committed
    store.close()
    with SqliteStore.open(store.file) as reopened:
        assert reopened.counts().vectors == committed
        reopened.put([Entry(Path("/p/more.jpg"), 1, 1, vectors=np.ones((1, 512), np.float32))])
        assert reopened.counts().vectors == committed + 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_loses_nothing_and_writing_goes_on_when_there_is_room(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1_000_000))
    with SqliteStore.create(small_disk / "store.sqlite", {}) as store:
        committed = fill_up(store)
        assert committed > 0
        filler.unlink()
        store.put([Entry(Path("/p/more.jpg"), 1, 1, vectors=np.ones((1, 512), np.float32))])
    with SqliteStore.open(small_disk / "store.sqlite") as reader:
        assert reader.counts().vectors == committed + 1


READ_AS_NOBODY = f"""
import os, sys
from pathlib import Path
from kindred.store import SqliteStore
from kindred.errors import LibraryError
file = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
try:
    with SqliteStore.open(file) as reader:
        assert (reader.not_same().tolist(), reader.saved_searches()) == ([], [])
        print(reader.counts().vectors)
except LibraryError as error:
    print(error)
try:
    with SqliteStore.open(file) as writer:
        writer.set_meta("note", "1")
except LibraryError as error:
    print(error)
"""


@pytest.fixture
def readable_folder() -> Iterator[Path]:
    """A folder that any user can reach (pytest's own belong to one), which the test makes read-only."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


def read_as_nobody(file: Path) -> list[str]:
    file.parent.chmod(0o555)
    done = subprocess.run([sys.executable, "-c", READ_AS_NOBODY, str(file)], capture_output=True, text=True, check=True)
    file.parent.chmod(0o755)
    return done.stdout.splitlines()


def test_a_read_only_folder_can_be_read_but_not_written(readable_folder: Path, entry: MakeEntry) -> None:
    file = readable_folder / "store.sqlite"
    with SqliteStore.create(file, {}) as store:
        store.put([entry("/p/1.jpg"), entry("/p/2.jpg")])
    read, written = read_as_nobody(file)
    assert read == "2"
    assert "is read-only, so the library can be searched but not changed" in written


def test_a_store_of_an_older_format_in_a_read_only_folder_can_be_read(readable_folder: Path, old_store: Path) -> None:
    file = Path(shutil.copy(old_store, readable_folder))
    file.chmod(0o644)
    read, written = read_as_nobody(file)
    assert read == "2"
    assert "is read-only, so the library can be searched but not changed" in written


def test_a_read_only_folder_shows_what_a_running_writer_committed(readable_folder: Path, entry: MakeEntry) -> None:
    file = readable_folder / "store.sqlite"
    with SqliteStore.create(file, {}) as store:
        store.put([entry("/p/1.jpg")])
        assert read_as_nobody(file)[0] == "1"
        store.put([entry("/p/2.jpg")])
        assert read_as_nobody(file)[0] == "2"


def test_a_read_only_copy_with_an_unmerged_log_is_not_read_without_it(
    readable_folder: Path, tmp_path: Path, entry: MakeEntry
) -> None:
    with SqliteStore.create(tmp_path / "store.sqlite", {}) as store:
        store.put([entry("/p/1.jpg")])
        for name in ("store.sqlite", "store.sqlite-wal"):
            shutil.copy(tmp_path / name, readable_folder / name)
            (readable_folder / name).chmod(0o644)
    assert "open the library once where the folder is writable" in read_as_nobody(readable_folder / "store.sqlite")[0]
    with SqliteStore.open(readable_folder / "store.sqlite") as reader:
        assert reader.counts().vectors == 1


def test_a_read_beside_a_thread_that_closes_says_that_it_is_closed(store: SqliteStore, entry: MakeEntry) -> None:
    """The other thread closes the connection between two looks at it."""
    store.put([entry("/p/1.jpg")])
    writer = store._database._writer
    assert writer is not None
    store.close()
    store._database._writer = writer
    with pytest.raises(UsageError, match="is closed; open it again"):
        store.counts()


@pytest.fixture
def frozen(store: SqliteStore, entry: MakeEntry, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    """A reader whose SQLite cannot open the file the usual way while it has no log."""
    store.put([entry("/p/1.jpg")])
    store.close()
    connect = Database._connect

    def refuse_without_log(self: Database, parameters: str, patience: float) -> sqlite3.Connection:
        if parameters == "mode=ro" and not store.file.with_name("store.sqlite-wal").exists():
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error
        return connect(self, parameters, patience)

    monkeypatch.setattr(Database, "_connect", refuse_without_log)
    with SqliteStore.open(store.file) as reader:
        yield reader


def test_a_frozen_reader_follows_a_file_that_changes_after_all(frozen: SqliteStore, entry: MakeEntry) -> None:
    assert frozen.counts().vectors == 1
    with SqliteStore.open(frozen.file) as writer:
        writer.put([entry("/p/2.jpg")])
        assert frozen.counts().vectors == 2
    assert frozen.counts().vectors == 2


def test_a_frozen_reader_notices_that_its_file_is_gone(frozen: SqliteStore) -> None:
    frozen.file.unlink()
    with pytest.raises(LibraryNotFound, match="was deleted while in use"):
        frozen.counts()
