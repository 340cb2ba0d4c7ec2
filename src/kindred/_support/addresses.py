"""Addresses of servers, SCHEME://USER:PASSWORD@HOST:PORT/PATH?KEY=VALUE, parsed within bounds.

Each function takes `wrong`, which makes the error of one kind of address; none of them quotes a password.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from kindred.errors import UsageError

__all__ = ["Wrong", "bracketed", "decoded", "is_host", "parameters", "seconds", "split"]

MOST = 2000
"""Maximum length of an address, in characters."""
LONGEST = 3600
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,255}")


class Wrong(Protocol):
    """Makes the error for an address."""

    def __call__(self, what: str, more: str = "") -> UsageError:
        """Return an error that says `what` is wrong; `more` follows what was expected."""
        ...


def split(text: str, wrong: Wrong) -> SplitResult:
    """Return the parts of an address; its port is valid or None."""
    if len(text) > MOST or not text.isprintable():
        raise wrong(f"{len(text):,} characters" if len(text) > MOST else "control characters")
    try:
        parts = urlsplit(text.strip())
        _ = parts.port  # raises an error if it is none
    except ValueError:
        raise wrong("a host or port that is not valid") from None
    return parts


def parameters(
    query: str, known: Sequence[str], wrong: Wrong, *, hint: Callable[[str], str] = lambda _: ""
) -> dict[str, str]:
    """Return the parameters of an address, each of them `known` and given once; `hint` follows the name of another."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=20)
    except ValueError:
        raise wrong("parameters that are not valid") from None
    if "@" in query:  # of a password with a question mark this is the end, which no error quotes
        raise wrong("an @ after the ?", "; write ? in a password as %3F, and @ in a parameter as %40")
    for key, _ in pairs:
        if key not in known:
            raise wrong(f"parameter {key[:40]!r}", f"; known are {', '.join(known)}{hint(key)}")
    if len(dict(pairs)) != len(pairs):
        raise wrong("a parameter twice")
    return dict(pairs)


def decoded(what: str, text: str | None, wrong: Wrong) -> str | None:
    """Return a part of an address without its % escapes; None for None."""
    try:
        found = None if text is None else unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise wrong(f"a {what} that is not valid") from None
    if found is not None and not found.isprintable():
        raise wrong(f"control characters in the {what}")
    return found


def seconds(text: str, wrong: Wrong) -> int:
    """Return the seconds of a parameter `timeout`, 1 to 3600."""
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LONGEST):
        raise wrong(f"timeout {text[:20]!r}", f"; expected 1 to {LONGEST} seconds")
    return int(text)


def is_host(text: str) -> bool:
    """Return whether text can be the name or the number of a machine."""
    return _HOST.fullmatch(text) is not None


def bracketed(host: str) -> str:
    """Return a host as it stands in an address: an IPv6 one in brackets."""
    return f"[{host}]" if ":" in host else host
