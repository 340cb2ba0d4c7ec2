"""The tables of a store in SQLite.

The format number is stored in SQLite's `user_version`; `application_id` distinguishes a store from other SQLite files.
A file of this format that contains anything beside these tables (a trigger, a view) is refused, so that it is never
executed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache

__all__ = [
    "APPLICATION_ID",
    "FORMAT",
    "MIGRATIONS",
    "OLDEST",
    "PAGE_BYTES",
    "TABLES",
    "Objects",
    "format_of",
    "make_tables",
    "migrate",
    "objects_of",
    "own_objects",
]

APPLICATION_ID = 0x4B494E44
"""'KIND' in ASCII."""

OLDEST = 12
"""The oldest format that this version reads; the first change of such a store migrates it to `FORMAT`."""

FORMAT = 13
"""The format that this version writes."""

PAGE_BYTES = 16_384
"""Chosen for rows of 512 float32 (2.1 kB): SQLite's default page of 4 kB would hold one and waste the rest."""

TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # The path is a BLOB: on Linux a file name is bytes that need not be UTF-8.
    # AUTOINCREMENT: numbers are never reused, so that derived data cannot mistake a new row for an old one.
    """CREATE TABLE images (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        uid TEXT NOT NULL UNIQUE,
        path BLOB NOT NULL UNIQUE,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        digest BLOB,
        device INTEGER,
        inode INTEGER,
        volume INTEGER,
        width INTEGER,
        height INTEGER,
        frames INTEGER NOT NULL DEFAULT 1,
        frame INTEGER NOT NULL DEFAULT 0,
        taken TEXT,
        day TEXT,
        state TEXT NOT NULL CHECK (state IN ('indexed', 'skipped')),
        reason TEXT,
        final INTEGER NOT NULL DEFAULT 1,
        version TEXT NOT NULL DEFAULT '',
        added_at TEXT NOT NULL
    )""",
    "CREATE INDEX images_by_day ON images (day)",
    "CREATE INDEX images_by_digest ON images (digest) WHERE digest IS NOT NULL",
    """CREATE TABLE vectors (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        image_id INTEGER NOT NULL REFERENCES images (id),
        region INTEGER NOT NULL,
        x0 REAL, y0 REAL, x1 REAL, y1 REAL,
        data BLOB NOT NULL
    )""",
    # Covers (image_id, id): a filter never has to read the wide rows.
    "CREATE INDEX vectors_by_image ON vectors (image_id)",
    # Tells other processes which rows were removed since they last read.
    "CREATE TABLE removed_vectors (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL)",
    "CREATE INDEX removed_by_revision ON removed_vectors (revision)",
    # The same for images: when the vectors, words or features of each last changed, of those that are gone too.
    "CREATE TABLE changed_images (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL)",
    "CREATE INDEX changed_by_revision ON changed_images (revision)",
    # Local features have a table of their own: only spatial verification reads them, for a short list.
    """CREATE TABLE features (
        image_id INTEGER PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
        data BLOB NOT NULL
    )""",
    # The visual words of an image, int32, and the residual of each, float16: hundreds of short rows, stored as one.
    """CREATE TABLE words (
        image_id INTEGER PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
        words BLOB NOT NULL,
        data BLOB NOT NULL
    )""",
    # For an inverted file, the words of an image's local features, uint16, and the signature of each, uint64. They
    # belong to the image's vector, whose id is new whenever the image is described again.
    """CREATE TABLE visual_words (
        vector_id INTEGER PRIMARY KEY REFERENCES vectors (id) ON DELETE CASCADE,
        words BLOB NOT NULL,
        signatures BLOB NOT NULL
    )""",
    """CREATE TABLE tags (
        tag TEXT NOT NULL,
        image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
        PRIMARY KEY (tag, image_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX tags_by_image ON tags (image_id)",
    # The column has no type: text, an integer or a fraction, depending on the kind.
    """CREATE TABLE metadata (
        image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
        key TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('text', 'number', 'date')),
        value NOT NULL,
        PRIMARY KEY (image_id, key)
    ) WITHOUT ROWID""",
    "CREATE INDEX metadata_by_value ON metadata (key, value)",
    """CREATE TABLE roots (
        path BLOB PRIMARY KEY,
        device INTEGER NOT NULL,
        images INTEGER NOT NULL,
        seen TEXT NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        started TEXT NOT NULL,
        finished TEXT,
        found INTEGER NOT NULL DEFAULT 0,
        indexed INTEGER NOT NULL DEFAULT 0,
        unchanged INTEGER NOT NULL DEFAULT 0,
        skipped INTEGER NOT NULL DEFAULT 0,
        removed INTEGER NOT NULL DEFAULT 0,
        moved INTEGER NOT NULL DEFAULT 0
    )""",
    "INSERT INTO meta VALUES ('revision', '0'), ('vectors_revision', '0')",
)

MIGRATIONS: dict[int, tuple[str, ...]] = {
    13: (
        # Pairs of images that are not the same picture, whatever a search for duplicates says; each pair once.
        """CREATE TABLE not_same (
        one INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
        other INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
        PRIMARY KEY (one, other),
        CHECK (one < other)
    ) WITHOUT ROWID""",
        "CREATE INDEX not_same_by_other ON not_same (other)",
        """CREATE TABLE saved_searches (
        uid TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        search TEXT NOT NULL,
        saved_at TEXT NOT NULL
    ) WITHOUT ROWID""",
    ),
}
"""By format, the statements that make it of the format before; `TABLES` are those of `OLDEST`."""

Objects = frozenset[tuple[str, str, str]]
"""The contents of a database: (type, name, SQL) of each table, index, view and trigger."""


def make_tables(connection: sqlite3.Connection, *, up_to: int = FORMAT) -> None:
    """Create the tables of a format in an empty database, in one transaction."""
    with _transaction(connection):
        for statement in TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {OLDEST}")
        _migrate(connection, up_to)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables of an older store to `FORMAT`, in one transaction; a store of this format is unchanged."""
    if format_of(connection) == FORMAT:
        return
    with _transaction(connection):
        _migrate(connection, FORMAT)


def format_of(connection: sqlite3.Connection) -> int:
    """Return the format of a store."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection, up_to: int) -> None:
    # In the transaction: another process may have migrated the file while this one waited.
    for number in range(format_of(connection) + 1, up_to + 1):
        for statement in MIGRATIONS[number]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def objects_of(connection: sqlite3.Connection) -> Objects:
    """Return the contents of a database, including objects that SQLite creates by itself."""
    found = connection.execute("SELECT type, name, sql FROM sqlite_master LIMIT 1000").fetchall()
    return frozenset((str(kind), str(name), str(sql or "")) for kind, name, sql in found)


@cache
def own_objects(number: int = FORMAT) -> Objects:
    """Return the contents of a store of a format."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        make_tables(connection, up_to=number)
        return objects_of(connection)
