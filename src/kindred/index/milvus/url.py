"""The address of a collection of Milvus: milvus://USER@HOST:PORT/COLLECTION."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from kindred.errors import UsageError

__all__ = ["MilvusUrl"]

SCHEME = "milvus"
PORT = 19530
MOST = 2000
"""Maximum length of an address, in characters."""
KNOWN = ("database", "timeout", "tls")
EXAMPLE = "milvus://HOST:PORT/COLLECTION"
TIMEOUT, LARGEST_TIMEOUT = 10, 3600

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,255}")


@dataclass(frozen=True)
class MilvusUrl:
    """A collection: `str` is its address without the password, which no message or log contains.

    collection: the start of the names of the collections that Kindred makes there. database: of the server. timeout:
    seconds that one call may take, repetitions included. tls: whether the connection is encrypted.
    """

    host: str
    collection: str
    port: int = PORT
    user: str | None = None
    database: str = "default"
    timeout: int = TIMEOUT
    tls: bool = False
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
        if parts.scheme != SCHEME or parts.fragment:
            raise _wrong("another form")
        if not parts.hostname or not _HOST.fullmatch(parts.hostname) or port == 0:
            raise _wrong("no host" if not parts.hostname else "a host or port that is not valid")
        given = _parameters(parts.query)
        return cls(
            host=parts.hostname,
            port=PORT if port is None else port,
            collection=_named("collection", parts.path.removeprefix("/")),
            user=_decoded("user", parts.username),
            password=_decoded("password", parts.password),
            database=_named("database", given.get("database", "default")),
            timeout=_timeout(given.get("timeout", str(TIMEOUT))),
            tls=_tls(given.get("tls", "no")),
        )

    @property
    def uri(self) -> str:
        """The address of the server, as pymilvus takes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def __str__(self) -> str:
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        pairs = [("database", self.database)] if self.database != "default" else []
        pairs += [("timeout", str(self.timeout))] if self.timeout != TIMEOUT else []
        pairs += [("tls", "yes")] if self.tls else []
        query = "&".join(f"{key}={value}" for key, value in pairs)
        return f"{SCHEME}://{user}{host}:{self.port}/{self.collection}{f'?{query}' if query else ''}"


def _parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=20)
    except ValueError:
        raise _wrong("parameters that are not valid") from None
    for key, _ in pairs:
        if key not in KNOWN:
            raise _wrong(f"parameter {key[:40]!r}", f"; known are {', '.join(KNOWN)}")
    if len(dict(pairs)) != len(pairs):
        raise _wrong("a parameter twice")
    return dict(pairs)


def _decoded(what: str, text: str | None) -> str | None:
    try:
        found = None if text is None else unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _wrong(f"a {what} that is not valid") from None
    if found is not None and not found.isprintable():
        raise _wrong(f"control characters in the {what}")
    return found


def _named(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        shown = f"{what} {name[:60]!r}" if name else f"no {what}"
        raise _wrong(shown, "; a name has 1 to 100 letters, digits and _, and does not begin with a digit")
    return name


def _timeout(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LARGEST_TIMEOUT):
        raise _wrong(f"timeout {text[:20]!r}", f"; expected 1 to {LARGEST_TIMEOUT} seconds")
    return int(text)


def _tls(text: str) -> bool:
    if text not in ("yes", "no"):
        raise _wrong(f"tls {text[:20]!r}", "; expected yes or no")
    return text == "yes"


def _wrong(what: str, more: str = "") -> UsageError:
    return UsageError(f"index: got an address with {what}; expected {EXAMPLE}{more}")
