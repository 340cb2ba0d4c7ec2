"""Text from outside, made fit to be printed: nothing in it can steer a terminal or mislead a reader."""

from __future__ import annotations

import unicodedata

__all__ = ["printable", "printable_lines"]

# Joiners of emoji, Persian and the scripts of India: they are of category Cf, but steer nothing.
_HARMLESS = "\u200c\u200d"
_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls (C0, DEL, C1), formats (overrides and isolates of direction, marks, tags), lone surrogates, separators of
lines and paragraphs: the categories of Unicode that act instead of being shown."""


def printable(text: str) -> str:
    """Return `text` as one line in which every character that acts instead of being shown is written as an escape.

    What is harmless stays as it is, so that a name can be copied; doing it twice changes nothing.

    >>> printable("a\\x1b[31m\\n.jpg")
    'a\\\\x1b[31m\\\\n.jpg'
    """
    if text.isprintable():
        return text
    return "".join(_escaped(each) if _steers(each) else each for each in text)


def printable_lines(text: str) -> str:
    """Return text of several lines, each of them as `printable` has it."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _steers(character: str) -> bool:
    return unicodedata.category(character) in _STEERING and character not in _HARMLESS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
