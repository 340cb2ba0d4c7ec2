"""Changes of tags, metadata and paths: functions on a connection in a transaction that holds the lock of changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from kindred.errors import UsageError
from kindred.store.entries import check_tag
from kindred.store.filters import MOST_KEYS, Kind, Stored
from kindred.store.keys import check_uids, folder_range, keys_by_column, moved_from, path_key, path_taken
from kindred.store.postgres.conditions import number_text, storable
from kindred.store.postgres.connections import TimedConnection
from kindred.store.postgres.database import fetch
from kindred.store.postgres.writing import forget_images, next_revision
from kindred.store.records import Key

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


def image_ids(connection: TimedConnection, images: Iterable[Key]) -> list[int]:
    """Return the numbers of `images` (paths or public ids) that are in the store, without repetitions."""
    return list(dict.fromkeys(image_numbers(connection, images).values()))


def image_numbers(connection: TimedConnection, images: Iterable[Key]) -> dict[Key, int]:
    """Return the number of each of `images` (paths or public ids) that is in the store."""
    found: dict[Key, int] = {}
    for column, keys in keys_by_column(images).items():
        if keys:
            rows = fetch(connection, f"SELECT {column}, id FROM images WHERE {column} = ANY(%s)", (list(keys),))
            found.update((keys[key], number) for key, number in rows)
    return found


def give_ids(connection: TimedConnection, ids: Mapping[Path, str]) -> int:
    """Give images the public ids that they had before; return how many of them have it then."""
    check_uids(ids.values())
    next_revision(connection)
    sql = """
        UPDATE images SET uid = given.uid FROM unnest(%s::bytea[], %s::text[]) AS given (path, uid)
        WHERE images.path = given.path AND NOT EXISTS (SELECT 1 FROM images other WHERE other.uid = given.uid)
        RETURNING images.id
    """
    fetch(connection, sql, ([path_key(path) for path in ids], list(ids.values())))
    numbers = image_numbers(connection, list(ids.values()))
    paths = image_numbers(connection, list(ids))
    return sum(1 for path, uid in ids.items() if path in paths and numbers.get(uid) == paths[path])


def put_tag(connection: TimedConnection, images: Iterable[Key], tag: str) -> int:
    """Add `tag` to images; return how many of them are in the store."""
    check_tag(tag)
    if not storable(tag):
        raise UsageError(f"tag: got {tag!r}; expected text without the character NUL")
    known = image_ids(connection, images)
    if known:
        next_revision(connection)
        sql = "INSERT INTO tags (tag, image_id) SELECT %s, unnest(%s::int8[]) ON CONFLICT DO NOTHING"
        fetch(connection, sql, (tag, known))
    return len(known)


def remove_tag(connection: TimedConnection, images: Iterable[Key], tag: str) -> int:
    """Remove `tag` from images; return how many had it."""
    known = image_ids(connection, images)
    if not storable(tag):
        return 0
    sql = "DELETE FROM tags WHERE tag = %s AND image_id = ANY(%s) RETURNING image_id"
    removed = len(fetch(connection, sql, (tag, known)))
    if removed:
        next_revision(connection)
    return removed


def put_metadata(connection: TimedConnection, images: Iterable[Key], values: Mapping[str, tuple[Kind, Stored]]) -> int:
    """Set metadata of images; return how many of them are in the store."""
    known = image_ids(connection, images)
    if not known or not values:
        return len(known)
    next_revision(connection)
    keys, kinds, texts, numbers = _columns(values)
    sql = """
        INSERT INTO metadata (image_id, key, kind, value, number)
        SELECT image, key, kind, value, number FROM unnest(%s::int8[]) image
        CROSS JOIN unnest(%s::text[], %s::text[], %s::text[], %s::numeric[]) AS n (key, kind, value, number)
        ON CONFLICT (image_id, key) DO UPDATE
        SET kind = excluded.kind, value = excluded.value, number = excluded.number
    """
    fetch(connection, sql, (known, keys, kinds, texts, numbers))
    sql = "SELECT 1 FROM metadata WHERE image_id = ANY(%s) GROUP BY image_id HAVING count(*) > %s LIMIT 1"
    if fetch(connection, sql, (known, MOST_KEYS)):
        raise UsageError(f"metadata: an image would have more than {MOST_KEYS} keys; unset some first")
    return len(known)


def _columns(
    values: Mapping[str, tuple[Kind, Stored]],
) -> tuple[list[str], list[str], list[str], list[Decimal | None]]:
    texts: list[str] = []
    numbers: list[Decimal | None] = []
    for key, (kind, value) in values.items():
        text = number_text(value) if kind == "number" else str(value)
        if not storable(text):
            raise UsageError(f"metadata: {key!r} holds the character NUL; expected text without it")
        texts.append(text)
        numbers.append(Decimal(text) if kind == "number" else None)
    return list(values), [kind for kind, _ in values.values()], texts, numbers


def remove_metadata(connection: TimedConnection, images: Iterable[Key], keys: Sequence[str]) -> int:
    """Remove metadata keys; return how many images had one of them."""
    named = [key for key in keys if storable(key)]
    sql = "DELETE FROM metadata WHERE image_id = ANY(%s) AND key = ANY(%s) RETURNING image_id"
    changed = {row[0] for row in fetch(connection, sql, (image_ids(connection, images), named))}
    if changed:
        next_revision(connection)
    return len(changed)


def move_images(connection: TimedConnection, old: Path, new: Path) -> int:
    """Record that the file or folder `old` is now `new`; return the number of images."""
    source, target = moved_from(old, new)
    inside = (source, *folder_range(old))
    sql = "SELECT id, path FROM images WHERE path = %s OR (path > %s AND path < %s)"
    moved = {number: target + path[len(source) :] for number, path in fetch(connection, sql, inside)}
    if not moved:
        return 0
    forget_images(connection, _superseded(connection, moved))
    sql = "UPDATE images i SET path = n.path FROM unnest(%s::int8[], %s::bytea[]) AS n (id, path) WHERE i.id = n.id"
    fetch(connection, sql, (list(moved), list(moved.values())))
    _move_roots(connection, inside, source, target)
    return len(moved)


def _move_roots(connection: TimedConnection, inside: tuple[bytes, bytes, bytes], source: bytes, target: bytes) -> None:
    """Update the paths of indexed folders."""
    sql = "SELECT path FROM roots WHERE path = %s OR (path > %s AND path < %s)"
    moved = {row[0]: target + row[0][len(source) :] for row in fetch(connection, sql, inside)}
    if not moved:
        return
    there = [path for path in moved.values() if path not in moved]
    fetch(connection, "DELETE FROM roots WHERE path = ANY(%s)", (there,))
    sql = """
        WITH gone AS (DELETE FROM roots WHERE path = ANY(%s) RETURNING path, device, images, seen)
        SELECT path, device, images, seen FROM gone
    """
    rows = [(moved[path], *rest) for path, *rest in fetch(connection, sql, (list(moved),))]
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO roots (path, device, images, seen) VALUES (%s, %s, %s, %s)", rows)


def _superseded(connection: TimedConnection, moved: Mapping[int, bytes]) -> list[int]:
    """Return the images at the new paths if they have the same content; raise UsageError for others.

    Their tags, metadata and pairs are added to the one that remains.
    """
    by_path = {path: number for number, path in moved.items()}
    sql = """
        SELECT there.path, there.id, own.id, own.digest IS NOT NULL AND own.digest = there.digest
        FROM unnest(%s::bytea[], %s::int8[]) AS n (path, number)
        JOIN images there ON there.path = n.path JOIN images own ON own.id = n.number
    """
    gone = []
    for path, there, own, same in fetch(connection, sql, (list(by_path), list(by_path.values()))):
        if there in moved:
            continue
        if not same:
            raise path_taken(path)
        columns = {"tags": "tag", "metadata": "key, kind, value, number"}
        for table, names in columns.items():
            sql = f"""
                INSERT INTO {table} (image_id, {names}) SELECT %s, {names} FROM {table} WHERE image_id = %s
                ON CONFLICT DO NOTHING
            """
            fetch(connection, sql, (own, there))
        _take_over_pairs(connection, there, own)
        gone.append(there)
    return gone


def _take_over_pairs(connection: TimedConnection, old: int, new: int) -> None:
    """Add the pairs of `old` that are not the same to those of `new`."""
    sql = """
        INSERT INTO not_same SELECT least(mate, %(new)s), greatest(mate, %(new)s)
        FROM (SELECT other AS mate FROM not_same WHERE one = %(old)s
            UNION SELECT one FROM not_same WHERE other = %(old)s) AS mates
        WHERE mate <> %(new)s ON CONFLICT DO NOTHING
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, {"old": old, "new": new})
