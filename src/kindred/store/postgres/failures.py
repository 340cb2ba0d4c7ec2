"""Translation of PostgreSQL's errors into those of Kindred."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from kindred.errors import (
    KindredError,
    LibraryDamaged,
    LibraryError,
    LibraryFull,
    LibraryLocked,
    LibraryNotFound,
    LibraryUnreachable,
    UsageError,
)
from kindred.store.postgres.url import PostgresUrl

__all__ = ["REMEDY", "first_line", "is_passing", "reported", "translated"]

REMEDY = "restore the database from a backup, or index the images into a new library"

PASSING = ("08", "57P01", "57P02", "57P03", "57P05", "40001", "40P01", "53300", "25P03")
"""Start of the codes of errors that pass: connections lost or refused, restarts, conflicts of transactions."""


REFUSALS = (
    *("authentication failed", "does not exist", "password", "pg_hba.conf", "is not permitted to log in"),
    *("permission denied for database", "does not support SSL", "sslmode value", "certificate"),
)
"""Words of connections that are refused however often they are tried; an SSL connection that is lost has none."""

FOREIGN = ("42P06", "42P07", "42701", "42703", "42710", "42804", "42809", "42883")
"""Codes of errors of tables that Kindred did not make: something exists already, is missing, or has another type."""


def is_passing(error: psycopg.Error) -> bool:
    """Return whether the same call may succeed a moment later."""
    code = error.sqlstate
    if code is None:  # of the client itself: the connection failed, was lost, or did not answer in time
        return isinstance(error, psycopg.OperationalError) and not _is_refused(error)
    return code.startswith(PASSING)


def _is_refused(error: psycopg.Error) -> bool:
    """Return whether the server has refused a connection for good; libpq then gives text instead of a code."""
    text = str(error)
    return any(word in text for word in REFUSALS)


@contextmanager
def reported(url: PostgresUrl) -> Iterator[None]:
    """Translate errors of PostgreSQL raised within the block."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(error, url) from error


def translated(error: psycopg.Error, url: PostgresUrl) -> Exception:
    """Return the Kindred error for `error`, or `error` itself if it can only be a bug in Kindred."""
    code, why = error.sqlstate or "", first_line(error)
    if found := _by_code(code, url, why):
        return found
    if not code and isinstance(error, psycopg.OperationalError):
        if "does not exist" in str(error) and "database" in str(error):
            return LibraryNotFound(f"{url}: its server has no such database ({why}); create it with createdb")
        if _is_refused(error):
            checked = "the parameters ssl…" if "SSL" in why or "ssl" in why else "the user and the password"
            return LibraryError(f"{url}: its server refused the connection ({why}); check {checked}")
        return LibraryUnreachable(f"{url}: its server does not answer ({why}); check that it runs, then try again")
    return error


def _by_code(code: str, url: PostgresUrl, why: str) -> KindredError | None:
    if code.startswith(PASSING):
        return LibraryUnreachable(f"{url}: its server ended the connection ({why}); try again in a moment")
    if code == "55P03":
        return LibraryLocked(f"{url}: another process has been changing the library for long; try again")
    if code == "57014":
        return LibraryUnreachable(
            f"{url}: its server took longer than {url.timeout} s; try again, or raise it by &timeout=SECONDS"
        )
    if code in ("42P01", "3F000", "3D000"):
        return LibraryNotFound(
            f"{url}: no library found; create one with kindred index, or give its address with --library"
        )
    if code in FOREIGN:
        return LibraryDamaged(f"{url}: its tables are not those of a library ({why}); choose another name, or {REMEDY}")
    if code.startswith(("28", "42501")):
        return LibraryError(f"{url}: its server refused this ({why}); check the user and its rights")
    if code in ("25006", "55000"):
        return LibraryError(f"{url}: its server is read-only ({why}); it can be searched, not changed")
    if code == "22003":
        return UsageError(f"{url}: a component of a vector is beyond float16, which its graph stores ({why})")
    if code in ("53100", "53200", "54000"):
        return LibraryFull(f"{url}: its server has no room left ({why}); committed changes are safe")
    if code.startswith("XX"):
        return LibraryDamaged(f"{url}: its database is damaged ({why}); {REMEDY}")
    if code.startswith("58"):
        return LibraryError(f"{url}: its server failed to read or write ({why}); check its disk, then try again")
    return None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, in a bounded length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200].rstrip(".") if lines else type(error).__name__
