"""The address of a collection of Milvus: milvus://USER@HOST:PORT/COLLECTION."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote

from kindred._support.addresses import bracketed, decoded, is_host, parameters, seconds, split
from kindred.errors import UsageError

__all__ = ["MilvusUrl"]

SCHEME = "milvus"
PORT = 19530
KNOWN = ("database", "timeout", "tls")
EXAMPLE = "milvus://HOST:PORT/COLLECTION"
TIMEOUT = 10

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


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
        parts = split(text, _wrong)
        if parts.scheme != SCHEME or parts.fragment:
            raise _wrong("another form")
        if not parts.hostname or not is_host(parts.hostname) or parts.port == 0:
            raise _wrong("no host" if not parts.hostname else "a host or port that is not valid")
        given = parameters(parts.query, KNOWN, _wrong)
        return cls(
            host=parts.hostname,
            port=PORT if parts.port is None else parts.port,
            collection=_named("collection", parts.path.removeprefix("/")),
            user=decoded("user", parts.username, _wrong),
            password=decoded("password", parts.password, _wrong),
            database=_named("database", given.get("database", "default")),
            timeout=seconds(given.get("timeout", str(TIMEOUT)), _wrong),
            tls=_tls(given.get("tls", "no")),
        )

    @property
    def uri(self) -> str:
        """The address of the server, as pymilvus takes it."""
        return f"{'https' if self.tls else 'http'}://{bracketed(self.host)}:{self.port}"

    def __str__(self) -> str:
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        pairs = [("database", self.database)] if self.database != "default" else []
        pairs += [("timeout", str(self.timeout))] if self.timeout != TIMEOUT else []
        pairs += [("tls", "yes")] if self.tls else []
        query = "&".join(f"{key}={value}" for key, value in pairs)
        return f"{SCHEME}://{user}{bracketed(self.host)}:{self.port}/{self.collection}{f'?{query}' if query else ''}"


def _named(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        shown = f"{what} {name[:60]!r}" if name else f"no {what}"
        raise _wrong(shown, "; a name has 1 to 100 letters, digits and _, and does not begin with a digit")
    return name


def _tls(text: str) -> bool:
    if text not in ("yes", "no"):
        raise _wrong(f"tls {text[:20]!r}", "; expected yes or no")
    return text == "yes"


def _wrong(what: str, more: str = "") -> UsageError:
    return UsageError(f"index: got an address with {what}; expected {EXAMPLE}{more}")
