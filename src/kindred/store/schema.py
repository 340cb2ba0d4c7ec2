"""The tables, as numbered migrations: migration n takes a store from format n − 1 to format n.

A released migration is never edited; a change of the tables is a new one at the end. The format is kept in
SQLite's `user_version`, and `application_id` tells a store from any other SQLite file.
"""

from __future__ import annotations

import sqlite3

__all__ = ["APPLICATION_ID", "FORMAT", "MIGRATIONS", "PAGE_BYTES", "migrate"]

APPLICATION_ID = 0x4B494E44
"""'KIND' in ASCII."""

PAGE_BYTES = 16_384
"""A row of 512 float32 takes 2.1 kB: SQLite's default page of 4 kB would hold one and waste the rest."""

TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # The path is a BLOB: on Linux a file name is bytes that need not be UTF-8.
    # AUTOINCREMENT: an id is never used again, so that nothing derived can take a new row for an old one.
    """CREATE TABLE images (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        path BLOB NOT NULL UNIQUE,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        width INTEGER,
        height INTEGER,
        taken TEXT,
        day TEXT,
        state TEXT NOT NULL CHECK (state IN ('indexed', 'skipped')),
        reason TEXT,
        added_at TEXT NOT NULL
    )""",
    "CREATE INDEX images_by_day ON images (day)",
    """CREATE TABLE vectors (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        image_id INTEGER NOT NULL REFERENCES images (id),
        region INTEGER NOT NULL,
        x0 REAL, y0 REAL, x1 REAL, y1 REAL,
        data BLOB NOT NULL
    )""",
    # Covers (image_id, id): a filter never has to pass through the wide rows.
    "CREATE INDEX vectors_by_image ON vectors (image_id)",
    # Where other processes read which rows went away since they last looked.
    "CREATE TABLE removed_vectors (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL)",
    "CREATE INDEX removed_by_revision ON removed_vectors (revision)",
    """CREATE TABLE tags (
        tag TEXT NOT NULL,
        image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
        PRIMARY KEY (tag, image_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX tags_by_image ON tags (image_id)",
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        started TEXT NOT NULL,
        finished TEXT,
        found INTEGER NOT NULL DEFAULT 0,
        indexed INTEGER NOT NULL DEFAULT 0,
        unchanged INTEGER NOT NULL DEFAULT 0,
        skipped INTEGER NOT NULL DEFAULT 0,
        removed INTEGER NOT NULL DEFAULT 0
    )""",
    "INSERT INTO meta VALUES ('revision', '0')",
)

LOCAL = (
    # Local features, apart from the wide rows: only spatial verification reads them, for a short list.
    """CREATE TABLE features (
        image_id INTEGER PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
        data BLOB NOT NULL
    )""",
    # The visual words of an image, int32, and the residual of each, float16: hundreds of short rows, kept as one.
    """CREATE TABLE words (
        image_id INTEGER PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
        words BLOB NOT NULL,
        data BLOB NOT NULL
    )""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (TABLES, LOCAL)

FORMAT = len(MIGRATIONS)
"""The newest format that this version reads and writes."""


def migrate(connection: sqlite3.Connection, migrations: tuple[tuple[str, ...], ...]) -> None:
    """Apply what is missing of `migrations`, each in one transaction with its number."""
    present = int(connection.execute("PRAGMA user_version").fetchone()[0])
    for number, statements in enumerate(migrations[present:], start=present + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
