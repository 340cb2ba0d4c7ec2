"""The address of a library in PostgreSQL: postgresql://USER@HOST:PORT/DATABASE?library=NAME."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote

from kindred._support.addresses import bracketed, decoded, is_host, parameters, seconds, split
from kindred.errors import UsageError

__all__ = ["PostgresUrl", "is_postgres_url"]

SCHEMES = ("postgresql", "postgres")
PASSED = ("sslmode", "sslrootcert", "sslcert", "sslkey")
"""Parameters that are passed to the client library of PostgreSQL; others could run code or read files there."""
KNOWN = ("library", "host", "timeout", *PASSED)
EXAMPLE = "postgresql://HOST/DATABASE?library=NAME"

_NAME = re.compile(r"[a-z0-9_]{1,40}")
_SCHEME = re.compile(r"\s*postgres(ql)?:/", re.IGNORECASE)


def is_postgres_url(text: str) -> bool:
    """Return whether text is meant as the address of a library in PostgreSQL."""
    return _SCHEME.match(text) is not None


@dataclass(frozen=True)
class PostgresUrl:
    """A library in a database: `str` is its address without the password, which no message or log contains.

    host: a name, an address, or the absolute folder of a Unix socket. library: its name; a database may hold several.
    timeout: seconds that one call may take. passed: parameters for the client library. What is not given (None), libpq
    takes from its environment: PGHOST, PGPASSWORD, ~/.pgpass and so on.
    """

    host: str | None
    port: int | None
    user: str | None
    database: str
    library: str = "default"
    timeout: int = 30
    passed: tuple[tuple[str, str], ...] = ()
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an address. Raises UsageError, which never quotes the password."""
        parts = split(text, _wrong)
        if parts.scheme not in SCHEMES or not parts.path.startswith("/") or parts.fragment:
            raise _wrong("another form")
        given = _parameters(parts.query)
        host = given.get("host") or parts.hostname
        if host is not None and not (host.startswith("/") if "host" in given else is_host(host)):
            raise _wrong(f"host {host[:60]!r}")
        return cls(
            host=host,
            port=parts.port,
            user=decoded("user", parts.username, _wrong),
            password=decoded("password", parts.password, _wrong),
            database=decoded("database", parts.path[1:], _wrong) or "",
            library=_library(given.get("library", "default")),
            timeout=seconds(given.get("timeout", "30"), _wrong),
            passed=tuple((key, given[key]) for key in PASSED if key in given),
        )._checked()

    def _checked(self) -> Self:
        # Not quoted: of an address with a slash too few, this is the user and the password as well.
        if not self.database or "/" in self.database:
            raise _wrong("a slash in the name of the database" if self.database else "no name of a database")
        return self

    @property
    def schema(self) -> str:
        """The schema of the database that holds the tables of the library."""
        return f"kindred_{self.library}"

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of a connection, by the names of libpq."""
        named = {"host": self.host, "port": self.port, "user": self.user, "password": self.password}
        given = {key: value for key, value in named.items() if value is not None}
        return {**given, "dbname": self.database, **dict(self.passed)}

    def __str__(self) -> str:
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        socket = self.host if self.host is not None and self.host.startswith("/") else None
        host = "" if self.host is None or socket else bracketed(self.host)
        port = f":{self.port}" if self.port is not None else ""
        pairs = [("library", self.library), *([("host", socket)] if socket else []), *self.passed]
        pairs += [("timeout", str(self.timeout))] if self.timeout != 30 else []
        query = "&".join(f"{key}={quote(value, safe='/')}" for key, value in pairs)
        return f"postgresql://{user}{host}{port}/{quote(self.database, safe='')}?{query}"


def _parameters(query: str) -> dict[str, str]:
    given = parameters(query, KNOWN, _wrong, hint=_hint)
    for key, value in given.items():
        if not value or not value.isprintable():
            raise _wrong(f"an invalid value of {key!r}")
    return given


def _hint(key: str) -> str:
    return "; give a password by PGPASSWORD or ~/.pgpass" if key == "password" else ""


def _library(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise _wrong(f"library {name[:60]!r}", "; a name has 1 to 40 of a-z, 0-9 and _")
    return name


def _wrong(what: str, more: str = "") -> UsageError:
    return UsageError(f"library: got an address with {what}; expected {EXAMPLE}{more}")
