"""Escape untrusted text for printing, so that it cannot control a terminal or mislead a reader."""

from __future__ import annotations

import unicodedata

__all__ = ["printable", "printable_lines"]

# Joiners, used by emoji, Persian and Indic scripts: of category Cf, but harmless.
_HARMLESS = "\u200c\u200d"
_CONTROLS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of control characters (C0, DEL, C1), format characters (direction overrides and isolates, marks,
tags), lone surrogates, and line and paragraph separators."""


def printable(text: str) -> str:
    """Return `text` as one line with every control and format character written as an escape.

    Other characters are unchanged, so that a name can be copied; applying it twice changes nothing.

    >>> printable("a\\x1b[31m\\n.jpg")
    'a\\\\x1b[31m\\\\n.jpg'
    """
    if text.isprintable():
        return text
    return "".join(_escaped(each) if _is_control(each) else each for each in text)


def printable_lines(text: str) -> str:
    """Return text of several lines, each of them escaped by `printable`."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in _CONTROLS and character not in _HARMLESS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
