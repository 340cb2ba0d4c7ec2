"""CSV as programs write it: with commas, or with semicolons where the comma is the decimal point, or with tabs."""

from __future__ import annotations

__all__ = ["HEAD_CHARACTERS", "delimiter_of"]

HEAD_CHARACTERS = 1 << 20
"""More than the first line of any table that is meant."""


def delimiter_of(head: str) -> str:
    """Return what stands between the columns of a table, by its first line; a comma where that cannot be seen.

    >>> delimiter_of("path;label"), delimiter_of("path,label")
    (';', ',')
    """
    return max(",;\t", key=head.count)
