"""Arrays: functions for both NumPy and PyTorch, unit vectors, and the best k of a row.

The mathematics is written once, against the Python array API standard: the same function serves NumPy when images
are described and PyTorch in training. `Array` is the type of either in signatures.
"""

from __future__ import annotations

from math import inf
from numbers import Integral, Real
from types import ModuleType
from typing import Any, Protocol, TypeVar

import numpy as np
from array_api_compat import array_namespace, device, is_torch_array
from numpy.typing import ArrayLike, NDArray

from kindred.errors import UsageError

__all__ = [
    "Array",
    "ArrayT",
    "Vectors",
    "as_rows",
    "check_positive",
    "check_whole",
    "floating",
    "l2_normalise",
    "like",
    "namespace",
    "to_numpy",
    "top_k",
    "with_fixed_signs",
]

Vectors = NDArray[np.float32]
"""Rows are vectors: (N, D) float32."""


class Array(Protocol):
    """A NumPy array or a PyTorch tensor."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        ...

    @property
    def ndim(self) -> int:
        """The number of axes."""
        ...


ArrayT = TypeVar("ArrayT", bound=Array)


def namespace(*arrays: Array) -> ModuleType:
    """Return the array API namespace that all of `arrays` belong to (NumPy's or PyTorch's)."""
    # From version 2 on NumPy implements the standard itself; importing the wrapper takes a sixth of a second.
    if all(isinstance(x, np.ndarray) for x in arrays):
        return np
    try:
        found: ModuleType = array_namespace(*arrays)
    except TypeError:
        kinds = " and ".join(sorted({f"{type(x).__module__}.{type(x).__name__}" for x in arrays}))
        raise UsageError(f"got {kinds}; expected NumPy arrays or PyTorch tensors, all of one kind") from None
    return found


def floating(x: ArrayT) -> ArrayT:
    """Return `x` itself if it is float32 or float64, otherwise as float32: float16 overflows above 65504."""
    xp, values = namespace(x), _untyped(x)
    converted: ArrayT = values if values.dtype in (xp.float32, xp.float64) else xp.astype(values, xp.float32)
    return converted


def like(values: Array | NDArray[Any] | ArrayLike, x: Array) -> Any:
    """Return `values` as an array of the library, dtype and device of `x`; gradients flow through a tensor."""
    wanted, given = _untyped(x), _untyped(values)  # type: ignore[arg-type]  # numbers and lists pass through
    if is_torch_array(given):
        namespace(given, x)  # raises if x is not a tensor
        return given.to(dtype=wanted.dtype, device=wanted.device)
    return namespace(x).asarray(given, dtype=wanted.dtype, device=device(wanted))


def to_numpy(x: Array) -> NDArray[Any]:
    """Return `x` as a NumPy array, detached from any gradient and copied from its device if needed."""
    values = _untyped(x)
    array: NDArray[Any] = np.asarray(values.detach().cpu() if is_torch_array(x) else values)
    return array


def l2_normalise(x: ArrayT, axis: int = -1) -> ArrayT:
    """Divide by the Euclidean norm along `axis`; a zero vector stays zero, its gradient finite.

    >>> l2_normalise(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    xp, values = namespace(x), _untyped(floating(x))
    # Scaled first, so that the squares of very small or very large components neither vanish nor overflow.
    largest = xp.max(xp.abs(values), axis=axis, keepdims=True)
    values = values / xp.where(largest > 0, largest, 1.0)
    norm = xp.linalg.vector_norm(values, axis=axis, keepdims=True)
    unit: ArrayT = values / xp.where(norm > 0, norm, 1.0)
    return unit


def as_rows(x: ArrayLike, name: str) -> Vectors:
    """Return `x` as (N, D) float32 rows, C-contiguous; copied only if needed.

    `name` is its name in error messages. Raises UsageError if `x` is not a matrix of finite real numbers.
    """
    try:
        given = np.asarray(x)
    except ValueError:
        raise UsageError(f"{name}: rows of different lengths; expected a matrix (N, D)") from None
    if given.dtype.kind not in "fiub":
        raise UsageError(f"{name}: got {given.dtype} values; expected real numbers (N, D)")
    if given.ndim != 2:
        hint = "; one vector v is the matrix v[None, :]" if given.ndim == 1 else ""
        raise UsageError(f"{name}: got shape {given.shape}; expected a matrix (N, D){hint}")
    if given.shape[1] == 0:
        raise UsageError(f"{name}: got shape {given.shape}; expected rows of at least one component")
    with np.errstate(over="ignore"):  # a float64 too large for float32 becomes inf, which is named below
        rows = np.ascontiguousarray(given, dtype=np.float32)
    _check_finite(rows, name)
    return rows


def top_k(scores: NDArray[np.floating[Any]], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the indices and scores of the best `k` of every row of (Q, N), best first.

    Both are (Q, min(k, N)). Equal scores are ordered by index, lower first, so that the result does not depend on
    how the rows were split into blocks. Raises UsageError for k < 1 and for NaN, which cannot be ordered.
    """
    if scores.ndim != 2:
        raise UsageError(f"scores: got shape {scores.shape}; expected a matrix (Q, N)")
    check_whole(k=k)
    queries, count = scores.shape
    k = min(k, count)
    indices = np.empty((queries, k), dtype=np.int64)
    best = np.empty((queries, k), dtype=np.float32)
    if k == 0:
        return indices, best
    for q, row in enumerate(scores):
        upper = np.partition(row, count - k)[count - k :]
        if np.isnan(upper).any():  # np.partition sorts NaN above every number
            raise UsageError(f"scores: row {q} holds NaN; expected numbers")
        # All scores of at least the k-th, in order of index; a stable sort keeps that order among equals.
        reached = np.flatnonzero(row >= upper[0])
        indices[q] = reached[np.argsort(-row[reached], kind="stable")[:k]]
        best[q] = row[indices[q]]
    return indices, best


def with_fixed_signs(vectors: NDArray[np.float64], *, axis: int) -> NDArray[np.float64]:
    """Flip the vectors along `axis` of a matrix so that the largest component of each is positive.

    The sign of an eigenvector is arbitrary: this makes results the same on all machines.
    """
    largest = np.expand_dims(np.abs(vectors).argmax(axis=axis), axis)
    fixed: NDArray[np.float64] = vectors * np.sign(np.take_along_axis(vectors, largest, axis))
    return fixed


def check_positive(**parameters: float) -> None:
    """Raise UsageError naming the first of `parameters` that is not a finite number above 0."""
    for name, value in parameters.items():
        if not (isinstance(value, Real) and 0 < value < inf):
            raise UsageError(f"{name}: got {value!r}; expected a finite number above 0")


def check_whole(**parameters: int) -> None:
    """Raise UsageError naming the first of `parameters` that is not a whole number of at least 1."""
    for name, value in parameters.items():
        if not (isinstance(value, Integral) and value >= 1):
            raise UsageError(f"{name}: got {value!r}; expected a whole number of at least 1")


def _check_finite(rows: Vectors, name: str) -> None:
    """Raise UsageError naming the first row with NaN or infinity."""
    with np.errstate(all="ignore"):
        # One cheap pass settles the usual case; the sum of finite rows may overflow, hence the check below.
        if np.isfinite(rows.sum()):
            return
    faulty = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if faulty.size:
        raise UsageError(f"{name}: row {faulty[0]} holds NaN or infinity; expected finite numbers")


def _untyped(x: Array) -> Any:
    """Return `x` without its static type: array API functions have none."""
    return x
