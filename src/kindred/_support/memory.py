"""Memory that was freed, and is returned to the operating system."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache

__all__ = ["release_freed_memory"]


def release_freed_memory() -> None:
    """Return freed memory to the operating system, where the C library does not do so by itself (glibc).

    Each thread has its own heap there, from which freed blocks below others in use are otherwise never returned: heaps
    grow with the variety of sizes that were allocated.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """Return glibc's malloc_trim; None on other systems."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library, such as musl
        return None
