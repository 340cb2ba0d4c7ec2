"""Changes of images and vectors: functions on a connection in a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from kindred.errors import UsageError
from kindred.store.entries import checked_vectors, checked_words, day_of, facts_of, new_uid, now, signed
from kindred.store.keys import path_key
from kindred.store.records import Entry, FileStamp

__all__ = [
    "forget_images",
    "next_revision",
    "put_entries",
    "restamp_images",
    "set_meta_value",
]


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
            connection.execute(sql, (*facts, volume, day_of(None, each.mtime_ns), each.id))
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


def _path_of(connection: sqlite3.Connection, image_id: int) -> bytes | None:
    found = connection.execute("SELECT path FROM images WHERE id = ?", (image_id,)).fetchone()
    return None if found is None else bytes(found[0])


def _put_image(connection: sqlite3.Connection, entry: Entry, version: str) -> tuple[int, bool]:
    """Insert or update the row of an image; return its number and whether it is new."""
    key, facts = path_key(entry.path), facts_of(entry, version)
    known = connection.execute("SELECT id FROM images WHERE path = ?", (key,)).fetchone()
    if known is not None:
        settings = ", ".join(f"{name} = ?" for name in facts)
        connection.execute(f"UPDATE images SET {settings} WHERE id = ?", (*facts.values(), known[0]))
        return int(known[0]), False
    names = ", ".join(("uid", "path", "added_at", *facts))
    marks = ", ".join("?" * (len(facts) + 3))
    values = (new_uid(), key, now(), *facts.values())
    added = connection.execute(f"INSERT INTO images ({names}) VALUES ({marks})", values)
    return int(added.lastrowid or 0), True


def _put_vectors(connection: sqlite3.Connection, entry: Entry, image_id: int) -> None:
    rows, boxes = checked_vectors(entry)
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
        words, signatures = checked_words(entry, len(rows))
        sql = "INSERT INTO visual_words SELECT id, ?, ? FROM vectors WHERE image_id = ?"
        connection.execute(sql, (words.tobytes(), signatures.tobytes(), image_id))


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
