"""Changes of tags, metadata and paths: functions on a connection in a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from kindred.errors import UsageError
from kindred.store.entries import check_tag
from kindred.store.filters import MOST_KEYS, Kind, Stored
from kindred.store.keys import check_uids, chunks, folder_range, keys_by_column, moved_from, path_key, path_taken
from kindred.store.records import Key
from kindred.store.sqlite.conditions import marks
from kindred.store.sqlite.writing import forget_images, next_revision

__all__ = [
    "give_ids",
    "image_ids",
    "image_numbers",
    "move_images",
    "put_metadata",
    "put_tag",
    "remove_metadata",
    "remove_tag",
]


def image_ids(connection: sqlite3.Connection, images: Iterable[Key]) -> list[int]:
    """Return the numbers of `images` (paths or public ids) that are in the store, without repetitions."""
    return list(dict.fromkeys(image_numbers(connection, images).values()))


def image_numbers(connection: sqlite3.Connection, images: Iterable[Key]) -> dict[Key, int]:
    """Return the number of each of `images` (paths or public ids) that is in the store."""
    found: dict[Key, int] = {}
    for column, keys in keys_by_column(images).items():
        for chunk in chunks(list(keys)):
            sql = f"SELECT {column}, id FROM images WHERE {column} IN ({marks(chunk)})"
            found.update((keys[key], int(number)) for key, number in connection.execute(sql, chunk))
    return found


def give_ids(connection: sqlite3.Connection, ids: Mapping[Path, str]) -> int:
    """Give images the public ids that they had before; return how many of them have it then."""
    check_uids(ids.values())
    next_revision(connection)
    sql = "UPDATE OR IGNORE images SET uid = ? WHERE path = ?"  # ignored where another image has the id
    connection.executemany(sql, [(uid, path_key(path)) for path, uid in ids.items()])
    numbers = image_numbers(connection, list(ids.values()))
    paths = image_numbers(connection, list(ids))
    return sum(1 for path, uid in ids.items() if path in paths and numbers.get(uid) == paths[path])


def put_tag(connection: sqlite3.Connection, images: Iterable[Key], tag: str) -> int:
    """Add `tag` to images; return how many of them are in the store."""
    check_tag(tag)
    known = image_ids(connection, images)
    if known:
        next_revision(connection)
        connection.executemany(
            "INSERT OR IGNORE INTO tags (tag, image_id) VALUES (?, ?)", [(tag, each) for each in known]
        )
    return len(known)


def remove_tag(connection: sqlite3.Connection, images: Iterable[Key], tag: str) -> int:
    """Remove `tag` from images; return how many had it."""
    sql = "DELETE FROM tags WHERE tag = ? AND image_id = ?"
    removed = connection.executemany(sql, [(tag, each) for each in image_ids(connection, images)]).rowcount
    if removed > 0:
        next_revision(connection)
    return max(removed, 0)


def put_metadata(
    connection: sqlite3.Connection, images: Iterable[Key], values: Mapping[str, tuple[Kind, Stored]]
) -> int:
    """Set metadata of images; return how many of them are in the store."""
    known = image_ids(connection, images)
    if not known or not values:
        return len(known)
    next_revision(connection)
    sql = """
        INSERT INTO metadata VALUES (?, ?, ?, ?)
        ON CONFLICT (image_id, key) DO UPDATE SET kind = excluded.kind, value = excluded.value
    """
    connection.executemany(sql, [(each, key, *value) for each in known for key, value in values.items()])
    for chunk in chunks(known):
        sql = f"SELECT image_id FROM metadata WHERE image_id IN ({marks(chunk)}) GROUP BY image_id HAVING count(*) > ?"
        if connection.execute(sql, (*chunk, MOST_KEYS)).fetchone() is not None:
            raise UsageError(f"metadata: an image would have more than {MOST_KEYS} keys; unset some first")
    return len(known)


def remove_metadata(connection: sqlite3.Connection, images: Iterable[Key], keys: Sequence[str]) -> int:
    """Remove metadata keys; return how many images had one of them."""
    changed = 0
    for image in image_ids(connection, images):
        removed = sum(
            connection.execute("DELETE FROM metadata WHERE image_id = ? AND key = ?", (image, key)).rowcount
            for key in keys
        )
        changed += removed > 0
    if changed:
        next_revision(connection)
    return changed


def move_images(connection: sqlite3.Connection, old: Path, new: Path) -> int:
    """Record that the file or folder `old` is now `new`; return the number of images."""
    source, target = moved_from(old, new)
    moved = {
        number: target + path[len(source) :] if path != source else target
        for number, path in connection.execute(
            "SELECT id, path FROM images WHERE path = ? OR (path > ? AND path < ?)", (source, *folder_range(old))
        )
    }
    if not moved:
        return 0
    forget_images(connection, list(_superseded(connection, moved)))
    # Each image first gets a unique temporary path, since OLD and NEW may contain each other.
    for place in (lambda number: b"\0%d" % number, moved.__getitem__):
        connection.executemany("UPDATE images SET path = ? WHERE id = ?", [(place(number), number) for number in moved])
    _move_roots(connection, old, new)
    return len(moved)


def _move_roots(connection: sqlite3.Connection, old: Path, new: Path) -> None:
    """Update the paths of indexed folders."""
    source, target = path_key(old), path_key(new)
    sql = "SELECT path FROM roots WHERE path = ? OR (path > ? AND path < ?)"
    moved = [path for (path,) in connection.execute(sql, (source, *folder_range(old)))]
    connection.executemany(
        "UPDATE OR REPLACE roots SET path = ? WHERE path = ?", [(target + path[len(source) :], path) for path in moved]
    )


def _superseded(connection: sqlite3.Connection, moved: Mapping[int, bytes]) -> Iterator[int]:
    """Yield the images at the new paths if they have the same content; raise UsageError for others."""
    for number, path in moved.items():
        sql = "SELECT id, digest FROM images WHERE path = ?"
        there = connection.execute(sql, (path,)).fetchone()
        if there is None or there[0] in moved:
            continue
        own = connection.execute("SELECT digest FROM images WHERE id = ?", (number,)).fetchone()
        if own[0] is None or own[0] != there[1]:
            raise path_taken(path)
        # Tags, metadata and pairs of the newer image are added to the one that remains.
        for table in ("tags", "metadata"):
            connection.execute(f"UPDATE OR IGNORE {table} SET image_id = ? WHERE image_id = ?", (number, there[0]))
        _take_over_pairs(connection, int(there[0]), number)
        yield int(there[0])


def _take_over_pairs(connection: sqlite3.Connection, old: int, new: int) -> None:
    """Add the pairs of `old` that are not the same to those of `new`."""
    sql = """
        INSERT OR IGNORE INTO not_same SELECT min(mate, ?1), max(mate, ?1)
        FROM (SELECT other AS mate FROM not_same WHERE one = ?2 UNION SELECT one FROM not_same WHERE other = ?2)
        WHERE mate <> ?1
    """
    connection.execute(sql, (new, old))
