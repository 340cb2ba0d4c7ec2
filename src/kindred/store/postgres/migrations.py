"""Creating the tables of a library in PostgreSQL, and bringing older ones to this version, each step once."""

from __future__ import annotations

import re

import psycopg
from psycopg import sql

from kindred.errors import LibraryDamaged, LibraryError, LibraryTooNew
from kindred.store.postgres.connections import TimedConnection
from kindred.store.postgres.database import fetch
from kindred.store.postgres.failures import REMEDY, first_line
from kindred.store.postgres.tables import MIGRATIONS, check_complete, check_present, tables_of
from kindred.store.postgres.url import PostgresUrl

__all__ = ["make_schema", "migrate"]

OLDEST_PGVECTOR = (0, 8)
"""The first version that goes on searching until a filter has passed enough rows."""

LACKING = (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile, psycopg.errors.InsufficientPrivilege)
"""Errors of a server that does not have an extension, or does not let this user create it."""


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

    Raises LibraryNotFound if there are none, LibraryDamaged if some are missing, LibraryTooNew if a newer version of
    Kindred has changed them, LibraryError if this user may not see them.
    """
    _check_visible(connection, url)
    found = tables_of(connection, url)
    check_present(found, url)
    number = fetch(connection, "SELECT coalesce(max(number), 0) FROM migrations")[0][0]
    if number > len(MIGRATIONS):
        raise LibraryTooNew(
            f"{url}: has format {number}, this version of Kindred supports formats up to {len(MIGRATIONS)}; "
            "upgrade it with git pull and pip install . in its clone"
        )
    if not number > 0:
        raise LibraryDamaged(f"{url}: its table migrations is empty; {REMEDY}")
    check_complete(found, url, number)
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
