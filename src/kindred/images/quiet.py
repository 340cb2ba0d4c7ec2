"""Suppress the messages of image libraries: Python warnings, and libtiff's own output.

libtiff prints its errors to the standard error stream of the process. Redirecting that stream would affect all other
threads, so its error handler is removed instead while at least one thread decodes, and restored by the last one.
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
_QUIET = ("ignore", None, Warning, re.compile(_MODULES), 0)  # in the format of `warnings.filters`
_HANDLERS = ("TIFFSetErrorHandler", "TIFFSetWarningHandler")
_lock = threading.Lock()
_users = 0
_former: list[int | None] = []  # libtiff's handlers before the first user


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's own modules and libtiff while at least one thread is inside.

    `warnings.catch_warnings` must not be used for this: it saves and restores the filters of the whole process, and two
    overlapping threads restore them in the wrong order. Instead, a single filter for Pillow's modules is installed
    while any thread is inside, and removed by the last.
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
    """Return the functions that set the handlers of Pillow's libtiff.

    They are looked up through Pillow's extension module, so that it is the same libtiff wherever it is installed. If it
    is linked without symbols (Windows) there are none, and its messages are not suppressed.
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
    """Reset the state in a forked child, in which the other threads, and any holder of the lock, do not exist."""
    global _lock, _users
    _lock = threading.Lock()
    if _users:
        _users = 0
        _restore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
