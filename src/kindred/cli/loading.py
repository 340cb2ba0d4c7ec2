"""What makes a command start fast: how modules are loaded, and with how many threads."""

from __future__ import annotations

import gc
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager

__all__ = ["limit_threads", "modules_loading"]

BLAS_THREADS = "OPENBLAS_NUM_THREADS"
"""Read by NumPy's library of matrix products when it is loaded."""
ONE_THREAD = (["search"], ["index"], ["match"])
"""Commands whose threads decode, describe and verify, each on a core."""


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
    """Let matrix products take one thread where others take the cores: they are small, and threads that wait spin.

    That takes a fifth off the time of a search, and a third off that of indexing. Not with a re-ranker of the user's
    choice, as some multiply all vectors of a library, nor if the user has set it.
    """
    if arguments[:1] in ONE_THREAD and not any(each.startswith("--rerank") for each in arguments):
        environment.setdefault(BLAS_THREADS, "1")
