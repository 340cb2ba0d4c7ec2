"""Hints: what an error says of a name that is not known."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["nearest"]


def nearest(name: str, known: Collection[str]) -> str:
    """Say which known name is meant, or which there are, as the end of an error's line.

    >>> nearest("gemm", ["gem", "mac"])
    "did you mean 'gem'?"
    >>> nearest("x", ["gem", "mac"])
    'expected one of gem, mac'
    """
    import difflib  # only errors need it

    if near := difflib.get_close_matches(name, known, n=1):
        return f"did you mean {near[0]!r}?"
    return f"expected one of {', '.join(known)}" if known else "it takes none"
