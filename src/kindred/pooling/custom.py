"""Custom pooling functions, named in a recipe as "package.module:function" and imported only if allowed."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from kindred.arrays import Array
from kindred.errors import RecipeError
from kindred.hints import check_known
from kindred.pooling.table import POOLINGS, Pooling

__all__ = ["custom_digest", "find_pooling", "is_custom"]

LARGEST = 8  # cells: the dimension for larger maps is measured on a map of this size


def is_custom(name: str) -> bool:
    """Return whether a name is that of a custom function."""
    return ":" in name


def find_pooling(name: str, *, allow_code: bool = False) -> Pooling:
    """Return the entry of POOLINGS of that name, or one for "package.module:function".

    The function takes maps (B, C, H, W), and options by name → vectors (B, D). It is imported, which runs code, only
    with `allow_code`. Raises RecipeError for an unknown name, one that is not allowed, or one that cannot be imported.
    """
    if not is_custom(name):
        check_known("pooling", name, POOLINGS, error=RecipeError)
        return POOLINGS[name]
    if not allow_code:
        raise RecipeError(
            f"pooling {name!r} is code outside Kindred, which a recipe cannot allow by itself; if you trust it, allow "
            "it: allow_code=True in Python, --allow-code on the command line"
        )
    function = _imported(name)
    return Pooling(function, "a custom function", name, _dimension_by_trial(function))


def custom_digest(name: str, *, allow_code: bool) -> list[str]:
    """Return the name of a custom function and a digest of its source, if that can be read; [] for other poolings."""
    if not is_custom(name):
        return []
    function = find_pooling(name, allow_code=allow_code).function
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):  # compiled, or entered interactively
        source = ""
    return [name, hashlib.sha256(source.encode()).hexdigest()]


def _imported(name: str) -> Callable[..., Array]:
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise RecipeError(
            f"pooling {name!r}: cannot be imported ({error}); expected package.module:function, on Python's path"
        ) from error
    if not callable(found):
        raise RecipeError(f"pooling {name!r}: is a {type(found).__name__}; expected a function of maps (B, C, H, W)")
    function: Callable[..., Array] = found
    return function


def _dimension_by_trial(function: Callable[..., Array]) -> Callable[..., int]:
    def dimension(channels: int, height: int, width: int, **options: Any) -> int:
        maps = np.ones((1, channels, min(height, LARGEST), min(width, LARGEST)), np.float32)
        shape = np.shape(function(maps, **options))
        if len(shape) != 2 or shape[0] != 1:
            raise RecipeError(f"pooling: got vectors of shape {shape} for one map; expected (1, D)")
        return int(shape[1])

    return dimension
