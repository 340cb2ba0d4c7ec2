from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from kindred.errors import LibraryError, LibraryFull, LibraryLocked, UsageError
from kindred.store import Entry, SqliteStore

MakeEntry = Callable[..., Entry]

WRITER = """
import sys
from pathlib import Path
import numpy as np
from kindred.store import SqliteStore, Entry
with SqliteStore.open(Path(sys.argv[1])) as store, store.indexing():
    print("ready", flush=True)
    for line in sys.stdin:
        number = int(line)
        vectors = np.full((2, 3), number, np.float32)
        store.put([Entry(Path(f"/p/{number}.jpg"), 1, 1, vectors=vectors)])
        print(number, flush=True)
"""


class Writer:
    """Another process in an indexing run, which puts what it is sent."""

    def __init__(self, file: Path) -> None:
        command = [sys.executable, "-c", WRITER, str(file)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._answer() == "ready"

    def put(self, number: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        assert self._answer() == str(number)

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self.process.wait()


def test_a_reader_beside_a_writer_sees_each_committed_batch_and_kill_loses_none(
    store: SqliteStore, entry: MakeEntry
) -> None:
    store.close()
    writer = Writer(store.file)
    with SqliteStore.open(store.file) as reader:
        for number in range(1, 4):
            writer.put(number)
            assert reader.counts().vectors == 2 * number
        with pytest.raises(LibraryLocked, match=f"process {writer.process.pid} is indexing"), reader.indexing():
            pass
        reader.tag([Path("/p/1.jpg")], "sea")  # a run holds the file only while it commits
        assert reader.tags() == {"sea": 1}
        writer.end(signal.SIGKILL)
        assert reader.counts().vectors == 6
    with SqliteStore.open(store.file) as next_writer:
        assert next_writer.counts().vectors == 6
        next_writer.put([entry("/p/9.jpg")])
        assert next_writer.counts().vectors == 7


def test_a_second_run_in_the_same_process_is_refused_too(store: SqliteStore) -> None:
    with store.indexing():
        for refused in (store.indexing, SqliteStore.open(store.file).indexing):
            with pytest.raises(LibraryLocked, match="this process is indexing into this library"), refused():
                pass
        with pytest.raises(LibraryLocked):
            SqliteStore.create(store.file, {})
    with store.indexing():
        assert store.file.with_name("index.lock.pid").exists()
    assert not store.file.with_name("index.lock.pid").exists()


def test_a_store_that_changed_something_locks_nobody_out(store: SqliteStore, entry: MakeEntry) -> None:
    store.put([entry("/p/1.jpg")])
    with SqliteStore.open(store.file) as other:
        other.tag([Path("/p/1.jpg")], "sea")
        store.tag([Path("/p/1.jpg")], "dog")
        assert other.tags() == store.tags() == {"dog": 1, "sea": 1}


def test_a_change_waits_for_another_up_to_a_timeout(
    store: SqliteStore, entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindred.store.sqlite.database.WRITE_SECONDS", 0.1)
    with SqliteStore.open(store.file) as other, store.writing():
        store.put([entry("/p/1.jpg")])
        with pytest.raises(LibraryLocked, match="is locked by another program"):
            other.tag([Path("/p/1.jpg")], "sea")
        other.close()
    monkeypatch.undo()
    with SqliteStore.open(store.file) as other, ThreadPoolExecutor(1) as pool:
        with store.writing():
            store.put([entry("/p/2.jpg")])
            waiting = pool.submit(other.tag, [Path("/p/2.jpg")], "sea")
            assert not wait([waiting], timeout=0.2).done
        assert waiting.result() == 1


def test_grouped_changes_are_atomic(store: SqliteStore, entry: MakeEntry) -> None:
    with SqliteStore.open(store.file) as other:
        with store.writing():
            store.put([entry("/p/1.jpg")])
            store.tag([Path("/p/1.jpg")], "sea")
            assert (store.tags(), other.tags()) == ({"sea": 1}, {})
        assert other.tags() == {"sea": 1}
        with pytest.raises(UsageError, match="not only spaces"), store.writing():
            store.tag(store.paths_under(Path("/")), " " * store.forget([Path("/p/1.jpg")]))
        assert other.counts().images == store.counts().images == 1


def test_threads_that_change_a_store_wait_for_each_other(store: SqliteStore, entry: MakeEntry) -> None:
    def work(worker: int) -> None:
        for number in range(10):
            with store.writing():
                store.put([entry(f"/p/{worker}-{number}.jpg")])
                assert store.lookup([Path(f"/p/{worker}-{number}.jpg")])
                store.tag([Path(f"/p/{worker}-{number}.jpg")], f"by {worker}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert store.tags() == {f"by {worker}": 10 for worker in range(4)}


def test_the_message_works_without_a_process_id(store: SqliteStore) -> None:
    with store.indexing():
        store.file.with_name("index.lock.pid").write_text("?")
        with pytest.raises(LibraryLocked, match="another process is indexing"), store.indexing():
            pass


def test_a_lock_that_cannot_be_created_is_an_error(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("filelock.FileLock.acquire", read_only)
    with pytest.raises(LibraryError, match="cannot be written to"), store.indexing():
        pass


@pytest.mark.parametrize("name", ["index.lock", "index.lock.pid"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_lock_writes_into_no_file_but_its_own(store: SqliteStore, name: str, kind: str) -> None:
    place, victim = store.file.with_name(name), store.file.parent.with_name("victim")
    victim.write_text("precious", encoding="utf-8")
    place.unlink(missing_ok=True)
    if kind == "link":
        place.symlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    if name == "index.lock":
        with (
            pytest.raises(LibraryError, match=r"index\.lock: cannot be used as a lock \(.*\); remove it"),
            store.indexing(),
        ):
            pass
    else:
        with store.indexing(), pytest.raises(LibraryLocked, match="process is indexing"), store.indexing():
            pass
    assert victim.read_text(encoding="utf-8") == "precious"


def test_the_holder_of_a_lock_is_not_read_from_a_pipe(store: SqliteStore) -> None:
    with store.indexing():
        holder = store.file.with_name("index.lock.pid")
        holder.unlink()
        os.mkfifo(holder)
        with pytest.raises(LibraryLocked, match="another process is indexing"), store.indexing():
            pass


def test_a_disk_without_room_for_the_lock_is_named_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "library" / "store.sqlite"
    SqliteStore.create(tmp_path / "other" / "store.sqlite", {}).close()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("filelock.FileLock.acquire", full)
    with pytest.raises(LibraryFull, match="library: the disk is full; no library was created; free some space and run"):
        SqliteStore.create(file, {})
    safe = pytest.raises(LibraryFull, match="other: the disk is full; committed changes are safe; free some space")
    with SqliteStore.open(tmp_path / "other" / "store.sqlite") as store, safe, store.indexing():
        pytest.fail("ran without the lock")
