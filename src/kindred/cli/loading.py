"""What makes a command start fast: how modules are loaded, and with how many threads."""

from __future__ import annotations

import gc
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager

__all__ = ["limit_threads", "modules_loading"]

BLAS_THREADS = "OPENBLAS_NUM_THREADS"
"""Read by NumPy's library of matrix products when it is loaded."""


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


def limit_threads(arguments: Sequence[str], environment: MutableMapping[str, str]) -> None:
    """Let matrix products take one thread in a search: they are small, and waiting threads take a fifth of its time.

    Not with a re-ranker of the user's choice, as some multiply all vectors of a library, nor if the user has set it.
    """
    if arguments[:1] == ["search"] and not any(each.startswith("--rerank") for each in arguments):
        environment.setdefault(BLAS_THREADS, "1")
