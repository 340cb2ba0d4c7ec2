"""Changes to a store: each method is one transaction, done as a whole or not at all."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kindred.errors import LibraryError, UsageError
from kindred.store.database import Database, Mode, create_database
from kindred.store.lock import WriteLock
from kindred.store.reading import SqliteReader, path_key
from kindred.store.records import Entry, Stamp

__all__ = ["SqliteStore"]


class SqliteStore(SqliteReader):
    """The store of one library: make one with `create`, open it with `open`, use it with `with`.

    All methods that change something raise UsageError in read mode and LibraryFull when the disk is full;
    then nothing of that call is kept, and everything before is.
    """

    def __init__(self, database: Database, lock: WriteLock | None) -> None:
        super().__init__(database)
        self._lock = lock

    @classmethod
    def create(cls, file: Path, meta: Mapping[str, str]) -> Self:
        """Make a store at `file`, with its folder, and open it for writing.

        `meta` are facts about the library as a whole; "uuid", "created" and "revision" are added, and so is
        "dimension" with the first vector. Raises LibraryError where there is one already, LibraryLocked while
        another process makes one.
        """
        if "revision" in meta:
            raise UsageError('meta: "revision" is kept by the store itself; choose another name')
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = WriteLock(file.parent)
        try:
            if file.exists():
                raise LibraryError(f"{file}: exists already; open it, or choose another folder")
            create_database(file, {"uuid": uuid.uuid4().hex, "created": _now(), **meta})
            return cls(Database(file, mode="write"), lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, file: Path, *, mode: Mode = "read") -> Self:
        """Open the store at `file`. Many may read; one writes, and holds a lock until it closes or ends.

        Reading works in a folder and on a file system that cannot be written to.
        Raises LibraryNotFound, LibraryLocked, LibraryTooNew, LibraryDamaged or LibraryError.
        """
        if mode == "read":
            database = Database(file, mode="read")
            if not database.outdated:
                return cls(database, None)
            database.close()
            cls.open(file, mode="write").close()  # upgrades it
            return cls(Database(file, mode="read"), None)
        if not file.parent.is_dir():
            Database(file, mode="read")  # raises LibraryNotFound, with its advice
        lock = WriteLock(file.parent)
        try:
            return cls(Database(file, mode="write"), lock)
        except BaseException:
            lock.release()
            raise

    def close(self) -> None:
        """Close the file and let the next writer in; a second call does nothing."""
        super().close()
        if self._lock is not None:
            self._lock.release()

    def put(self, entries: Sequence[Entry]) -> None:
        """Add images, or replace those of the same path with all their vectors; tags stay.

        Raises UsageError, and changes nothing, where an entry contradicts itself or its rows are not (R, D).
        """
        with self._database.write() as connection:
            revision = _next_revision(connection)
            for entry in entries:
                image_id = _put_image(connection, entry)
                _remove_vectors(connection, image_id, revision)
                for table in ("features", "words"):
                    connection.execute(f"DELETE FROM {table} WHERE image_id = ?", (image_id,))
                if entry.vectors is not None:
                    _put_vectors(connection, entry, image_id)
                if entry.features is not None:
                    connection.execute("INSERT INTO features VALUES (?, ?)", (image_id, entry.features))

    def touch(self, stamps: Iterable[Stamp]) -> None:
        """Note a new size and time of files whose content is unchanged; unknown paths are passed over."""
        sql = """
            UPDATE images SET size = ?, mtime_ns = ?, day = CASE WHEN taken IS NULL THEN ? ELSE day END
            WHERE path = ?
        """
        with self._database.write() as connection:
            connection.executemany(
                sql, [(s.size, s.mtime_ns, _day(None, s.mtime_ns), path_key(s.path)) for s in stamps]
            )

    def forget(self, paths: Iterable[Path]) -> int:
        """Remove images with their vectors and tags; return how many there were."""
        removed = 0
        with self._database.write() as connection:
            revision = _next_revision(connection)
            for path in paths:
                image_id = _image_id(connection, path_key(path))
                if image_id is not None:
                    _remove_vectors(connection, image_id, revision)
                    connection.execute("DELETE FROM images WHERE id = ?", (image_id,))
                    removed += 1
        return removed

    def tag(self, paths: Iterable[Path], tag: str) -> int:
        """Give `tag` to images; return how many of `paths` are in the store."""
        if not tag.strip():
            raise UsageError(f"tag: got {tag!r}; expected a word")
        sql = "INSERT OR IGNORE INTO tags (tag, image_id) SELECT ?, id FROM images WHERE path = ?"
        known = self.lookup(paths)
        with self._database.write() as connection:
            _next_revision(connection)
            connection.executemany(sql, [(tag, path_key(path)) for path in known])
        return len(known)

    def untag(self, paths: Iterable[Path], tag: str) -> int:
        """Take `tag` from images; return how many had it."""
        sql = "DELETE FROM tags WHERE tag = ? AND image_id = (SELECT id FROM images WHERE path = ?)"
        with self._database.write() as connection:
            _next_revision(connection)
            return connection.executemany(sql, [(tag, path_key(path)) for path in paths]).rowcount

    def set_meta(self, key: str, value: str) -> None:
        """Set one fact about the library as a whole."""
        if key in ("revision", "dimension"):
            raise UsageError(f"meta: {key!r} is kept by the store itself; choose another name")
        with self._database.write() as connection:
            _next_revision(connection)
            _set_meta(connection, key, value)

    def begin_run(self) -> int:
        """Note that an indexing run starts; return its id."""
        with self._database.write() as connection:
            number = connection.execute("INSERT INTO runs (started) VALUES (?)", (_now(),)).lastrowid
        return int(number or 0)

    def finish_run(self, run: int, *, found: int, indexed: int, unchanged: int, skipped: int, removed: int) -> None:
        """Note that run `run` ended, with what it did in numbers of images."""
        sql = (
            "UPDATE runs SET finished = ?, found = ?, indexed = ?, unchanged = ?, skipped = ?, removed = ? WHERE id = ?"
        )
        with self._database.write() as connection:
            connection.execute(sql, (_now(), found, indexed, unchanged, skipped, removed, run))


def _put_image(connection: sqlite3.Connection, entry: Entry) -> int:
    """Insert or update the image's own row; return its id."""
    if (entry.vectors is None) == (entry.reason is None):
        raise UsageError(f"{entry.path}: expected either vectors or the reason why there are none")
    key = path_key(entry.path)
    facts = {
        "size": entry.size,
        "mtime_ns": entry.mtime_ns,
        "width": entry.width,
        "height": entry.height,
        "taken": entry.taken,
        "day": _day(entry.taken, entry.mtime_ns),
        "state": "indexed" if entry.reason is None else "skipped",
        "reason": entry.reason,
    }
    known = _image_id(connection, key)
    if known is not None:
        settings = ", ".join(f"{name} = ?" for name in facts)
        connection.execute(f"UPDATE images SET {settings} WHERE id = ?", (*facts.values(), known))
        return known
    names = ", ".join(("path", "added_at", *facts))
    marks = ", ".join("?" * (len(facts) + 2))
    added = connection.execute(f"INSERT INTO images ({names}) VALUES ({marks})", (key, _now(), *facts.values()))
    return int(added.lastrowid or 0)


def _image_id(connection: sqlite3.Connection, key: bytes) -> int | None:
    found = connection.execute("SELECT id FROM images WHERE path = ?", (key,)).fetchone()
    return None if found is None else int(found[0])


def _put_vectors(connection: sqlite3.Connection, entry: Entry, image_id: int) -> None:
    rows, boxes = _checked(entry)
    dimension = connection.execute("SELECT value FROM meta WHERE key = 'dimension'").fetchone()
    if dimension is None:
        _set_meta(connection, "dimension", str(rows.shape[1]))
    elif rows.shape[1] != int(dimension[0]):
        raise UsageError(
            f"{entry.path}: got rows of {rows.shape[1]} components; expected {dimension[0]} as in the rest"
        )
    if entry.words is not None:
        if entry.words.shape != (len(rows),):
            raise UsageError(f"{entry.path}: got words of shape {entry.words.shape}; expected {(len(rows),)}")
        blobs = entry.words.astype("<i4").tobytes(), rows.astype("<f2").tobytes()
        connection.execute("INSERT INTO words VALUES (?, ?, ?)", (image_id, *blobs))
        return
    connection.executemany(
        "INSERT INTO vectors (image_id, region, x0, y0, x1, y1, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(image_id, region, *boxes[region], row.tobytes()) for region, row in enumerate(rows)],
    )


def _checked(entry: Entry) -> tuple[NDArray[np.float32], list[tuple[float | None, ...]]]:
    """Return the entry's rows (R, D) as they are stored and their boxes, all None for the whole image."""
    rows = np.asarray(entry.vectors, dtype="<f4")
    if rows.ndim != 2 or 0 in rows.shape:
        raise UsageError(f"{entry.path}: got vectors of shape {rows.shape}; expected (R, D), R at least 1")
    if not np.isfinite(rows).all():
        raise UsageError(f"{entry.path}: a vector holds NaN or infinity; expected finite numbers")
    if entry.boxes is None:
        return rows, [(None,) * 4] * len(rows)
    boxes = np.asarray(entry.boxes, dtype=np.float64)
    if boxes.shape != (len(rows), 4):
        raise UsageError(f"{entry.path}: got boxes of shape {boxes.shape}; expected {(len(rows), 4)}")
    return rows, [(None,) * 4 if np.isnan(box).any() else tuple(box.tolist()) for box in boxes]


def _remove_vectors(connection: sqlite3.Connection, image_id: int, revision: int) -> None:
    """Delete the vectors of an image and note it for the processes that hold them in an index."""
    connection.execute(
        "INSERT INTO removed_vectors (id, revision) SELECT id, ? FROM vectors WHERE image_id = ?",
        (revision, image_id),
    )
    connection.execute("DELETE FROM vectors WHERE image_id = ?", (image_id,))


def _next_revision(connection: sqlite3.Connection) -> int:
    connection.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'revision'")
    return int(connection.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0])


def _set_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
    )


def _day(taken: str | None, mtime_ns: int) -> str | None:
    """Return the ISO day of the picture, or else of its file here; None for a time outside the calendar."""
    if taken is not None:
        try:
            return date.fromisoformat(taken[:10]).isoformat()
        except ValueError:
            raise UsageError(f"taken: got {taken!r}; expected an ISO date such as 2024-05-31") from None
    try:
        return datetime.fromtimestamp(mtime_ns / 1e9).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
