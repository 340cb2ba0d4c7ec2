"""Cores: how many this process may use."""

from __future__ import annotations

import os

__all__ = ["usable_cores"]


def usable_cores() -> int:
    """Return how many cores this process may use; Linux can confine it to some of the machine's."""
    confined = getattr(os, "sched_getaffinity", None)
    return len(confined(0)) if confined is not None else os.cpu_count() or 1
