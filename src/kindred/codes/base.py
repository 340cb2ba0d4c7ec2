"""Checks of all codes: bits, vectors, bytes, files."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred._support.npz import ArrayMap, restoring
from kindred.arrays import Vectors, as_rows, check_whole
from kindred.errors import ModelError, UsageError

__all__ = [
    "USUAL_BITS",
    "Bytes",
    "checked_bits",
    "checked_codes",
    "checked_rows",
    "kind_of",
    "no_results",
    "restoring_code",
]

Bytes: TypeAlias = NDArray[np.uint8]
"""(N, bytes a vector) uint8: one code a row."""


USUAL_BITS = 256
"""Bits of a code, where its kind does not depend on the dimension."""


def checked_bits(bits: int, most: int | None = None) -> int:
    """Return `bits`; raise UsageError unless it is a whole number from 1 to `most`."""
    check_whole(bits=bits)
    if most is not None and bits > most:
        raise UsageError(f"bits: got {bits}; expected at most {most}, the dimension of the vectors")
    return bits


def checked_rows(rows: ArrayLike, dimension: int) -> Vectors:
    """Return `rows` as vectors (N, D); raise UsageError for another dimension."""
    vectors = as_rows(rows, "rows")
    if vectors.shape[1] != dimension:
        raise UsageError(f"rows: got shape {vectors.shape}; expected (N, {dimension})")
    return vectors


def checked_codes(codes: Bytes, width: int) -> Bytes:
    """Return `codes`; raise UsageError unless they are (N, width) bytes."""
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != width:
        raise UsageError(f"codes: got {codes.dtype} {codes.shape}; expected uint8 (N, {width})")
    return np.ascontiguousarray(codes)


def kind_of(arrays: ArrayMap) -> str:
    """Return the kind of code in the arrays; "" if they do not name it."""
    return str(arrays["kind"]) if "kind" in arrays else ""


def restoring_code(kind: str, arrays: ArrayMap, *names: str) -> AbstractContextManager[list[NDArray[Any]]]:
    """Yield the arrays of those names, as `restoring` does. Raises ModelError if they are of another kind."""
    if kind_of(arrays) != kind:
        raise ModelError(f"codes: got kind {kind_of(arrays)!r}; expected {kind!r}")
    return restoring("codes", arrays, *names, remedy="fit them again")


def no_results(queries: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return positions and scores (Q, 0), for no queries or no codes."""
    return np.empty((queries, 0), np.int64), np.empty((queries, 0), np.float32)
