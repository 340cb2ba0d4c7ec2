"""Keep what image libraries have to say away from the terminal: Python's warnings, and what libtiff writes itself.

libtiff prints its errors to the standard error stream of the process. Redirecting that stream would take it from all
other threads, so its error handler is taken out instead, while at least one thread decodes, and put back by the last.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import cast

from PIL import _imaging

__all__ = ["quiet_pillow"]

_MODULES = r"PIL\.|pillow_heif|pillow_jxl"
_QUIET = ("ignore", None, Warning, re.compile(_MODULES), 0)  # as `warnings` keeps its filters
_HANDLERS = ("TIFFSetErrorHandler", "TIFFSetWarningHandler")
_lock = threading.Lock()
_users = 0
_former: list[int | None] = []  # libtiff's handlers before the first user


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's own modules and libtiff while at least one thread is inside.

    `warnings.catch_warnings` must not be used for this: it saves and restores the filters of the whole
    process, and two threads that overlap restore them in the wrong order. Here one filter, which names
    Pillow's modules only, goes in with each thread that enters (there is never more than one) and out with
    the last.
    """
    global _users
    with _lock:
        _users += 1
        warnings.filterwarnings("ignore", module=_MODULES)
        if _users == 1:
            _former[:] = [setter(None) for setter in _libtiff()]
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _restore()


def _restore() -> None:
    filters = cast(list[object], warnings.filters)
    if _QUIET in filters:
        filters.remove(_QUIET)
    for setter, handler in zip(_libtiff(), _former, strict=False):
        setter(handler)
    _former.clear()


@lru_cache(maxsize=1)
def _libtiff() -> list[Callable[[int | None], int | None]]:
    """The functions that exchange the handlers of the libtiff that Pillow uses.

    They are looked up through Pillow's own extension module, so that it is the same libtiff wherever it lies. Where it
    is linked in without its names (Windows) there are none, and its messages stay.
    """
    try:
        library = ctypes.CDLL(_imaging.__file__)
        setters = [getattr(library, name) for name in _HANDLERS]
    except (OSError, AttributeError, TypeError):
        return []
    for setter in setters:
        setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
    return setters


def _after_fork() -> None:
    """In a forked child the other threads are gone, and with them whoever held the lock."""
    global _lock, _users
    _lock = threading.Lock()
    if _users:
        _users = 0
        _restore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
