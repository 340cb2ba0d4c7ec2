"""The tables of a library in PostgreSQL, as numbered migrations, each applied once, under a lock.

A library is a schema. The vectors have a table of their own, whose rows are only added and removed, never changed: a
change of a row of the table with the search index would add the row to that index again. The single row of `state` is
the lock of changes and the source of all numbers; a sequence would leave their order to chance.
"""

from __future__ import annotations

import re

import psycopg
from psycopg import sql

from kindred.errors import LibraryDamaged, LibraryError, LibraryTooNew
from kindred.store.postgres.connections import TimedConnection
from kindred.store.postgres.database import fetch
from kindred.store.postgres.failures import REMEDY, first_line
from kindred.store.postgres.url import PostgresUrl

__all__ = ["MIGRATIONS", "make_schema", "migrate"]

OLDEST_PGVECTOR = (0, 8)
"""The first version that goes on searching until a filter has passed enough rows."""

LACKING = (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile, psycopg.errors.InsufficientPrivilege)
"""Errors of a server that does not have an extension, or does not let this user create it."""

TABLES = """
CREATE TABLE state (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    uuid text NOT NULL,
    revision bigint NOT NULL DEFAULT 0,
    vectors_revision bigint NOT NULL DEFAULT 0,
    dimension integer,
    vectors bigint NOT NULL DEFAULT 0,
    last_image bigint NOT NULL DEFAULT 0,
    last_vector bigint NOT NULL DEFAULT 0,
    last_run bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

-- A token of each change that was committed lately.
CREATE TABLE changes (token uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());

CREATE TABLE meta (key text COLLATE "C" PRIMARY KEY, value text NOT NULL);

-- The fitted files that the recipe names.
CREATE TABLE files (name text COLLATE "C" PRIMARY KEY, data bytea NOT NULL);

-- The path is bytea: on Linux a file name is bytes that need not be UTF-8. Deferrable: paths may be swapped.
-- description: a digest of the vectors, words and features, to recognise what is stored already.
CREATE TABLE images (
    id bigint PRIMARY KEY,
    uid text COLLATE "C" NOT NULL UNIQUE,
    path bytea NOT NULL UNIQUE DEFERRABLE INITIALLY IMMEDIATE,
    size bigint NOT NULL,
    mtime_ns bigint NOT NULL,
    digest bytea,
    device bigint,
    inode bigint,
    volume bigint,
    width integer,
    height integer,
    frames integer NOT NULL DEFAULT 1,
    frame integer NOT NULL DEFAULT 0,
    taken text COLLATE "C",
    day text COLLATE "C",
    state text NOT NULL CHECK (state IN ('indexed', 'skipped')),
    reason text,
    final boolean NOT NULL DEFAULT true,
    version text NOT NULL DEFAULT '',
    added_at text NOT NULL,
    description bytea
);
CREATE INDEX images_by_day ON images (day);
CREATE INDEX images_by_digest ON images (digest) WHERE digest IS NOT NULL;
CREATE INDEX images_skipped ON images (path) WHERE state = 'skipped';

-- Exactly one of data and wide is given; wide is for vectors of more components than the type can hold, as float32.
CREATE TABLE vectors (
    id bigint PRIMARY KEY,
    image_id bigint NOT NULL REFERENCES images (id),
    region integer NOT NULL,
    x0 double precision, y0 double precision, x1 double precision, y1 double precision,
    data vector,
    wide bytea,
    CHECK (num_nonnulls(data, wide) = 1)
);
-- In the row, not beside it: exact search reads every vector.
ALTER TABLE vectors ALTER COLUMN data SET STORAGE MAIN;
ALTER TABLE vectors ALTER COLUMN wide SET STORAGE EXTERNAL;
CREATE INDEX vectors_by_image ON vectors (image_id, id);

-- Tells readers which rows were removed, and which images have changed, since they last read.
CREATE TABLE removed_vectors (id bigint PRIMARY KEY, revision bigint NOT NULL);
CREATE INDEX removed_by_revision ON removed_vectors (revision);
CREATE TABLE changed_images (id bigint PRIMARY KEY, revision bigint NOT NULL);
CREATE INDEX changed_by_revision ON changed_images (revision);

CREATE TABLE features (
    image_id bigint PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
    data bytea NOT NULL
);
CREATE TABLE words (
    image_id bigint PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
    words bytea NOT NULL,
    data bytea NOT NULL
);
CREATE TABLE visual_words (
    vector_id bigint PRIMARY KEY REFERENCES vectors (id) ON DELETE CASCADE,
    words bytea NOT NULL,
    signatures bytea NOT NULL
);

-- They do not shrink by compression.
ALTER TABLE features ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE words ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE visual_words ALTER COLUMN words SET STORAGE EXTERNAL;
ALTER TABLE visual_words ALTER COLUMN signatures SET STORAGE EXTERNAL;

CREATE TABLE tags (
    tag text COLLATE "C" NOT NULL,
    image_id bigint NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    PRIMARY KEY (tag, image_id)
);
CREATE INDEX tags_by_image ON tags (image_id);

-- value: text, an ISO date, or a number as Python writes it; number: the latter, to compare with.
CREATE TABLE metadata (
    image_id bigint NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    kind text NOT NULL CHECK (kind IN ('text', 'number', 'date')),
    value text COLLATE "C" NOT NULL,
    number numeric CHECK ((kind = 'number') = (number IS NOT NULL)),
    PRIMARY KEY (image_id, key)
);
CREATE INDEX metadata_by_number ON metadata (key, number) WHERE kind = 'number';
-- The start of a text: an index cannot hold a long one.
CREATE INDEX metadata_by_value ON metadata (key, left(value, 100));

-- Pairs of images that are not the same picture, whatever a search for duplicates says; each pair once.
CREATE TABLE not_same (
    one bigint NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    other bigint NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    PRIMARY KEY (one, other),
    CHECK (one < other)
);
CREATE INDEX not_same_by_other ON not_same (other);
CREATE TABLE saved_searches (
    uid text PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    search text NOT NULL,
    saved_at text NOT NULL
);

CREATE TABLE roots (
    path bytea PRIMARY KEY,
    device bigint NOT NULL,
    images bigint NOT NULL,
    seen text NOT NULL
);
CREATE TABLE runs (
    id bigint PRIMARY KEY,
    started text NOT NULL,
    finished text,
    found bigint NOT NULL DEFAULT 0,
    indexed bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    removed bigint NOT NULL DEFAULT 0,
    moved bigint NOT NULL DEFAULT 0
);
"""

QUEUE = """
-- Processes that share the work of indexing. until: the end of their leases; since: how long they have renewed them.
CREATE TABLE workers (id uuid PRIMARY KEY, until timestamptz NOT NULL, since timestamptz NOT NULL);

-- Files to be described: waiting, or leased by a worker. lost: how many workers were lost that had leased it.
CREATE TABLE queue (
    path bytea PRIMARY KEY,
    size bigint NOT NULL,
    mtime_ns bigint NOT NULL,
    device bigint,
    inode bigint,
    volume bigint,
    digest bytea,
    lost integer NOT NULL DEFAULT 0,
    worker uuid
);
CREATE INDEX queue_waiting ON queue (path) WHERE worker IS NULL;
CREATE INDEX queue_leased ON queue (worker) WHERE worker IS NOT NULL;

-- Searches of folders for files, each by one worker. key: a digest of the folders and options.
CREATE TABLE scans (
    key bytea PRIMARY KEY,
    number bigint NOT NULL,
    worker uuid NOT NULL,
    finished boolean NOT NULL DEFAULT false,
    found bigint NOT NULL DEFAULT 0
);
"""

MIGRATIONS: tuple[str, ...] = (TABLES, QUEUE)
"""Statements that lead from one version of the tables to the next; those of released versions never change."""


def make_schema(connection: TimedConnection, url: PostgresUrl) -> None:
    """Create the schema of a library and the extension for vectors, in the current transaction.

    Raises LibraryError if the library exists already, or if the server cannot hold one.
    """
    # One lock for all libraries of a database: two processes cannot create its extension at once.
    fetch(connection, "SELECT pg_advisory_xact_lock(hashtext('kindred'))")
    if _exists(connection, url):
        raise LibraryError(f"{url}: exists already; open it, or choose another name")
    encoding = fetch(connection, "SELECT current_setting('server_encoding')")[0][0]
    if encoding != "UTF8":
        raise LibraryError(f"{url}: its database has encoding {encoding}; expected UTF8: create another database")
    _make_extension(connection, url)
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(url.schema)))
    connection.execute("CREATE TABLE migrations (number integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())")
    _apply(connection, 0)


def migrate(connection: TimedConnection, url: PostgresUrl) -> None:
    """Bring the tables of a library to this version, in the current transaction.

    Raises LibraryTooNew if a newer version of Kindred has changed them, LibraryError if this user may not see them.
    """
    _check_visible(connection, url)
    number = fetch(connection, "SELECT coalesce(max(number), 0) FROM migrations")[0][0]
    if number > len(MIGRATIONS):
        raise LibraryTooNew(
            f"{url}: has format {number}, this version of Kindred supports formats up to {len(MIGRATIONS)}; "
            "upgrade it with git pull and pip install . in its clone"
        )
    if not number > 0:
        raise LibraryDamaged(f"{url}: its table migrations is empty; {REMEDY}")
    if number < len(MIGRATIONS):
        fetch(connection, "SELECT pg_advisory_xact_lock(hashtext('kindred'))")
        _apply(connection, fetch(connection, "SELECT max(number) FROM migrations")[0][0])


def _apply(connection: TimedConnection, done: int) -> None:
    for number, statements in enumerate(MIGRATIONS[done:], done + 1):
        connection.execute(statements.encode())
        fetch(connection, "INSERT INTO migrations (number) VALUES (%s)", (number,))


def _exists(connection: TimedConnection, url: PostgresUrl) -> bool:
    statement = "SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'migrations'"
    return bool(fetch(connection, statement, (url.schema,)))


def _check_visible(connection: TimedConnection, url: PostgresUrl) -> None:
    """Raise LibraryError for a schema that the user may not use: its tables are then looked for and not found."""
    statement = "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = %s"
    if fetch(connection, statement, (url.schema,)) == [(False,)]:
        raise LibraryError(
            f"{url}: this user may not use the schema {url.schema}; its owner can permit it by GRANT USAGE ON SCHEMA "
            "and GRANT SELECT ON ALL TABLES IN SCHEMA"
        )


def _make_extension(connection: TimedConnection, url: PostgresUrl) -> None:
    try:
        with connection.transaction():
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except LACKING as error:
        raise LibraryError(
            f"{url}: its database lacks the extension pgvector ({first_line(error)}); "
            "have it installed, and CREATE EXTENSION vector executed in this database"
        ) from error
    version = fetch(connection, "SELECT extversion FROM pg_extension WHERE extname = 'vector'")[0][0]
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST_PGVECTOR:
        wanted = ".".join(map(str, OLDEST_PGVECTOR))
        raise LibraryError(f"{url}: its database has pgvector {version}; expected {wanted} or newer: have it updated")
    # The extension may be new: its type was unknown when the connection was made.
    row = fetch(
        connection,
        "SELECT t.oid, quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON "
        "n.oid = e.extnamespace JOIN pg_type t ON t.typnamespace = n.oid AND t.typname = 'vector' "
        "WHERE extname = 'vector'",
    )[0]
    path = fetch(connection, "SELECT quote_ident(%s)", (url.schema,))[0][0]
    fetch(connection, "SELECT set_config('search_path', %s, false)", (f"{path}, {row[1]}, pg_temp",))
    connection.teach_vectors(row[0])
