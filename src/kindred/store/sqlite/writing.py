"""Changes of images and vectors: functions on a connection in a transaction."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.store.records import Entry, FileStamp
from kindred.store.sqlite.conditions import path_key

__all__ = [
    "forget_images",
    "next_revision",
    "now",
    "put_entries",
    "restamp_images",
    "set_meta_value",
    "signed",
]

RESERVED = ("revision", "vectors_revision", "dimension")


def put_entries(connection: sqlite3.Connection, entries: Sequence[Entry], *, version: str) -> None:
    """Add images, or replace those with the same path, including all their vectors."""
    revision, changed = next_revision(connection), list[int]()
    for entry in entries:
        image_id, is_new = _put_image(connection, entry, version)
        removed = not is_new and _remove_description(connection, image_id, revision)
        if entry.vectors is not None:
            _put_vectors(connection, entry, image_id)
        if entry.features is not None:
            connection.execute("INSERT INTO features VALUES (?, ?)", (image_id, entry.features))
        if removed or entry.vectors is not None or entry.features is not None:
            changed.append(image_id)
    _note_changed(connection, changed, revision)


def forget_images(connection: sqlite3.Connection, images: Iterable[int]) -> int:
    """Remove images by number, with everything that belongs to them; return how many there were."""
    revision, removed, changed = next_revision(connection), 0, list[int]()
    for image_id in images:
        if _remove_description(connection, image_id, revision):
            changed.append(image_id)
        removed += connection.execute("DELETE FROM images WHERE id = ?", (image_id,)).rowcount
    _note_changed(connection, changed, revision)
    return removed


def restamp_images(connection: sqlite3.Connection, stamps: Sequence[FileStamp]) -> None:
    """Record new paths, sizes and times of files; paths may be swapped within one call."""
    next_revision(connection)
    moved = [stamp for stamp in stamps if _path_of(connection, stamp.id) not in (None, path_key(stamp.path))]
    # Each image first gets a unique temporary path, since paths may be swapped.
    connection.executemany("UPDATE images SET path = ? WHERE id = ?", [(b"\0%d" % each.id, each.id) for each in moved])
    sql = """
        UPDATE images SET path = ?, size = ?, mtime_ns = ?, digest = coalesce(?, digest), device = ?, inode = ?,
            volume = ?, day = CASE WHEN taken IS NULL THEN ? ELSE day END
        WHERE id = ?
    """
    for each in stamps:
        facts = path_key(each.path), each.size, each.mtime_ns, each.digest, signed(each.device), signed(each.inode)
        volume = signed(each.volume)
        try:
            connection.execute(sql, (*facts, volume, _day(None, each.mtime_ns), each.id))
        except sqlite3.IntegrityError:
            raise UsageError(f"{each.path}: the library has another image at this path") from None


def next_revision(connection: sqlite3.Connection) -> int:
    """Increment the revision and return it."""
    connection.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'revision'")
    return int(connection.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0])


def set_meta_value(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Set one fact about the library as a whole."""
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
    )


def now() -> str:
    """Return the current time in UTC, as ISO text, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _path_of(connection: sqlite3.Connection, image_id: int) -> bytes | None:
    found = connection.execute("SELECT path FROM images WHERE id = ?", (image_id,)).fetchone()
    return None if found is None else bytes(found[0])


def _put_image(connection: sqlite3.Connection, entry: Entry, version: str) -> tuple[int, bool]:
    """Insert or update the row of an image; return its number and whether it is new."""
    if (entry.vectors is None) == (entry.reason is None):
        raise UsageError(f"{entry.path}: expected either vectors or a reason for skipping, not both or neither")
    key = path_key(entry.path)
    facts = {
        "size": entry.size,
        "mtime_ns": entry.mtime_ns,
        "digest": entry.digest,
        "device": signed(entry.device),
        "inode": signed(entry.inode),
        "volume": signed(entry.volume),
        "width": entry.width,
        "height": entry.height,
        "frames": entry.frames,
        "frame": entry.frame,
        "taken": entry.taken,
        "day": _day(entry.taken, entry.mtime_ns),
        "state": "indexed" if entry.reason is None else "skipped",
        "reason": None if entry.reason is None else entry.reason.encode("utf-8", "replace").decode(),
        "final": int(entry.final),
        "version": version,
    }
    known = connection.execute("SELECT id FROM images WHERE path = ?", (key,)).fetchone()
    if known is not None:
        settings = ", ".join(f"{name} = ?" for name in facts)
        connection.execute(f"UPDATE images SET {settings} WHERE id = ?", (*facts.values(), known[0]))
        return int(known[0]), False
    names = ", ".join(("uid", "path", "added_at", *facts))
    marks = ", ".join("?" * (len(facts) + 3))
    values = (os.urandom(8).hex(), key, now(), *facts.values())
    added = connection.execute(f"INSERT INTO images ({names}) VALUES ({marks})", values)
    return int(added.lastrowid or 0), True


def signed(number: int | None) -> int | None:
    """Return an unsigned 64-bit number as SQLite stores it; inodes of some file systems use the highest bit."""
    return number if number is None or number < 2**63 else number - 2**64


def _put_vectors(connection: sqlite3.Connection, entry: Entry, image_id: int) -> None:
    rows, boxes = _checked(entry)
    dimension = connection.execute("SELECT value FROM meta WHERE key = 'dimension'").fetchone()
    if dimension is None:
        set_meta_value(connection, "dimension", str(rows.shape[1]))
    elif str(rows.shape[1]) != dimension[0]:
        raise UsageError(
            f"{entry.path}: got rows of {rows.shape[1]} components; expected {dimension[0]} as in the other images"
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
    if entry.visual_words is not None:
        words, signatures = _checked_words(entry, len(rows))
        sql = "INSERT INTO visual_words SELECT id, ?, ? FROM vectors WHERE image_id = ?"
        connection.execute(sql, (words.tobytes(), signatures.tobytes(), image_id))


def _checked(entry: Entry) -> tuple[NDArray[np.float32], list[tuple[float | None, ...]]]:
    """Return the rows (R, D) of an entry as they are stored, and their boxes, all None for the whole image."""
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


def _checked_words(entry: Entry, rows: int) -> tuple[NDArray[np.uint16], NDArray[np.uint64]]:
    """Return the entry's visual words and their signatures, each (n,), as they are stored."""
    assert entry.visual_words is not None
    words, signatures = entry.visual_words
    shapes = f"visual words {words.shape} and signatures {signatures.shape}"
    if rows != 1:
        raise UsageError(f"{entry.path}: got visual words and {rows} vectors; expected one vector for the image")
    if words.ndim != 1 or words.shape != signatures.shape:
        raise UsageError(f"{entry.path}: got {shapes}; expected (n,)")
    return words.astype("<u2"), signatures.astype("<u8")


def _remove_description(connection: sqlite3.Connection, image_id: int, revision: int) -> bool:
    """Delete the vectors, words and features of an image; return whether there were any.

    The removed ids are recorded for processes that hold them in an index.
    """
    connection.execute(
        "INSERT INTO removed_vectors (id, revision) SELECT id, ? FROM vectors WHERE image_id = ?",
        (revision, image_id),
    )
    connection.execute(
        "DELETE FROM visual_words WHERE vector_id IN (SELECT id FROM vectors WHERE image_id = ?)", (image_id,)
    )
    removed = 0
    for table in ("vectors", "features", "words"):
        removed += connection.execute(f"DELETE FROM {table} WHERE image_id = ?", (image_id,)).rowcount
    return removed > 0


def _note_changed(connection: sqlite3.Connection, images: Sequence[int], revision: int) -> None:
    """Note that vectors, words or features of images were added or removed at `revision`."""
    if images:
        sql = "INSERT OR REPLACE INTO changed_images (id, revision) VALUES (?, ?)"
        connection.executemany(sql, [(image_id, revision) for image_id in images])
        set_meta_value(connection, "vectors_revision", str(revision))


def _day(taken: str | None, mtime_ns: int) -> str | None:
    """Return the ISO day of `taken`, else that of the file time; None for a time outside the calendar."""
    if taken is not None:
        try:
            return date.fromisoformat(taken[:10]).isoformat()
        except ValueError:
            raise UsageError(f"taken: got {taken!r}; expected an ISO date such as 2024-05-31") from None
    try:
        return datetime.fromtimestamp(mtime_ns / 1e9).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return None
