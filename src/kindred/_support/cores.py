"""The number of CPU cores that this process may use."""

from __future__ import annotations

import os

__all__ = ["usable_cores"]


def usable_cores() -> int:
    """Return how many cores this process may use; on Linux this may be fewer than the machine has (CPU affinity)."""
    confined = getattr(os, "sched_getaffinity", None)
    return len(confined(0)) if confined is not None else os.cpu_count() or 1
