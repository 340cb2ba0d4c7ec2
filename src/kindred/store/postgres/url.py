"""The address of a library in PostgreSQL: postgresql://USER@HOST:PORT/DATABASE?library=NAME."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from kindred.errors import UsageError

__all__ = ["PostgresUrl", "is_postgres_url"]

SCHEMES = ("postgresql", "postgres")
MOST = 2000
"""Maximum length of an address, in characters."""
PASSED = ("sslmode", "sslrootcert", "sslcert", "sslkey")
"""Parameters that are passed to the client library of PostgreSQL; others could run code or read files there."""
KNOWN = ("library", "host", "timeout", *PASSED)
EXAMPLE = "postgresql://HOST/DATABASE?library=NAME"
LARGEST_TIMEOUT = 3600

_NAME = re.compile(r"[a-z0-9_]{1,40}")
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,255}")
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
        if len(text) > MOST or not text.isprintable():
            raise _wrong(f"{len(text):,} characters" if len(text) > MOST else "control characters")
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError:
            raise _wrong("a host or port that is not valid") from None
        if parts.scheme not in SCHEMES or not parts.path.startswith("/") or parts.fragment:
            raise _wrong("another form")
        given = _parameters(parts.query)
        host = given.get("host") or parts.hostname
        if host is not None and not (host.startswith("/") if "host" in given else _HOST.fullmatch(host)):
            raise _wrong(f"host {host[:60]!r}")
        return cls(
            host=host,
            port=port,
            user=_decoded("user", parts.username),
            password=_decoded("password", parts.password),
            database=_decoded("database", parts.path[1:]) or "",
            library=_library(given.get("library", "default")),
            timeout=_timeout(given.get("timeout", "30")),
            passed=tuple((key, given[key]) for key in PASSED if key in given),
        )._checked()

    def _checked(self) -> Self:
        if not self.database or "/" in self.database:
            raise _wrong("no name of a database" if not self.database else f"database {self.database[:60]!r}")
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
        host = "" if self.host is None or socket else f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port is not None else ""
        pairs = [("library", self.library), *([("host", socket)] if socket else []), *self.passed]
        pairs += [("timeout", str(self.timeout))] if self.timeout != 30 else []
        query = "&".join(f"{key}={quote(value, safe='/')}" for key, value in pairs)
        return f"postgresql://{user}{host}{port}/{quote(self.database, safe='')}?{query}"


def _parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=20)
    except ValueError:
        raise _wrong("parameters that are not valid") from None
    for key, value in pairs:
        if key not in KNOWN:
            hint = "; give a password by PGPASSWORD or ~/.pgpass" if key == "password" else ""
            raise _wrong(f"parameter {key[:40]!r}", f"; known are {', '.join(KNOWN)}{hint}")
        if not value or not value.isprintable():
            raise _wrong(f"an invalid value of {key!r}")
    if len(dict(pairs)) != len(pairs):
        raise _wrong("a parameter twice")
    return dict(pairs)


def _decoded(what: str, text: str | None) -> str | None:
    found = None if text is None else unquote(text, errors="strict") if "%" in text else text
    if found is not None and not found.isprintable():
        raise _wrong(f"control characters in the {what}")
    return found


def _library(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise _wrong(f"library {name[:60]!r}", "; a name has 1 to 40 of a-z, 0-9 and _")
    return name


def _timeout(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LARGEST_TIMEOUT):
        raise _wrong(f"timeout {text[:20]!r}", f"; expected 1 to {LARGEST_TIMEOUT} seconds")
    return int(text)


def _wrong(what: str, more: str = "") -> UsageError:
    return UsageError(f"library: got an address with {what}; expected {EXAMPLE}{more}")
