from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kindred.errors import LibraryError, LibraryLocked
from kindred.store import Entry, SqliteStore

MakeEntry = Callable[..., Entry]

WRITER = """
import sys
from pathlib import Path
import numpy as np
from kindred.store import SqliteStore, Entry
with SqliteStore.open(Path(sys.argv[1]), mode="write") as store:
    print("ready", flush=True)
    for line in sys.stdin:
        number = int(line)
        vectors = np.full((2, 3), number, np.float32)
        store.put([Entry(Path(f"/p/{number}.jpg"), 1, 1, vectors=vectors)])
        print(number, flush=True)
"""


class Writer:
    """Another process that has the store open for writing and puts what it is told to."""

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
        with pytest.raises(LibraryLocked, match=f"process {writer.process.pid} is writing"):
            SqliteStore.open(store.file, mode="write")
        writer.end(signal.SIGKILL)
        assert reader.counts().vectors == 6
    with SqliteStore.open(store.file, mode="write") as next_writer:
        assert next_writer.counts().vectors == 6
        next_writer.put([entry("/p/9.jpg")])
        assert next_writer.counts().vectors == 7


def test_a_second_writer_in_the_same_process_is_refused_too(store: SqliteStore) -> None:
    with pytest.raises(LibraryLocked, match="this process is writing to this library"):
        SqliteStore.open(store.file, mode="write")
    with pytest.raises(LibraryLocked):
        SqliteStore.create(store.file, {})
    store.close()
    SqliteStore.open(store.file, mode="write").close()
    assert not store.file.with_name("write.lock.pid").exists()


def test_the_message_does_without_a_process_id(store: SqliteStore) -> None:
    store.file.with_name("write.lock.pid").write_text("?")
    with pytest.raises(LibraryLocked, match="another process is writing"):
        SqliteStore.open(store.file, mode="write")


def test_a_lock_that_cannot_be_made_is_no_lock(tmp_path: Path, store: SqliteStore) -> None:
    store.close()
    lock = store.file.with_name("write.lock")
    lock.unlink()
    lock.symlink_to(tmp_path / "no" / "where")
    with pytest.raises(LibraryError, match="cannot be written to"):
        SqliteStore.open(store.file, mode="write")
