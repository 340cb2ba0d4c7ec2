"""Fast loading of modules."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["modules_loading"]


@contextmanager
def modules_loading() -> Iterator[None]:
    """Pause garbage collection in the block: objects of modules persist, and checking them takes 30 ms of a search."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
