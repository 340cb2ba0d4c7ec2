"""The tables of a library in PostgreSQL, as numbered migrations, and which tables or columns are missing.

A library is a schema. The vectors have a table of their own, whose rows are only added and removed, never changed: a
change of a row of the table with the search index would add the row to that index again. The single row of `state` is
the lock of changes and the source of all numbers; a sequence would leave their order to chance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

from kindred.errors import LibraryDamaged
from kindred.store.postgres.connections import TimedConnection
from kindred.store.postgres.failures import REMEDY, foreign, not_found
from kindred.store.postgres.url import PostgresUrl

__all__ = ["MIGRATIONS", "Tables", "check_complete", "check_present", "check_tables", "made_by", "tables_of"]

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

Tables = dict[str, frozenset[str]]
"""The columns of each table."""

FIRST = ("migrations", "state")
"""Without any of these, a schema holds no library."""
MOST_NAMED = 5

_TABLE = re.compile(r"CREATE TABLE (\w+) \(")
_CONSTRAINTS = ("CHECK", "PRIMARY", "UNIQUE", "FOREIGN", "CONSTRAINT")


def check_tables(connection: TimedConnection, url: PostgresUrl) -> None:
    """Raise LibraryNotFound or LibraryDamaged if there are no tables of a library, or some are missing."""
    found = tables_of(connection, url)
    check_present(found, url)
    check_complete(found, url, len(MIGRATIONS))


def tables_of(connection: TimedConnection, url: PostgresUrl) -> Tables:
    """Return the tables in the schema of a library, also those that the user may not read; none without the schema."""
    sql = """
        SELECT c.relname, array_agg(a.attname::text) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') GROUP BY c.relname
    """
    return {name: frozenset(columns) for name, columns in connection.execute(sql, (url.schema,))}


def check_present(found: Tables, url: PostgresUrl) -> None:
    """Raise LibraryNotFound if no tables of a library were found, LibraryDamaged if not the one of its migrations."""
    if not any(name in found for name in FIRST):
        raise not_found(url)
    if FIRST[0] not in found:
        raise LibraryDamaged(f"{url}: is damaged (its table {FIRST[0]} is missing); {REMEDY}")


def check_complete(found: Tables, url: PostgresUrl, number: int) -> None:
    """Raise LibraryDamaged, which names them, if tables or columns are missing that migration `number` leads to."""
    needed = made_by(*MIGRATIONS[:number])
    tables = sorted(set(needed) - set(found))
    if len(tables) > len(needed) / 2:
        raise foreign(url, f"{_listed(tables)} are missing")
    if tables:
        what = f"its table {tables[0]} is missing" if len(tables) == 1 else f"its tables {_listed(tables)} are missing"
        raise LibraryDamaged(f"{url}: is damaged ({what}); {REMEDY}")
    for table, columns in needed.items():
        if missing := sorted(columns - found[table]):
            what = f"column {missing[0]} is" if len(missing) == 1 else f"columns {_listed(missing)} are"
            raise LibraryDamaged(f"{url}: is damaged (the {what} missing in its table {table}); {REMEDY}")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    shown = [*names[:MOST_NAMED], f"{more} more"] if more > 0 else names
    return " and ".join([", ".join(shown[:-1]), shown[-1]])


@cache
def made_by(*statements: str) -> Tables:
    """Return the tables that SQL statements create."""
    found: Tables = {}
    for text in statements:
        plain = re.sub(r"--.*", "", text)
        for match in _TABLE.finditer(plain):
            words = [part.split(maxsplit=1)[0] for part in _parts(plain[match.end() :])]
            found[match[1]] = frozenset(word for word in words if word not in _CONSTRAINTS)
    return found


def _parts(text: str) -> Iterator[str]:
    """Yield what commas separate, up to the bracket that closes the list."""
    depth, start = 0, 0
    for at, character in enumerate(text):
        if character == "(":
            depth += 1
        elif character == ")" and depth:
            depth -= 1
        elif character in ",)" and not depth:
            yield text[start:at].strip()
            start = at + 1
            if character == ")":
                return
