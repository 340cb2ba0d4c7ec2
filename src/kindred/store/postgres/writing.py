"""Changes of images and vectors: functions on a connection in a transaction that holds the lock of changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.store.blobs import FEATURES_BYTES, VISUAL_WORDS_BYTES, WORDS_BYTES
from kindred.store.entries import checked_vectors, checked_words, day_of, facts_of, new_uid, now, signed
from kindred.store.keys import path_key
from kindred.store.postgres.bounds import cut, within
from kindred.store.postgres.connections import TimedConnection, vector_bytes
from kindred.store.postgres.database import fetch
from kindred.store.postgres.vectors import DATA
from kindred.store.records import Entry, FileStamp

__all__ = ["Prepared", "forget_images", "next_revision", "prepared", "put_prepared", "restamp_images", "set_meta_value"]

WIDEST = 16_000
"""Components of the longest vector that pgvector's type holds."""

IMAGE_COLUMNS = {
    "size": "int8",
    "mtime_ns": "int8",
    "digest": "bytea",
    "device": "int8",
    "inode": "int8",
    "volume": "int8",
    "width": "int4",
    "height": "int4",
    "frames": "int4",
    "frame": "int4",
    "taken": "text",
    "day": "text",
    "state": "text",
    "reason": "text",
    "final": "bool",
    "version": "text",
}


class Prepared(NamedTuple):
    """An entry, checked and encoded before the lock of changes is taken."""

    path: bytes
    facts: dict[str, Any]
    description: bytes | None
    rows: NDArray[np.float32] | None
    boxes: list[tuple[float | None, ...]]
    words: tuple[bytes, bytes] | None
    visual_words: tuple[bytes, bytes] | None
    features: bytes | None


def prepared(entries: Sequence[Entry], version: str) -> list[Prepared]:
    """Check and encode entries; of several with one path, the last. Raises UsageError if one is inconsistent."""
    found: dict[bytes, Prepared] = {}
    width: int | None = None
    for entry in entries:
        one = _prepared(entry, version)
        if one.rows is not None:
            width = width or one.rows.shape[1]
            _check_width(entry.path, one.rows.shape[1], width)
        found.pop(one.path, None)
        found[one.path] = one
    return list(found.values())


def _prepared(entry: Entry, version: str) -> Prepared:
    facts = facts_of(entry, version)
    for key in ("reason", "taken"):
        if isinstance(facts[key], str):
            facts[key] = str(facts[key]).replace("\0", "\N{REPLACEMENT CHARACTER}")
    rows, boxes, words, visual_words = None, list[tuple[float | None, ...]](), None, None
    if entry.vectors is not None:
        rows, boxes = checked_vectors(entry)
        if entry.words is not None:
            if entry.words.shape != (len(rows),):
                raise UsageError(f"{entry.path}: got words of shape {entry.words.shape}; expected {(len(rows),)}")
            words = entry.words.astype("<i4").tobytes(), rows.astype("<f2").tobytes()
        elif entry.visual_words is not None:
            numbers, signatures = checked_words(entry, len(rows))
            visual_words = numbers.tobytes(), signatures.tobytes()
    made = Prepared(path_key(entry.path), facts, None, rows, boxes, words, visual_words, entry.features)
    return made._replace(description=_digest(made))


def _digest(entry: Prepared) -> bytes | None:
    """Return a digest of everything that describes an image; None if nothing does."""
    if entry.rows is None and entry.features is None:
        return None
    digest = hashlib.sha256(repr((entry.boxes, None if entry.rows is None else entry.rows.shape)).encode())
    parts = (*(entry.words or (b"",)), *(entry.visual_words or (b"",)), entry.features or b"")
    for part in (b"" if entry.rows is None else entry.rows.tobytes(), *parts):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()[:16]


def _check_width(path: object, width: int, expected: int) -> None:
    if width != expected:
        raise UsageError(f"{path}: got rows of {width} components; expected {expected} as in the other images")


def put_prepared(connection: TimedConnection, entries: Sequence[Prepared]) -> None:
    """Add images, or replace those with the same path; one that is stored already with the same vectors is kept."""
    revision = next_revision(connection)
    _check_dimension(connection, entries)
    sql = f"SELECT path, id, {cut('description')} FROM images WHERE path = ANY(%s)"
    known = {row[0]: row[1:] for row in fetch(connection, sql, ([entry.path for entry in entries],))}
    old = [(known[entry.path][0], entry) for entry in entries if entry.path in known]
    same = [(number, entry) for number, entry in old if known[entry.path][1] == entry.description]
    other = [(number, entry) for number, entry in old if known[entry.path][1] != entry.description]
    other += _no_longer_stored(connection, same)
    changed = _remove_descriptions(connection, [number for number, _ in other], revision)
    _update_images(connection, old)
    new = [entry for entry in entries if entry.path not in known]
    first = _reserve(connection, "last_image", len(new))
    added = list(enumerate(new, first))
    _insert_images(connection, added)
    described = [(number, entry) for number, entry in (*other, *added) if entry.description is not None]
    described.sort(key=lambda each: each[0])
    _insert_descriptions(connection, described)
    _note_changed(connection, {*changed, *(number for number, _ in described)}, revision)


def _no_longer_stored(connection: TimedConnection, same: Sequence[tuple[int, Prepared]]) -> list[tuple[int, Prepared]]:
    """Return those of images, all recorded as stored, whose rows are others by now: SQL may have changed them."""
    stored = _stored(connection, [number for number, _ in same])
    unlike = [(number, entry) for number, entry in same if _rows_of(entry) != stored[number]]
    lost = sum(len(_rows_of(entry).vectors) - len(stored[number].vectors) for number, entry in unlike)
    if lost:
        fetch(connection, "UPDATE state SET vectors = vectors - %s", (lost,))
    return unlike


@dataclass
class _Rows:
    """What the tables hold of an image: its vectors, each with all columns but the numbers; words; local features.

    None for what is larger than Kindred ever writes it.
    """

    vectors: list[tuple[Any, ...]]
    words: tuple[bytes | None, bytes | None] | None
    features: bytes | None


def _rows_of(entry: Prepared) -> _Rows:
    """Return what is stored of an entry."""
    vectors = list[tuple[Any, ...]]()
    if entry.rows is not None and entry.words is None:
        visual = entry.visual_words or (None, None)
        for region, (box, row) in enumerate(zip(entry.boxes, entry.rows, strict=True)):
            wide = len(row) > WIDEST
            data = (row.tobytes(), 4 * len(row)) if wide else (vector_bytes(row), None)
            vectors.append((region, *box, *data, *visual))
    return _Rows(vectors, entry.words, entry.features)


def _stored(connection: TimedConnection, images: Sequence[int]) -> dict[int, _Rows]:
    """Return what is stored of images."""
    found = {number: _Rows([], None, None) for number in images}
    if not found:
        return found
    sql = f"""
        SELECT image_id, region, x0, y0, x1, y1, {DATA}, {within("words", VISUAL_WORDS_BYTES)},
            {within("signatures", VISUAL_WORDS_BYTES)}
        FROM vectors LEFT JOIN visual_words ON vector_id = id WHERE image_id = ANY(%s) ORDER BY image_id, region
    """
    for number, *row in fetch(connection, sql, (list(found),)):
        found[number].vectors.append(tuple(row))
    columns = f"{within('words', WORDS_BYTES)}, {within('data', WORDS_BYTES)}"
    sql = f"SELECT image_id, {columns} FROM words WHERE image_id = ANY(%s)"
    for number, words, data in fetch(connection, sql, (list(found),)):
        found[number].words = words, data
    sql = f"SELECT image_id, {within('data', FEATURES_BYTES)} FROM features WHERE image_id = ANY(%s)"
    for number, data in fetch(connection, sql, (list(found),)):
        found[number].features = data
    return found


def _check_dimension(connection: TimedConnection, entries: Sequence[Prepared]) -> None:
    rows = [(entry.path, entry.rows.shape[1]) for entry in entries if entry.rows is not None]
    if not rows:
        return
    dimension = fetch(connection, "SELECT dimension FROM state")[0][0]
    if dimension is None:
        fetch(connection, "UPDATE state SET dimension = %s", (rows[0][1],))
        return
    for path, width in rows:
        _check_width(path.decode("utf-8", "replace"), width, dimension)


def _reserve(connection: TimedConnection, column: str, count: int) -> int:
    """Reserve `count` numbers; return the first."""
    if not count:
        return 0
    sql = f"UPDATE state SET {column} = {column} + %s RETURNING {column}"
    return int(fetch(connection, sql, (count,))[0][0]) - count + 1


def _update_images(connection: TimedConnection, known: Sequence[tuple[int, Prepared]]) -> None:
    if known:
        settings = ", ".join(f"{name} = %s" for name in (*IMAGE_COLUMNS, "description"))
        values = [(*_facts(entry), entry.description, number) for number, entry in known]
        with connection.cursor() as cursor:
            cursor.executemany(f"UPDATE images SET {settings} WHERE id = %s", values)


def _insert_images(connection: TimedConnection, added: Sequence[tuple[int, Prepared]]) -> None:
    own = {"id": "int8", "uid": "text", "path": "bytea", "added_at": "text", "description": "bytea"}
    moment = now()
    rows = [(number, new_uid(), entry.path, moment, entry.description, *_facts(entry)) for number, entry in added]
    _copy(connection, "images", {**own, **IMAGE_COLUMNS}, rows)


def _facts(entry: Prepared) -> list[Any]:
    return [entry.facts[name] for name in IMAGE_COLUMNS]


def _insert_descriptions(connection: TimedConnection, described: Sequence[tuple[int, Prepared]]) -> None:
    with_rows = [(number, entry) for number, entry in described if entry.rows is not None and entry.words is None]
    count = sum(len(entry.boxes) for _, entry in with_rows)
    following = _reserve(connection, "last_vector", count)
    fetch(connection, "UPDATE state SET vectors = vectors + %s", (count,))
    vectors, visual = [], []
    for number, entry in with_rows:
        assert entry.rows is not None
        if entry.visual_words is not None:
            visual.append((following, *entry.visual_words))
        for region, row in enumerate(entry.rows):
            data = (row, None) if len(row) <= WIDEST else (None, row.tobytes())
            vectors.append((following, number, region, *entry.boxes[region], *data))
            following += 1
    box = dict.fromkeys(("x0", "y0", "x1", "y1"), "float8")
    columns = {"id": "int8", "image_id": "int8", "region": "int4", **box, "data": "vector", "wide": "bytea"}
    _copy(connection, "vectors", columns, vectors)
    _copy(connection, "visual_words", {"vector_id": "int8", "words": "bytea", "signatures": "bytea"}, visual)
    words = [(number, *entry.words) for number, entry in described if entry.words is not None]
    _copy(connection, "words", {"image_id": "int8", "words": "bytea", "data": "bytea"}, words)
    features = [(number, entry.features) for number, entry in described if entry.features is not None]
    _copy(connection, "features", {"image_id": "int8", "data": "bytea"}, features)


def _copy(connection: TimedConnection, table: str, columns: dict[str, str], rows: Sequence[Sequence[Any]]) -> None:
    """Add rows in binary form, the fastest way."""
    if not rows:
        return
    kinds: list[str | int] = [connection.vector_type or 0 if kind == "vector" else kind for kind in columns.values()]
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(kinds)
        for row in rows:
            copy.write_row(row)


def forget_images(connection: TimedConnection, images: Iterable[int]) -> int:
    """Remove images by number, with everything that belongs to them; return how many there were."""
    numbers, revision = list(images), next_revision(connection)
    _note_changed(connection, _remove_descriptions(connection, numbers, revision), revision)
    return len(fetch(connection, "DELETE FROM images WHERE id = ANY(%s) RETURNING id", (numbers,)))


def restamp_images(connection: TimedConnection, stamps: Sequence[FileStamp]) -> None:
    """Record new paths, sizes and times of files; paths may be swapped within one call."""
    next_revision(connection)
    last = {each.id: each for each in stamps}
    there = {row[0] for row in fetch(connection, "SELECT id FROM images WHERE id = ANY(%s)", (list(last),))}
    wanted: dict[bytes, int] = {}
    for each in (last[number] for number in sorted(there)):
        if wanted.setdefault(path_key(each.path), each.id) != each.id:
            raise UsageError(f"{each.path}: the library has another image at this path")
    sql = "SELECT path FROM images WHERE path = ANY(%s) AND id <> ALL(%s)"
    if taken := fetch(connection, sql, (list(wanted), list(there))):
        raise UsageError(f"{last[wanted[taken[0][0]]].path}: the library has another image at this path")
    rows = [
        (
            each.id,
            path_key(each.path),
            each.size,
            each.mtime_ns,
            each.digest,
            signed(each.device),
            signed(each.inode),
            signed(each.volume),
            day_of(None, each.mtime_ns),
        )
        for each in (last[number] for number in sorted(there))
    ]
    sql = """
        UPDATE images i SET path = n.path, size = n.size, mtime_ns = n.mtime_ns, digest = coalesce(n.digest, i.digest),
            device = n.device, inode = n.inode, volume = n.volume,
            day = CASE WHEN i.taken IS NULL THEN n.day ELSE i.day END
        FROM unnest(%s::int8[], %s::bytea[], %s::int8[], %s::int8[], %s::bytea[], %s::int8[], %s::int8[], %s::int8[],
            %s::text[]) AS n (id, path, size, mtime_ns, digest, device, inode, volume, day)
        WHERE i.id = n.id
    """
    if rows:
        fetch(connection, sql, [list(column) for column in zip(*rows, strict=True)])


def next_revision(connection: TimedConnection) -> int:
    """Increment the revision and return it."""
    return int(fetch(connection, "UPDATE state SET revision = revision + 1 RETURNING revision")[0][0])


def set_meta_value(connection: TimedConnection, key: str, value: str) -> None:
    """Set one fact about the library as a whole."""
    sql = "INSERT INTO meta VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    fetch(connection, sql, (key, value))


def _remove_descriptions(connection: TimedConnection, images: Sequence[int], revision: int) -> list[int]:
    """Delete the vectors, words and features of images; return those that had any.

    The removed ids are recorded for processes that hold them in an index.
    """
    if not images:
        return []
    sql = """
        WITH gone AS (DELETE FROM vectors WHERE image_id = ANY(%s) RETURNING id, image_id),
            noted AS (INSERT INTO removed_vectors (id, revision) SELECT id, %s FROM gone),
            features AS (DELETE FROM features WHERE image_id = ANY(%s) RETURNING image_id),
            words AS (DELETE FROM words WHERE image_id = ANY(%s) RETURNING image_id)
        SELECT image_id, sum(one)::int8 FROM (SELECT image_id, 1 AS one FROM gone
            UNION ALL SELECT image_id, 0 FROM features UNION ALL SELECT image_id, 0 FROM words) AS removed
        GROUP BY image_id
    """
    numbers = list(images)
    found = fetch(connection, sql, (numbers, revision, numbers, numbers))
    fetch(connection, "UPDATE state SET vectors = vectors - %s", (sum(count for _, count in found),))
    return [number for number, _ in found]


def _note_changed(connection: TimedConnection, images: Iterable[int], revision: int) -> None:
    """Note that vectors, words or features of images were added or removed at `revision`."""
    if numbers := sorted(images):
        sql = """
            INSERT INTO changed_images (id, revision) SELECT unnest(%s::int8[]), %s
            ON CONFLICT (id) DO UPDATE SET revision = excluded.revision
        """
        fetch(connection, sql, (numbers, revision))
        fetch(connection, "UPDATE state SET vectors_revision = %s", (revision,))
