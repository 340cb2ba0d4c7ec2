"""Translation of PostgreSQL's errors into those of Kindred."""

from __future__ import annotations

import re
from typing import NamedTuple

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

__all__ = ["REMEDY", "first_line", "foreign", "is_passing", "is_undefined", "not_found", "translated"]

TEXT = 200
"""Characters of a server's text that are shown."""
REMEDY = "restore the database from a backup, or index the images into a new library"

PASSING = ("08", "57P01", "57P02", "57P03", "57P05", "40001", "40P01", "53300", "25P03")
"""Start of the codes of errors that pass: connections lost or refused, restarts, conflicts of transactions."""


class Refusal(NamedTuple):
    """A kind of connection that fails: words of libpq, which gives no code; the error; what is said, and what to do."""

    words: tuple[str, ...]
    error: type[LibraryError]
    what: str
    remedy: str


REFUSALS = (
    Refusal(
        ("failed to resolve host", "could not translate host name"),
        LibraryUnreachable,
        "its host is not known",
        "check its name and the network",
    ),
    Refusal(
        ("too many clients", "too many connections", "connection slots are reserved"),
        LibraryUnreachable,
        "its server takes no more connections",
        "try again later, or have the limit raised",
    ),
    Refusal(
        ("starting up", "shutting down", "in recovery mode", "system is not yet accepting"),
        LibraryUnreachable,
        "its server is starting or stopping",
        "try again in a moment",
    ),
    Refusal(
        ("database  does not exist",), LibraryNotFound, "its server has no such database", "create it with createdb"
    ),
    Refusal(
        ("permission denied for database", "is not currently accepting connections"),
        LibraryError,
        "its server does not open this database",
        "have this user permitted to connect to it",
    ),
    Refusal(
        ("pg_hba.conf",),
        LibraryError,
        "its server takes no such connections",
        "have them permitted in its pg_hba.conf, or check the user and the parameters ssl…",
    ),
    Refusal(
        ("authentication failed", "password", "role  does not exist", "is not permitted to log in"),
        LibraryError,
        "its server refused the user",
        "check the user and the password",
    ),
    Refusal(
        ("does not support SSL", "sslmode value", "certificate"),
        LibraryError,
        "no connection by TLS is possible",
        "check the parameters ssl…",
    ),
    Refusal(
        ("invalid response to SSL negotiation", "expected authentication request"),
        LibraryError,
        "another server than PostgreSQL answers there",
        "check the host and the port",
    ),
    Refusal(("FATAL:",), LibraryUnreachable, "its server refused the connection", "try again in a moment"),
)
"""The first whose words occur in the text counts, without what is quoted there, such as names."""

GONE = ("42P01", "3F000", "3D000")
"""Codes of a table, schema or database that does not exist."""

FOREIGN = ("42P06", "42P07", "42701", "42703", "42710", "42804", "42809", "42883")
"""Codes of errors of tables that Kindred did not make: something exists already, is missing, or has another type."""


def is_passing(error: psycopg.Error) -> bool:
    """Return whether the same call may succeed a moment later."""
    code = error.sqlstate
    if code is None:  # of the client itself: the connection failed, was lost, or did not answer in time
        found = _refusal(error)
        return isinstance(error, psycopg.OperationalError) and (found is None or found[0].error is LibraryUnreachable)
    return code.startswith(PASSING)


def is_undefined(error: psycopg.Error) -> bool:
    """Return whether a table or column does not exist: of a library that was deleted, or is damaged."""
    return error.sqlstate in (*GONE, "42703")


def _refusal(error: psycopg.Error) -> tuple[Refusal, str] | None:
    """Return what kind of connection has failed, and the line that says so; None if no server answered."""
    lines = [(re.sub(r'"[^"]*"', "", line), line) for line in str(error).splitlines()]
    for each in REFUSALS:
        for text, line in lines:
            if any(word in text for word in each.words):
                return each, line
    return None


def translated(error: psycopg.Error, url: PostgresUrl) -> Exception:
    """Return the Kindred error for `error`, or `error` itself if it can only be a bug in Kindred."""
    code, why = error.sqlstate or "", first_line(error)
    if found := _by_code(code, url, why):
        return found
    if not code and isinstance(error, psycopg.OperationalError):
        if refused := _refusal(error):
            refusal, line = refused
            return refusal.error(f"{url}: {refusal.what} ({_reason(line)}); {refusal.remedy}")
        why = _reason(why)
        return LibraryUnreachable(f"{url}: its server does not answer ({why}); check that it runs, then try again")
    return error


def _reason(line: str) -> str:
    """Return what a line says without "connection to server at HOST, port PORT failed:", which the address says."""
    return re.split(r" failed: +|FATAL: +", line)[-1].strip()[:TEXT].rstrip(".")


def _by_code(code: str, url: PostgresUrl, why: str) -> KindredError | None:
    if code.startswith(PASSING):
        return LibraryUnreachable(f"{url}: its server ended the connection ({why}); try again in a moment")
    if code == "55P03":
        return LibraryLocked(f"{url}: another process has been changing the library for long; try again")
    if code == "57014":
        return LibraryUnreachable(
            f"{url}: its server took longer than {url.timeout} s; try again, or raise it by &timeout=SECONDS"
        )
    if code in GONE:
        return not_found(url)
    if code in FOREIGN:
        return foreign(url, why)
    if code.startswith(("28", "42501")):
        return LibraryError(f"{url}: its server refused this ({why}); check the user and its rights")
    if code in ("25006", "55000"):
        return LibraryError(f"{url}: its server is read-only ({why}); it can be searched, not changed")
    if code == "22000":
        return LibraryDamaged(
            f"{url}: its database holds vectors of different dimensions ({why}); kindred verify names their images, "
            "which kindred index FILE --force describes again"
        )
    if code == "22003":
        return UsageError(f"{url}: a component of a vector is beyond float16, which its graph stores ({why})")
    if code in ("53100", "53200", "54000"):
        return LibraryFull(f"{url}: its server has no room left ({why}); committed changes are safe")
    if code.startswith("53"):
        return LibraryUnreachable(f"{url}: its server is at a limit ({why}); try again later, or have it raised")
    if code.startswith("XX"):
        return LibraryDamaged(f"{url}: its database is damaged ({why}); {REMEDY}")
    if code.startswith("58"):
        return LibraryError(f"{url}: its server failed to read or write ({why}); check its disk, then try again")
    return None


def not_found(url: PostgresUrl) -> LibraryNotFound:
    """Return the error for an address without a library."""
    return LibraryNotFound(
        f"{url}: no library found; create one with kindred index, or give its address with --library"
    )


def foreign(url: PostgresUrl, why: str) -> LibraryDamaged:
    """Return the error for tables that Kindred did not make."""
    return LibraryDamaged(f"{url}: its tables are not those of a library ({why}); choose another name, or {REMEDY}")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, in a bounded length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:TEXT].rstrip(".") if lines else type(error).__name__
